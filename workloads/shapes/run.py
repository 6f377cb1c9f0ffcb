"""Trains a small convolutional network on pictures, augmented by Keras layers where the course had ImageDataGenerator."""

from __future__ import annotations

import sys
from typing import Any

import lesson
from data import CLASSES, SIDE, pictures  # type: ignore[import-not-found]  # of this folder, in a copy of it too

VALIDATION_SPLIT = 0.1


def data(seed: int) -> lesson.Data:
    """Return the pictures and what is on each."""
    x, y = pictures(seed)
    first = int(len(x) * (1 - VALIDATION_SPLIT))
    return lesson.Data(x[:first], y[:first], (x[first:], y[first:]), len(CLASSES), "shapes, drawn")


def model(_device: str) -> Any:
    """Return the network, compiled: input (28, 28, 1), output (3,) class probabilities."""
    import keras
    from keras import layers

    built = keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 1)),
            layers.RandomFlip("horizontal"),
            layers.RandomTranslation(0.1, 0.1),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(len(CLASSES), activation="softmax", dtype="float32"),
        ]
    )
    built.compile(keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return built


if __name__ == "__main__":
    sys.exit(lesson.run(__doc__, data, model))
