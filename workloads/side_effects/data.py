"""The drug trial's samples: generated, shuffled and scaled, the course's 2,100 or many millions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# (samples, youngest, oldest, has side effects), as the course states them.
GROUPS = ((50, 13, 64, 1), (50, 65, 100, 0), (1000, 13, 64, 0), (1000, 65, 100, 1))
SAMPLES = 2100

BLOCK = 1 << 17  # samples at a time, for what is between to stay in the processor's cache
STREAMS = 2  # of random numbers, a thread each; samples depend on how many
# Of 65,536 rows, which 16 random bits choose from, those of each age of each group: about its share.
ROWS = (30, 43, 601, 866)
SICK = 7  # in a sample's byte the bit for side effects; those below are the age


def samples(seed: int, count: int = SAMPLES) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ages in years, shape (count,), and labels 0 or 1, shape (count,), shuffled together.

    Each group has its share of the count, rounded.
    """
    ends = np.cumsum([size for size, *_ in GROUPS]) * count // SAMPLES
    sizes = np.diff(ends, prepend=0)
    if count > BLOCK:
        return _in_random_order(seed, sizes)
    rng = np.random.default_rng(seed)
    ages = np.concatenate(
        [rng.integers(youngest, oldest + 1, size) for (_, youngest, oldest, _), size in zip(GROUPS, sizes, strict=True)]
    )
    labels = np.repeat([label for *_, label in GROUPS], sizes)
    order = rng.permutation(count)
    return ages[order], labels[order]


class Scaler(NamedTuple):
    """Scales to 0..1 by scikit-learn's MinMaxScaler's arithmetic, to its bits, without its import of half a second."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        return 1 / ((self.high - self.low) or 1.0)

    @property
    def min(self) -> float:
        return 0 - self.low * self.scale

    def __call__(self, ages: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return the ages scaled, shape (n, 1): of bytes, which many millions are, in Keras' 32 bits a number, else 64."""
        kind = np.float32 if ages.dtype == np.uint8 else np.float64
        low, high = kind(self.low), kind(self.high)
        scale = 1 / ((high - low) or kind(1))
        result = np.empty((len(ages), 1), kind)

        def scaled_block(start: int) -> None:
            block = result[start : start + BLOCK, 0]
            np.multiply(ages[start : start + BLOCK], scale, out=block, dtype=kind)
            block += 0 - low * scale

        _in_threads(scaled_block, range(0, len(ages), BLOCK))
        return result


def scaler(ages: NDArray[Any]) -> Scaler:
    """Return what scales the youngest of these to 0 and the oldest to 1."""
    return Scaler(float(ages.min()), float(ages.max()))


def scaled(ages: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Return the ages scaled to 0..1, shape (n, 1)."""
    return scaler(ages)(ages)


def _in_random_order(seed: int, sizes: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ages and labels, so many of each group, every order of the samples as likely as any other.

    To draw ten million in random order takes a tenth of the time of shuffling them: each sample is of a group by the
    odds of its share, and then, of the groups that came out too large, some at random go over to those too small.
    """
    # A group's bytes follow one another: its first, its last, the rows that each has, how many samples are to be of it.
    groups = sorted(
        (low + (label << SICK), high + (label << SICK), rows, size)
        for (_, low, high, label), rows, size in zip(GROUPS, ROWS, sizes.tolist(), strict=True)
    )
    odds = np.concatenate([np.repeat(np.arange(first, last + 1), rows) for first, last, rows, _ in groups])
    odds = odds.astype(np.uint8)
    ages, labels = np.empty((2, sum(sizes)), np.uint8)

    def draw(part: tuple[np.random.SeedSequence, NDArray[np.uint8], NDArray[np.uint8]]) -> list[int]:
        """Fill a part of the ages and labels, and return how many bytes are up to the last of each group."""
        rng = np.random.Generator(np.random.SFC64(part[0]))  # in half the time of the default one
        counts = [0] * len(groups)
        for start in range(0, len(part[1]), BLOCK):
            block = slice(start, min(start + BLOCK, len(part[1])))
            words = -(-(block.stop - start) // 4)
            row = rng.integers(0, (1 << 64) - 1, words, np.uint64, endpoint=True).view(np.uint16)
            drawn = np.take(odds, row[: block.stop - start])
            np.bitwise_and(drawn, (1 << SICK) - 1, out=part[1][block])
            np.right_shift(drawn, SICK, out=part[2][block])
            counts = [n + int(np.count_nonzero(drawn <= last)) for n, (_, last, *_) in zip(counts, groups, strict=True)]
        return counts

    *seeds, last_seed = np.random.SeedSequence(seed).spawn(STREAMS + 1)
    parts = zip(seeds, np.array_split(ages, STREAMS), np.array_split(labels, STREAMS), strict=True)
    counts = np.diff(np.sum(_in_threads(draw, parts), axis=0), prepend=0).tolist()

    rng = np.random.default_rng(last_seed)
    going, coming = [np.empty(0, np.int64)], []
    for (first, last, _, size), count in zip(groups, counts, strict=True):
        if count > size:  # some places are another group's, and a few come twice
            places = rng.integers(0, len(ages), (5 * (count - size) // 4 + 64) * len(ages) // count)
            byte = ages[places] | labels[places] << SICK
            places = places[(first <= byte) & (byte <= last)]
            _, once = np.unique(places, return_index=True)
            going.append(places[np.sort(once)][: count - size])
        coming.append(rng.integers(first, last + 1, max(size - count, 0)))
    places, bytes_ = rng.permutation(np.concatenate(going)), np.concatenate(coming)
    ages[places], labels[places] = bytes_ & ((1 << SICK) - 1), bytes_ >> SICK
    return ages, labels


def _in_threads(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """Return what the work gives for every part, two at a time: NumPy lets other threads run while it computes."""
    with ThreadPoolExecutor(STREAMS) as pool:
        return list(pool.map(work, parts))
