"""Samples on disk as tf.data: each epoch in an order of its own, with no more than a few MB of them in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20  # read in one go
ROWS_AT_ONCE = 1 << 16  # Python handles signals between calls, so that none may take long
BLOCKS = 16  # shuffled together, from anywhere in the file, whose own order is random


def dataset(
    x: NDArray[Any], y: NDArray[Any], batch_size: int, *, seed: int | None = None, initial_epoch: int = 0
) -> Any:
    """Return a tf.data.Dataset of the batches; with a seed each time that it is gone through is the next epoch's order."""
    import tensorflow as tf

    epochs = count(initial_epoch)

    def blocks() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        for rows in order(len(y), block_rows(x), seed, next(epochs)):
            yield x[rows], y[rows]
            forget(x, y)

    told = tuple(tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in (x, y))
    batches = tf.data.Dataset.from_generator(blocks, output_signature=told).rebatch(batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-len(y) // batch_size))).prefetch(2)


def steps_at_once(batch_size: int) -> int:
    """Return how many steps fit should do in one call: a third of the time at batches of 10, and the same numbers."""
    return max(1, min(256, ROWS_AT_ONCE // batch_size))


def forget(*arrays: NDArray[Any]) -> None:
    """Give back the memory of what was read from files; it is read again where it is needed again."""
    for each in arrays:
        if mapped := getattr(each, "_mmap", None):  # numpy.load's, of an array and its slices
            mapped.madvise(mmap.MADV_DONTNEED)


def block_rows(x: NDArray[Any]) -> int:
    """Return how many rows are read in one go."""
    return max(1, BLOCK_BYTES // max(x[:1].nbytes, 1))


def order(samples: int, block: int, seed: int | None, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Give the rows of an epoch, some blocks at a time: without a seed as they are, else by the seed and the epoch alone."""
    starts = np.arange(0, samples, block)
    rng = np.random.default_rng((seed, epoch)) if seed is not None else None
    if rng:
        rng.shuffle(starts)
    for first in range(0, len(starts), BLOCKS):
        rows = np.concatenate([np.arange(at, min(at + block, samples)) for at in starts[first : first + BLOCKS]])
        yield rng.permutation(rows) if rng else rows
