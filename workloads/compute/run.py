"""Computes on the first GPU and checks the numbers against the CPU's, as one `compute` event."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from runtime import emit, open_events, phase
from side_effects.data import samples, scaled

# The largest error of a product of two n by n matrices of standard normal numbers, relative to the root mean square of
# the exact result, is about the unit roundoff times sqrt(n) for sums in any order; 16 times that leaves room for both.
# Unit roundoffs: IEEE 754 binary32 2^-24, binary16 2^-11. Source: Higham, Accuracy and Stability of Numerical
# Algorithms, section 3.1 (probabilistic bound). binary16 inputs are rounded first, sums are kept in binary32.
SIZE = 2048
TOLERANCE = {"float32": 16 * 2.0**-24 * SIZE**0.5, "float16": 16 * 2.0**-11}
RUNS = 3
SPEED_SIZE = 8192
SPEED_SECONDS = 1.0


def product(device: str, kind: str, a: Any, b: Any) -> Any:
    """Return a @ b in a precision on a device, as a float64 array of shape (n, n)."""
    import tensorflow as tf

    with tf.device(device):
        return tf.matmul(tf.constant(a, kind), tf.constant(b, kind)).numpy().astype(np.float64)


def matmul(device: str, kind: str) -> dict[str, Any]:
    """Return the error of a product against float64 on the CPU, and whether all runs agree bit by bit."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIZE, SIZE)) for _ in range(2))
    exact = a @ b
    runs = [product(device, kind, a, b) for _ in range(RUNS)]
    error = float(np.abs(runs[0] - exact).max() / np.sqrt(np.mean(exact**2)))
    same = all(np.array_equal(runs[0], run) for run in runs)
    return {"error": error, "tolerance": TOLERANCE[kind], "repeatable": same}


def training_step(device: str) -> dict[str, Any]:
    """Return how far one Adam step of the packaged model is from the CPU's, as the largest difference of any weight."""
    import keras
    import tensorflow as tf

    ages, labels = samples(seed=0)
    x, y = scaled(ages)[:128].astype("float32"), labels[:128]

    def step(where: str) -> list[Any]:
        keras.utils.set_random_seed(0)
        with tf.device(where):
            net = keras.Sequential(
                [
                    keras.layers.Input((1,)),
                    keras.layers.Dense(16, activation="relu"),
                    keras.layers.Dense(32, activation="relu"),
                    keras.layers.Dense(2, activation="softmax"),
                ]
            )
            net.compile(keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy", jit_compile=False)
            net.train_on_batch(x, y)
        weights: list[Any] = net.get_weights()
        return weights

    pairs = zip(step(device), step("/CPU:0"), strict=True)
    # Adam's first step moves each weight by the learning rate, up to the sign of its gradient; a gradient of nearly
    # zero may have either sign, so that the learning rate's double bounds an honest difference.
    return {"difference": max(float(np.abs(a - b).max()) for a, b in pairs), "tolerance": 2.1e-4}


def teraflops(device: str, kind: str) -> float:
    """Return the floating-point operations a second of large products, in 10^12."""
    import tensorflow as tf

    with tf.device(device):
        a = tf.random.normal((SPEED_SIZE, SPEED_SIZE), dtype=kind)
        run: Callable[[], Any] = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
        run().numpy()
        began, rounds = time.perf_counter(), 0
        while time.perf_counter() - began < SPEED_SECONDS:
            run().numpy()
            rounds += 1
        return 2 * SPEED_SIZE**3 * rounds / (time.perf_counter() - began) / 1e12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="/GPU:0", help="TensorFlow's name of the device to prove")
    parser.add_argument("--no-speed", action="store_true")
    options = parser.parse_args()
    open_events()
    with phase("import"):
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        # TensorFloat-32 rounds its inputs to 10 bits: right for training, wrong for a proof.
        tf.config.experimental.enable_tensor_float_32_execution(False)
    seen: dict[str, Any]
    try:
        seen = {
            "matmul": {kind: matmul(options.device, kind) for kind in TOLERANCE},
            "training_step": training_step(options.device),
            "teraflops": None if options.no_speed else {kind: teraflops(options.device, kind) for kind in TOLERANCE},
            "error": None,
        }
    except (tf.errors.OpError, RuntimeError) as error:
        seen = {
            "matmul": {},
            "training_step": None,
            "teraflops": None,
            "error": f"{type(error).__name__}: {error}"[:600],
        }
    emit("compute", device=options.device, **seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
