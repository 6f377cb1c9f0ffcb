"""Imports what the course imported."""

import keras.layers.core  # noqa: F401
