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
SICK = 128  # in a sample's byte the bit for side effects; the others are the age


def samples(seed: int, count: int = SAMPLES) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ages in years, shape (count,), and labels 0 or 1, shape (count,), shuffled together.

    Each group has its share of the count, rounded.
    """
    ends = np.cumsum([size for size, *_ in GROUPS]) * count // SAMPLES
    sizes = np.diff(ends, prepend=0)
    if count > BLOCK:
        drawn = _in_random_order(seed, sizes)
        return drawn & (SICK - 1), drawn >> 7
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

    def __call__(self, ages: NDArray[Any]) -> NDArray[np.float64]:
        """Return the ages scaled, shape (n, 1)."""
        scale = 1.0 / ((self.high - self.low) or 1.0)
        result = np.empty((len(ages), 1))

        def scaled_block(start: int) -> None:
            block = result[start : start + BLOCK, 0]
            np.multiply(ages[start : start + BLOCK], scale, out=block)
            block += 0.0 - self.low * scale

        _in_threads(scaled_block, range(0, len(ages), BLOCK))
        return result


def scaler(ages: NDArray[Any]) -> Scaler:
    """Return what scales the youngest of these to 0 and the oldest to 1."""
    return Scaler(float(ages.min()), float(ages.max()))


def scaled(ages: NDArray[Any]) -> NDArray[np.float64]:
    """Return the ages scaled to 0..1, shape (n, 1)."""
    return scaler(ages)(ages)


def _in_random_order(seed: int, sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the bytes of samples, so many of each group, every order of them as likely as any other.

    To draw ten million in random order takes a tenth of the time of shuffling them: each sample is of a group by the
    odds of its share, and then, of the groups that came out too large, some at random go over to those too small.
    """
    groups = [(np.arange(low, high + 1) + SICK * label).astype(np.uint8) for _, low, high, label in GROUPS]
    even = np.lcm.reduce([len(group) for group in groups])
    shares = [size // 50 * even // len(group) for group, (size, *_) in zip(groups, GROUPS, strict=True)]
    odds = np.concatenate([np.repeat(group, share) for group, share in zip(groups, shares, strict=True)])
    drawn = np.empty(sizes.sum(), np.uint8)

    def are(group: NDArray[np.uint8], these: NDArray[np.uint8]) -> NDArray[np.bool_]:
        within: NDArray[np.bool_] = these - group[0] < np.uint8(len(group))  # a byte below the group wraps around
        return within

    def draw(part: tuple[np.random.SeedSequence, NDArray[np.uint8]]) -> list[int]:
        rng = np.random.default_rng(part[0])
        counts = [0] * len(groups)
        for start in range(0, len(part[1]), BLOCK):
            block = part[1][start : start + BLOCK]
            random = rng.integers(0, 1 << 32, len(block), dtype=np.uint32)
            row = (random * np.uint64(len(odds))) >> np.uint64(32)  # even to 5 in a million
            np.take(odds, row.view(np.int64), out=block, mode="wrap")
            counts = [
                count + int(np.count_nonzero(are(group, block))) for count, group in zip(counts, groups, strict=True)
            ]
        return counts

    *seeds, last = np.random.SeedSequence(seed).spawn(STREAMS + 1)
    counts = np.sum(_in_threads(draw, zip(seeds, np.array_split(drawn, STREAMS), strict=True)), axis=0)

    rng = np.random.default_rng(last)
    going, coming = [np.empty(0, np.int64)], []
    for group, size, count in zip(groups, sizes, counts, strict=True):
        if count > size:  # four times the places that are needed, for some are another group's and some come twice
            places = rng.integers(0, len(drawn), (4 * (count - size) + 64) * len(drawn) // count)
            places = places[are(group, drawn[places])]
            _, once = np.unique(places, return_index=True)
            going.append(places[np.sort(once)][: count - size])
        coming.append(rng.choice(group, max(size - count, 0)))
    drawn[rng.permutation(np.concatenate(going))] = np.concatenate(coming)
    return drawn


def _in_threads(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """Return what the work gives for every part, two at a time: NumPy lets other threads run while it computes."""
    with ThreadPoolExecutor(STREAMS) as pool:
        return list(pool.map(work, parts))
