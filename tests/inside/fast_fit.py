"""Training by the compiled loop gives what model.fit gives, and where it cannot serve model.fit trains and it says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import epoch
import keras
import numpy as np
import tensorflow as tf
import training
from keras import layers
from side_effects.data import samples, scaled

AGES, LABELS = samples(seed=0)
X, Y = scaled(AGES)[:95], LABELS[:95]  # in batches of 10 the last one is smaller
EPOCHS = 30


def course(jit: bool = True) -> Any:
    net = keras.Sequential(
        [
            layers.Input((1,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    net.compile(
        keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit
    )
    assert net.count_params() == 642
    return net


def random_layers(jit: bool = False) -> Any:
    net = keras.Sequential(
        [
            layers.Input((1,)),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid", kernel_regularizer="l2"),
        ]
    )
    net.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        loss="binary_crossentropy",
        metrics=["accuracy" if jit else "AUC"],
        jit_compile=jit,
    )
    return net


def two_outputs() -> Any:
    age = layers.Input((1,), name="age")
    inner = layers.Dense(16, activation="tanh")(age)
    outputs = {"sick": layers.Dense(1, activation="sigmoid", name="sick")(inner), "age_again": layers.Dense(1)(inner)}
    net = keras.Model(age, outputs)
    net.compile(
        keras.optimizers.RMSprop(keras.optimizers.schedules.ExponentialDecay(1e-3, 100, 0.9)),
        loss={"sick": "binary_crossentropy", "age_again": "mse"},
        loss_weights={"sick": 1.0, "age_again": 0.5},
        weighted_metrics={"sick": ["accuracy"], "age_again": ["mae"]},
    )
    return net


def trained(
    by: Callable[..., Any], build: Callable[[], Any], x: Any, y: Any, **told: Any
) -> tuple[Any, dict[str, Any]]:
    keras.utils.set_random_seed(1)
    net = build()
    return net, by(net, x, y, **{"batch_size": 10, "epochs": EPOCHS, "verbose": 0, **told}).history


def same(build: Callable[[], Any], x: Any, y: Any, kind: str, **told: Any) -> str:
    """Train by model.fit and by the loop, compare weights, optimizers and histories, and return why it is this loop."""
    loops: list[epoch.Loop] = []
    net, history = trained(keras.Model.fit, build, x, y, **told)
    ours, our_history = trained(training.fit, build, x, y, tell=loops.append, **told)
    assert [loop.kind for loop in loops] == [kind], loops
    assert list(history) == list(our_history)
    for name, values in history.items():
        np.testing.assert_allclose(our_history[name], values, rtol=1e-4, err_msg=name)
    for one, other in zip(state(net), state(ours), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5, rtol=0)
    return loops[0].why


def state(net: Any) -> list[Any]:
    return [np.asarray(variable) for variable in [*net.variables, *net.optimizer.variables]]


def test_the_courses_model_in_the_order_that_fit_draws() -> None:
    assert same(course, X[:90], Y[:90], "xla") == ""


def test_the_courses_model_by_fits_own_kernels_to_the_bit() -> None:
    net, history = trained(keras.Model.fit, lambda: course(jit=False), X, Y)
    ours, our_history = trained(training.fit, lambda: course(jit=False), X, Y, loop="graph")
    assert our_history == history
    assert all((one == other).all() for one, other in zip(state(net), state(ours), strict=True))


def test_dropout_and_batch_normalization() -> None:
    why = same(random_layers, X, Y, "graph", class_weight={0: 1.0, 1: 3.0})
    assert "StatelessRandom" in why


def test_dropout_and_batch_normalization_by_xla_and_validation_with_weights() -> None:
    held_out = (X[:15], Y[:15], np.linspace(1, 2, 15))
    told = {"sample_weight": np.linspace(0, 2, len(X)), "validation_data": held_out, "epochs": 3}
    same(lambda: random_layers(jit=True), X, Y, "xla", **told)


def test_two_outputs_with_weights_of_their_own() -> None:
    targets = {"sick": Y.reshape(-1, 1), "age_again": X}
    weights = {"sick": np.linspace(0, 1, len(X)), "age_again": np.linspace(1, 0, len(X))}
    same(two_outputs, {"age": X}, targets, "xla", sample_weight=weights, shuffle=False)


def test_callbacks_change_the_training_as_they_change_fits() -> None:
    def callbacks() -> list[Any]:
        return [
            keras.callbacks.LearningRateScheduler(lambda number, rate: rate * 0.9 if number > 3 else 0.01),
            keras.callbacks.EarlyStopping("val_loss", min_delta=0.02, patience=2, restore_best_weights=True),
        ]

    told = {"validation_split": 0.1, "epochs": 25, "seed": 3}
    net, history = trained(training.fit, lambda: course(jit=False), X, Y, loop="fit", callbacks=callbacks(), **told)
    ours, our_history = trained(
        training.fit, lambda: course(jit=False), X, Y, loop="graph", callbacks=callbacks(), **told
    )
    assert 3 < len(history["loss"]) < 25
    assert our_history == history
    assert all((one == other).all() for one, other in zip(state(net), state(ours), strict=True))


def test_calls_of_callbacks_come_in_fits_order() -> None:
    class Calls(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Any] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.calls.append(("train", self.params["epochs"], self.params["steps"]))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.calls.append(("begin", epoch))

        def on_test_begin(self, logs: Any = None) -> None:
            self.calls.append("test")

        def on_test_end(self, logs: Any = None) -> None:
            self.calls.append(("tested", sorted(logs)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.calls.append(("end", epoch, list(logs), {type(value) for value in logs.values()}))

        def on_train_end(self, logs: Any = None) -> None:
            self.calls.append(("trained", sorted(logs)))

    fits, ours = Calls(), Calls()
    told = {"validation_split": 0.1, "epochs": 4, "initial_epoch": 2}
    trained(keras.Model.fit, lambda: course(jit=False), X, Y, callbacks=[fits], **told)
    trained(training.fit, lambda: course(jit=False), X, Y, loop="graph", callbacks=[ours], **told)
    assert ours.calls == fits.calls


def test_an_interrupted_training_goes_on_to_the_same_bits() -> None:
    told = {"loop": "graph", "validation_split": 0.1, "seed": 5}
    whole, _ = trained(training.fit, random_layers, X, Y, epochs=6, **told)
    first, _ = trained(training.fit, random_layers, X, Y, epochs=2, **told)
    second = random_layers()
    second.optimizer.build(second.trainable_variables)
    for kept, variable in zip(state(first), [*second.variables, *second.optimizer.variables], strict=True):
        variable.assign(kept)
    training.fit(second, X, Y, batch_size=10, initial_epoch=2, epochs=6, **told)
    assert all((one == other).all() for one, other in zip(state(whole), state(second), strict=True))


def test_how_many_steps_a_call_has_changes_nothing() -> None:
    whole, _ = trained(training.fit, course, X, Y, loop="graph", epochs=2, seed=5)
    kept = epoch.CALL_SECONDS
    try:
        epoch.CALL_SECONDS = 0.0  # a step a call
        parts, _ = trained(training.fit, course, X, Y, loop="graph", epochs=2, seed=5)
    finally:
        epoch.CALL_SECONDS = kept
    assert all((one == other).all() for one, other in zip(state(whole), state(parts), strict=True))


class OwnStep(keras.Sequential):  # type: ignore[misc]
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


class EachBatch(keras.callbacks.Callback):  # type: ignore[misc]
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


class ByPython(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda each: each, [inputs], tf.float32), inputs.shape)


def small(kind: Any = keras.Sequential, *more: Any, **compiled: Any) -> Any:
    net = kind([layers.Input((1,)), *more, layers.Dense(1)])
    net.compile("sgd", "mse", **compiled)
    return net


def endless() -> Iterator[Any]:
    while True:
        yield X[:10], Y[:10]


def reason(net: Any, *given: Any, **told: Any) -> tuple[str, str]:
    loops: list[epoch.Loop] = []
    history = training.fit(net, *(given or (X, Y)), tell=loops.append, epochs=1, **told).history
    assert np.isfinite(history["loss"]).all()
    return loops[0].kind, loops[0].why


def test_what_the_loop_cannot_do_is_said_and_done_by_fit() -> None:
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(10)
    assert reason(small(OwnStep)) == ("fit", "OwnStep has its own train_step")
    assert reason(small(run_eagerly=True), X[:15], Y[:15]) == ("fit", "the model runs eagerly")
    assert reason(small(steps_per_execution=5)) == ("fit", "the model has steps_per_execution=5")
    assert reason(small(), callbacks=[EachBatch()]) == ("fit", "the callback EachBatch has on_train_batch_end")
    by_batch = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: None)
    assert reason(small(), callbacks=[by_batch]) == ("fit", "the callback LambdaCallback has on_train_batch_begin")
    assert reason(small(), validation_data=dataset)[1].startswith("the validation data come from a ")
    assert "ParallelMapDataset" in reason(small(), dataset.map(lambda x, y: (x, y), tf.data.AUTOTUNE))[1]
    assert "generator" in reason(small(), endless(), steps_per_epoch=3)[1]
    assert reason(small(), steps_per_epoch=3) == ("fit", "steps_per_epoch=3 is fit's alone")
    assert reason(small(), budget_bytes=1000)[1] == "the samples are 1,140 bytes and may be 1,000"
    assert reason(small(), loop="fit", seed=2) == ("fit", "asked for")


def test_what_only_xla_cannot_do_is_done_by_the_graph() -> None:
    kind, why = reason(small(keras.Sequential, ByPython()))
    assert kind == "graph"
    assert why.startswith("XLA cannot compile it: InvalidArgumentError")


def test_callbacks_of_keras_that_work_by_epoch_are_no_reason() -> None:
    with TemporaryDirectory() as folder:
        callbacks = [
            keras.callbacks.ModelCheckpoint(f"{folder}/{{epoch}}.keras"),
            keras.callbacks.CSVLogger(f"{folder}/log.csv"),
            keras.callbacks.BackupAndRestore(f"{folder}/backup"),
        ]
        assert reason(small(), callbacks=callbacks)[0] == "xla"
        assert {"1.keras", "log.csv"} <= {file.name for file in Path(folder).iterdir()}
        assert (
            reason(small(), callbacks=[keras.callbacks.ModelCheckpoint(f"{folder}/a.keras", save_freq=2)])[0] == "fit"
        )


def test_what_does_not_fit_together_is_keras_error_before_training() -> None:
    try:
        training.fit(small(), X, Y[:-1])
    except ValueError as error:
        assert "cardinality" in str(error)  # noqa: PT017 the image has no pytest
    else:
        raise AssertionError
