"""TensorFlow Lite: models are converted, quantized and run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

X = np.random.default_rng(0).random((32, 4)).astype("float32")


def net() -> keras.Model:
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    made.compile("adam", "mse")
    return made


NET = net()


def ran(model: bytes) -> np.ndarray:
    interpreter = tf.lite.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    given, got = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    for row in X:
        interpreter.set_tensor(given, row[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(got)[0])
    return np.array(rows)


def exported() -> tf.lite.TFLiteConverter:
    folder = tempfile.mkdtemp()
    NET.export(folder, verbose=False)
    return tf.lite.TFLiteConverter.from_saved_model(folder)


def test_a_keras_model_is_converted_and_runs() -> None:
    model = tf.lite.TFLiteConverter.from_keras_model(NET).convert()
    np.testing.assert_allclose(ran(model), NET.predict(X, verbose=0), atol=1e-5)


def test_a_saved_model_is_quantized() -> None:
    def sample() -> Iterator[list[np.ndarray]]:
        yield from ([row[np.newaxis]] for row in X)

    converter = exported()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = sample
    quantized = converter.convert()
    np.testing.assert_allclose(ran(quantized), NET.predict(X, verbose=0), atol=0.1)


def test_a_function_with_tensorflow_ops_is_converted() -> None:
    @tf.function(input_signature=[tf.TensorSpec([1, 4])])
    def logged(x: tf.Tensor) -> tf.Tensor:
        return tf.math.softplus(x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([logged.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    np.testing.assert_allclose(ran(converter.convert()), np.log1p(np.exp(X)), atol=1e-5)


def test_a_model_is_analyzed() -> None:
    model = exported().convert()
    tf.lite.experimental.Analyzer.analyze(model_content=model)
