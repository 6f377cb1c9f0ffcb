"""Every form of samples and labels trains to the same weights, by Keras's fit and by the compiled loop."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import training
from epoch import Loop
from keras import layers
from side_effects import inputs
from side_effects.data import samples, scaled

AGES, LABELS = samples(seed=0)
X, Y = scaled(AGES)[:95], LABELS[:95]  # in batches of 10 the last one is smaller
HELD_OUT = scaled(AGES)[95:115], LABELS[95:115]
TOLD = {"batch_size": 10, "seed": 4}


def trained(form: str, *, jit: bool = False, whole: bool = False, loop: str = "auto") -> tuple[list[Any], Any, Loop]:
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [layers.Input((1,), name=inputs.INPUT), layers.Dense(16, "relu"), layers.Dense(2, "softmax")]
    )
    net.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit)
    loops: list[Loop] = []
    given = inputs.given(form, X, Y, HELD_OUT, whole=whole, **TOLD)
    history = training.fit(net, **given, **TOLD, epochs=2, loop=loop, tell=loops.append).history
    return net.get_weights(), history, loops[0]


def same(one: Any, other: Any) -> None:
    for first, second in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6, rtol=0)
    for name, values in one[1].items():
        np.testing.assert_allclose(other[1][name], values, atol=1e-6)


def test_every_form_trains_the_same_weights() -> None:
    numpy = trained("numpy", loop="fit")
    assert numpy[1]["loss"][1] < numpy[1]["loss"][0]
    for form in inputs.FORMS[1:]:
        by_fit = trained(form, loop="fit")
        assert by_fit[2].kind == "fit"
        same(numpy, by_fit)
    for form in ("list", "tensor", "dict", "weighted"):
        by_loop = trained(form, whole=True, loop="graph")
        assert by_loop[2].kind == "graph"
        same(numpy, by_loop)


def test_what_comes_in_batches_and_ends_is_read_into_the_arrays_that_it_is_of() -> None:
    for form in ("tf-data", "weighted", "pydataset"):
        read = inputs.given(form, X, Y, initial_epoch=3, **TOLD)
        assert (read["x"] == X.astype(np.float32)).all()
        assert (read["y"] == Y).all()
        assert ("sample_weight" in read) == (form == "weighted")


def test_xla_trains_the_weights_that_a_generator_trains_by_fit() -> None:
    by_fit = trained("generator", jit=True)
    assert by_fit[2] == ("fit", "the samples come from a generator, and the loop needs arrays", 0.0)
    for form in ("numpy", "weighted"):
        other = trained(form, jit=True, whole=True)
        assert other[2].kind == "xla"
        same(by_fit, other)


def test_what_the_forms_are() -> None:
    def x(form: str) -> Any:
        return inputs.given(form, X, Y, whole=False, **TOLD)["x"]

    assert isinstance(x("numpy"), np.ndarray)
    assert isinstance(x("list")[0], np.ndarray)
    assert tf.is_tensor(x("tensor"))
    assert list(x("dict")) == ["age"]
    assert isinstance(x("tf-data"), tf.data.Dataset)
    assert isinstance(x("pydataset"), keras.utils.PyDataset)
    assert len(next(x("generator"))) == len(x("tf-data").element_spec) == len(x("pydataset")[0]) == 2
    assert len(x("weighted").element_spec) == 3
    assert len(x("tf-data")) == len(x("pydataset")) == 10


def test_each_epoch_has_another_order_and_a_later_start_has_that_epochs() -> None:
    def first(**told: Any) -> list[Any]:
        dataset = inputs.given("tf-data", X, Y, whole=False, **TOLD, **told)["x"]
        return [np.concatenate([batch[0] for batch in dataset.as_numpy_iterator()]).ravel() for _ in range(2)]

    zeroth, second = first()
    assert not (zeroth == second).all()
    assert sorted(zeroth) == sorted(second) == sorted(X.ravel().astype(np.float32))
    assert (first(initial_epoch=1)[0] == second).all()
