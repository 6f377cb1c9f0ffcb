"""The drug trial's samples: generated, shuffled and scaled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# (samples, youngest, oldest, has side effects), as the course states them.
GROUPS = ((50, 13, 64, 1), (50, 65, 100, 0), (1000, 13, 64, 0), (1000, 65, 100, 1))


def samples(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return 2,100 ages in years, shape (2100,), and labels 0 or 1, shape (2100,), shuffled together."""
    rng = np.random.default_rng(seed)
    ages = np.concatenate([rng.integers(youngest, oldest + 1, count) for count, youngest, oldest, _ in GROUPS])
    labels = np.repeat([label for *_, label in GROUPS], [count for count, *_ in GROUPS])
    order = rng.permutation(len(ages))
    return ages[order], labels[order]


def scaled(ages: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the ages scaled to 0..1 by scikit-learn's MinMaxScaler, shape (n, 1)."""
    from sklearn.preprocessing import MinMaxScaler

    result: NDArray[np.float64] = MinMaxScaler(feature_range=(0, 1)).fit_transform(ages.reshape(-1, 1))
    return result
