"""Pictures of squares, discs and triangles: drawn at random places and sizes, in noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 28  # pixels
CLASSES = ("square", "disc", "triangle")
SAMPLES = 3000
NOISE = 0.25  # the standard deviation, where a shape is 1 and the ground 0


def pictures(seed: int, count: int = SAMPLES) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return pictures, shape (count, 28, 28, 1), and labels 0 to 2, shape (count,), in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(count) % len(CLASSES)
    radius = rng.uniform(5, 9, (count, 1, 1))
    across, down = (rng.uniform(9, SIDE - 9, (count, 1, 1)) for _ in range(2))
    x, y = np.arange(SIDE)[None, None, :] - across, np.arange(SIDE)[None, :, None] - down
    square = np.maximum(abs(x), abs(y)) <= radius * 0.8
    disc = x**2 + y**2 <= radius**2
    triangle = (y <= radius * 0.7) & (y >= 2 * abs(x) - radius)
    drawn = np.select([labels[:, None, None] == label for label in range(len(CLASSES))], [square, disc, triangle])
    noisy = drawn + rng.normal(0, NOISE, drawn.shape)
    return noisy[..., None].astype(np.float32), labels
