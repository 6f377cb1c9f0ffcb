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
# Of the 65,536 numbers of 16 bits each of the 52 younger ages has 631, and each of the 36 older ones 909: 52 * 631 is the
# first that is an older one's. Of those of 8 bits, 12 are for the outcome that few of an age have, 50 of 1,050.
EACH_YOUNGER, EACH_OLDER, FIRST_OLDER, FEW = 631, 909, 32_812, 12


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
    odds of about its share, and then, of the groups that came out too large, some at random go over to those too small.
    """
    ages, labels = np.empty((2, sum(sizes)), np.uint8)
    (_, youngest, _, _), (_, oldest_first, _, _), *_ = GROUPS

    def draw(part: tuple[np.random.SeedSequence, NDArray[np.uint8], NDArray[np.uint8]]) -> list[int]:
        """Fill a part of the ages and labels, and return how many are of each group."""
        rng = np.random.Generator(np.random.SFC64(part[0]))  # in half the time of the default one
        room, flags = np.empty(BLOCK, np.uint16), np.empty((2, BLOCK), bool)
        few_of_all, older_of_all, few_older_of_all = 0, 0, 0
        for start in range(0, len(part[1]), BLOCK):
            age, label = part[1][start : start + BLOCK], part[2][start : start + BLOCK].view(bool)
            count = len(age)
            words = rng.integers(0, (1 << 64) - 1, -(-count * 3 // 8), np.uint64, endpoint=True)
            number, younger = words.view(np.uint16)[:count], room[:count]
            few, older = flags[:, :count]
            np.less(words.view(np.uint8)[2 * count :][:count], FEW, out=few)
            np.floor_divide(number, EACH_YOUNGER, out=younger)
            younger += youngest
            number -= FIRST_OLDER  # of a younger age it becomes a number too great for an older one
            number //= EACH_OLDER
            number += oldest_first
            np.minimum(younger, number, out=age, casting="same_kind")
            np.greater_equal(age, oldest_first, out=older)
            np.not_equal(few, older, out=label)
            few_of_all += int(np.count_nonzero(few))
            older_of_all += int(np.count_nonzero(older))
            few &= older
            few_older_of_all += int(np.count_nonzero(few))
            del words, number  # for the next block to have their memory, and not others' that was never touched
        few_younger = few_of_all - few_older_of_all
        others = len(part[1]) - older_of_all - few_younger, older_of_all - few_older_of_all
        return [few_younger, few_older_of_all, *others]

    *seeds, last_seed = np.random.SeedSequence(seed).spawn(STREAMS + 1)
    parts = zip(seeds, np.array_split(ages, STREAMS), np.array_split(labels, STREAMS), strict=True)
    counts = np.sum(_in_threads(draw, parts), axis=0).tolist()

    rng = np.random.default_rng(last_seed)
    going, coming = [np.empty(0, np.int64)], []
    for (_, low, high, label), size, count in zip(GROUPS, sizes.tolist(), counts, strict=True):
        if count > size:  # some places are another group's, and a few come twice
            places = rng.integers(0, len(ages), (5 * (count - size) // 4 + 64) * len(ages) // count)
            places = places[(labels[places] == label) & (low <= ages[places]) & (ages[places] <= high)]
            _, once = np.unique(places, return_index=True)
            going.append(places[np.sort(once)][: count - size])
        more = max(size - count, 0)
        coming.append(np.column_stack([rng.integers(low, high + 1, more), np.full(more, label)]))
    places = rng.permutation(np.concatenate(going))
    ages[places], labels[places] = np.concatenate(coming).T
    return ages, labels


def _in_threads(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """Return what the work gives for every part, two at a time: NumPy lets other threads run while it computes."""
    with ThreadPoolExecutor(STREAMS) as pool:
        return list(pool.map(work, parts))
