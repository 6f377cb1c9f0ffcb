"""Keras models are saved and loaded in every format, with layers of each kind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

FOLDER = Path(tempfile.mkdtemp())
IMAGES = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")


@keras.saving.register_keras_serializable(package="kit")
class Doubled(keras.layers.Layer):
    def call(self, x: tf.Tensor) -> tf.Tensor:
        return 2 * x


def net() -> keras.Model:
    given = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="gelu")(given)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Reshape((16, 4))(x)
    x = keras.layers.MultiHeadAttention(2, 4)(x, x) + x
    x = keras.layers.LayerNormalization()(x)
    x = Doubled()(keras.layers.Bidirectional(keras.layers.LSTM(6))(x))
    made = keras.Model(given, keras.layers.Dense(3, activation="softmax")(keras.layers.Dropout(0.1)(x)))
    made.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def trained() -> keras.Model:
    keras.utils.set_random_seed(1)
    made = net()
    made.fit(IMAGES, np.array([0, 1, 2, 0]), verbose=0)
    return made


MODEL = trained()
MODEL.export(FOLDER / "exported", verbose=False)
EXPECTED = MODEL(IMAGES).numpy()


def same(got: np.ndarray) -> None:
    np.testing.assert_allclose(got, EXPECTED, rtol=1e-4, atol=1e-5)


def answers(model: keras.Model) -> None:
    """Compare a model's answers, without a graph, whose tracing takes longer than all the rest."""
    same(model(IMAGES).numpy())


def test_keras_format_with_its_optimizer() -> None:
    MODEL.save(FOLDER / "model.keras")
    loaded = keras.models.load_model(FOLDER / "model.keras")
    answers(loaded)
    assert int(loaded.optimizer.iterations) == int(MODEL.optimizer.iterations) > 0
    loaded.train_on_batch(IMAGES, np.array([0, 1, 2, 0]))


def test_weights_in_hdf5() -> None:
    MODEL.save_weights(FOLDER / "model.weights.h5")
    other = net()
    other.load_weights(FOLDER / "model.weights.h5")
    answers(other)


def test_whole_model_in_hdf5() -> None:
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    small.save(FOLDER / "model.h5")
    loaded, given = keras.models.load_model(FOLDER / "model.h5"), np.ones((1, 2))
    np.testing.assert_allclose(loaded(given), small(given))


def test_saved_model_export_and_its_signature() -> None:
    loaded = tf.saved_model.load(str(FOLDER / "exported"))
    same(loaded.serve(IMAGES).numpy())
    (given,) = loaded.signatures["serving_default"](tf.constant(IMAGES)).values()
    same(given.numpy())


def test_saved_model_as_a_program_shows_it() -> None:
    command = [Path(sys.executable).with_name("saved_model_cli"), "show", "--dir", FOLDER / "exported", "--all"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, timeout=120)
    assert "serving_default" in done.stdout


def test_checkpoints() -> None:
    variable = tf.Variable(3.0)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(x=variable), str(FOLDER / "checkpoints"), 2)
    manager.save()
    variable.assign(0.0)
    tf.train.Checkpoint(x=variable).restore(manager.latest_checkpoint).assert_consumed()
    assert variable.numpy() == 3.0


def test_config_and_callbacks() -> None:
    copied = keras.models.model_from_json(MODEL.to_json())
    copied.set_weights(MODEL.get_weights())
    answers(copied)
    copied.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    callbacks = [
        keras.callbacks.ModelCheckpoint(FOLDER / "best.keras", monitor="loss", save_best_only=True),
        keras.callbacks.EarlyStopping("loss", patience=1),
        keras.callbacks.CSVLogger(FOLDER / "log.csv"),
    ]
    copied.fit(IMAGES, np.array([0, 1, 2, 0]), epochs=2, verbose=0, callbacks=callbacks)
    assert (FOLDER / "best.keras").is_file()
    assert "loss" in (FOLDER / "log.csv").read_text()


def test_pickled_and_copied_models() -> None:
    import copy
    import pickle

    answers(pickle.loads(pickle.dumps(MODEL)))
    answers(copy.deepcopy(MODEL))


def test_mixed_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert net()(IMAGES).shape == (4, 3)
    finally:
        keras.mixed_precision.set_global_policy("float32")
