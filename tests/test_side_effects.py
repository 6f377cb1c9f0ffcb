"""The packaged workload's data: the course's groups, shuffled, scaled, repeatable."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "workloads"))

from side_effects.data import GROUPS, samples, scaled


def test_groups_are_the_courses() -> None:
    ages, labels = samples(seed=0)
    assert ages.shape == labels.shape == (2100,)
    for count, youngest, oldest, label in GROUPS:
        chosen = (ages >= youngest) & (ages <= oldest) & (labels == label)
        assert chosen.sum() == count
    assert (ages.min(), ages.max()) == (13, 100)


def test_one_seed_gives_the_same_samples_and_another_does_not() -> None:
    first, again, other = samples(1), samples(1), samples(2)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_shuffled_so_that_a_held_out_tenth_has_both_classes() -> None:
    _, labels = samples(seed=3)
    assert 0.3 < labels[-210:].mean() < 0.7


def test_scaled_to_zero_and_one_in_one_column() -> None:
    ages, _ = samples(seed=0)
    x = scaled(ages)
    assert x.shape == (2100, 1)
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert x[:, 0] == pytest.approx((ages - 13) / 87)
