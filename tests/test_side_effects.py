"""The packaged workload's data: the course's groups, shuffled, scaled, repeatable, and refused where it cannot be right."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler

sys.path.insert(0, str(Path(__file__).parent.parent / "workloads"))

from batches import order
from side_effects.data import GROUPS, SAMPLES, samples, scaled, scaler
from side_effects.inputs import checked, generator

MANY = 420_000


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


def test_the_samples_of_a_seed_stay_what_they_are() -> None:
    ages, labels = samples(seed=0)
    assert ages[:8].tolist() == [76, 95, 94, 81, 78, 69, 98, 52]
    assert labels[:8].tolist() == [0, 1, 1, 1, 1, 1, 1, 1]


def test_shuffled_so_that_a_held_out_tenth_has_both_classes() -> None:
    _, labels = samples(seed=3)
    assert 0.3 < labels[-210:].mean() < 0.7


@pytest.mark.parametrize("count", [42, SAMPLES * 10, MANY])
def test_any_number_of_samples_has_the_courses_groups(count: int) -> None:
    ages, labels = samples(5, count)
    assert ages.shape == labels.shape == (count,)
    for size, youngest, oldest, label in GROUPS:
        chosen = ages[(ages >= youngest) & (ages <= oldest) & (labels == label)]
        assert len(chosen) == count * size // SAMPLES


def test_many_samples_have_every_age_and_place_as_often_as_chance_has_them() -> None:
    ages, labels = samples(5, MANY)
    assert np.array_equal(ages, samples(5, MANY)[0])
    assert not np.array_equal(ages, samples(6, MANY)[0])
    for _, youngest, oldest, label in GROUPS:
        places = np.flatnonzero((ages >= youngest) & (ages <= oldest) & (labels == label))
        for found in (ages[places] - youngest, places * 40 // MANY):
            times = np.bincount(found)
            expected = len(places) / len(times)
            # Chi squared over its degrees of freedom: 1 by chance, over 2 once in ten thousand times, 40 if not shuffled
            assert ((times - expected) ** 2).sum() / expected / (len(times) - 1) < 2


@pytest.mark.parametrize(("count", "kind"), [(SAMPLES, np.float64), (MANY, np.float32)])
def test_scaled_by_min_max_scalers_numbers(count: int, kind: type[np.floating]) -> None:
    ages, _ = samples(0, count)
    x = scaled(ages)
    assert np.array_equal(x, MinMaxScaler(feature_range=(0, 1)).fit_transform(ages.reshape(-1, 1).astype(kind)))
    assert (x.shape, x.dtype, x.min(), x.max()) == ((count, 1), kind, 0.0, 1.0)


def test_a_scaler_scales_other_ages_too() -> None:
    fitted = MinMaxScaler().fit([[20.0], [50.0]])
    others = np.array([20, 35, 80])
    assert np.array_equal(scaler(np.array([20, 50]))(others), fitted.transform(others.reshape(-1, 1).astype(float)))
    same = np.array([30, 30])
    assert np.array_equal(scaler(same)(same), MinMaxScaler().fit_transform(same.reshape(-1, 1)))


def test_the_order_of_an_epoch_depends_on_the_seed_and_the_epoch_alone() -> None:
    orders = [order(50, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(each) == list(range(50)) for each in orders)
    assert len({tuple(each) for each in orders}) == 4
    assert orders[3] == order(50, 1, 1).tolist()


def test_a_generator_gives_epoch_after_epoch_in_their_orders() -> None:
    x, y = np.arange(25), np.arange(25) % 2
    batches = generator((x, y), batch_size=10, seed=3, epoch=2)
    given = [next(batches) for _ in range(6)]
    assert [len(batch[0]) for batch in given] == [10, 10, 5, 10, 10, 5]
    assert np.concatenate([batch[0] for batch in given]).tolist() == [*order(25, 3, 2), *order(25, 3, 3)]
    assert all((batch[1] == batch[0] % 2).all() for batch in given)


X = np.linspace(0, 1, 6).reshape(-1, 1)
Y = np.array([0, 1, 0, 1, 0, 1])


def replaced(values: Any, row: int, by: Any) -> Any:
    copy = np.array(values)
    copy[row] = by
    return copy


@pytest.mark.parametrize(
    "good",
    [
        (X, Y),
        (X.astype("float32"), Y.astype("uint8")),
        ([X, X], Y),
        ({"age": X}, Y.astype(float)),
        (X, Y.reshape(-1, 1)),
        (X, Y, np.ones(6)),
        (X, Y == 1),
    ],
)
def test_samples_and_labels_that_fit_are_taken(good: tuple[Any, ...]) -> None:
    checked(*good)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((X, Y[:-1]), "not as many of each: input 6, labels 5; give every sample one label, in the same order"),
        (({"age": X, "dose": X[:4]}, Y), "not as many of each: input age 6, input dose 4, labels 6"),
        ((X, Y, np.ones(7)), "labels 6, weights 7"),
        ((X, Y, -np.ones(6)), "some weights are below zero: give each sample a weight of zero or more"),
        ((X[:0], Y[:0]), "input: empty; give at least one of every class"),
        (([], Y), "there is no input: give at least one array of samples"),
        ((X.astype(str), Y), "input: of type <U32; give numbers"),
        ((X, Y.astype(object)), "labels: of type object; give numbers"),
        (
            (replaced(X, 4, np.nan), Y),
            "input: not a number in 1 of 6 rows, the first 4; leave these rows out or fill them",
        ),
        (([X, replaced(X, 2, np.inf)], Y), "input 1: not a number in 1 of 6 rows, the first 2"),
        ((X, replaced(Y.astype(float), 0, np.nan)), "labels: not a number in 1 of 6 rows, the first 0"),
        (
            (X, Y + 0.5),
            "labels that are no whole numbers in 6 of 6 rows, the first 0, 1, 2, 3, 4: give the number of a class",
        ),
        ((X, Y + 1), "labels out of range in 3 of 6 rows, the first 1, 3, 5: the classes are 0 to 1"),
        ((X, -Y), "labels out of range in 3 of 6 rows, the first 1, 3, 5"),
        ((X, Y * 0), "no sample has label 1: train on samples of every class, 0 to 1"),
        ((X, np.eye(2)[Y]), "the labels have shape (6, 2): give one whole number a sample, shape (6,)"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_to_do(bad: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        checked(*bad)
