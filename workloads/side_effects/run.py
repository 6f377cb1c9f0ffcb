"""Trains the course's Sequential model on the drug trial."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import lesson
import numpy as np
from backends import as_numpy
from runtime import emit
from scaling import Scaling
from side_effects.data import samples, scaler
from side_effects.inputs import CLASSES, INPUT, given

FEATURES = "features"  # the name of the model's Input for the user's data
VALIDATION_SPLIT = 0.1  # the last tenth is held out, which is why the data is shuffled before


def data(seed: int) -> lesson.Data:
    """Return the drug trial: ages scaled to 0..1, shape (n, 1), and who had side effects."""
    ages, y = samples(seed)
    edges = np.arange(10, 101, 5)
    counts = {str(label): np.histogram(ages[y == label], edges)[0].tolist() for label in range(CLASSES)}
    emit("histogram", feature="age", edges=edges.tolist(), counts=counts)
    fitted, first = scaler(ages), int(len(ages) * (1 - VALIDATION_SPLIT))
    x, source = fitted(ages), "the drug trial, generated"
    scaling = Scaling((INPUT,), (fitted.scale,), (fitted.min,), "side_effects", (0, 1))
    return lesson.Data(x[:first], y[:first], (x[first:], y[first:]), CLASSES, source, scaling)


def model(device: str, own: lesson.Data | None = None) -> Any:
    """Return the course's model, compiled: 642 parameters, input (1,), output (2,) class probabilities.

    For data of the user's own it is as wide as that has features at its input, and classes at its output.

    With TensorFlow Keras decides on XLA by the GPUs of the machine, hidden ones too; on the CPU the numbers must not depend
    on those. With XLA there, the compiled loop and model.fit give the same bits.
    """
    import keras
    from keras.layers import Dense, Input

    built = keras.Sequential(
        [
            Input(own.x.shape[1:] if own else (1,), name=FEATURES if own else INPUT),
            Dense(16, activation="relu"),
            Dense(32, activation="relu"),
            Dense(own.classes if own else CLASSES, activation="softmax", dtype="float32"),
        ]
    )
    jit: Any = True if device == "cpu" and keras.backend.backend() == "tensorflow" else "auto"
    built.compile(
        keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit
    )
    return built


def tell_decision(net: Any, _data: lesson.Data) -> None:
    """Tell the probability of side effects by age."""
    grid = np.linspace(0, 1, 101)
    probabilities = as_numpy(net(grid[:, None], training=False))[:, 1]
    emit(
        "decision", feature="age", values=(13 + 87 * grid).tolist(), probabilities=probabilities.astype(float).tolist()
    )


def in_form(options: argparse.Namespace, data: lesson.Data, initial_epoch: int) -> dict[str, Any]:
    """Return the data in the form that was asked for."""
    told: dict[str, Any] = {"batch_size": options.batch_size, "seed": options.seed, "initial_epoch": initial_epoch}
    told |= {"classes": data.classes, "name": FEATURES if options.data else INPUT}
    return given(options.input, data.x, data.y, data.held_out, **told)


if __name__ == "__main__":
    sys.exit(lesson.run(__doc__, data, model, tell_decision, in_form))
