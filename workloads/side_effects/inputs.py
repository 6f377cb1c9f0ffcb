"""The forms in which Keras takes samples and labels: of each, the same batches in the same order for a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
from batches import Batches, in_order, order
from numpy.typing import NDArray

INPUT = "age"  # the name of the model's Input, which a dict of arrays goes by
CLASSES = 2


def given(
    form: str,
    x: NDArray[Any],
    y: NDArray[Any],
    held_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
    *,
    batch_size: int,
    seed: int,
    initial_epoch: int = 0,
    whole: bool = True,
    classes: int = CLASSES,
    name: str = INPUT,
) -> dict[str, Any]:
    """Return the arguments of training.fit that give it these samples, x of shape (n, features), in a form; `name` is
    the model's Input.

    A form that comes in batches and ends, tf-data, weighted or pydataset, is gone through once and its arrays are given,
    which is what the compiled loop takes; if not `whole` it is given itself, as a generator always is. Raises ValueError
    as `checked` does.
    """
    checked(x, y, classes=classes)
    if form in ARRAYS:
        (inputs, labels), held = ARRAYS[form](x, y, name), held_out and ARRAYS[form](*held_out, name)
        return {"x": inputs, "y": labels, "validation_data": held}
    columns = (x.astype(np.float32), y, np.ones(len(x), np.float32))[: 3 if form == "weighted" else 2]
    source = BATCH_BY_BATCH[form](columns, batch_size, seed, initial_epoch)
    told = {"validation_data": held_out, "shuffle": False}
    if form == "generator":
        return {"x": source, "steps_per_epoch": -(-len(x) // batch_size), **told}
    if not whole:
        return {"x": source, **told}
    batches = map(source.__getitem__, range(len(source))) if form == "pydataset" else source.as_numpy_iterator()
    place = np.argsort(order(len(x), seed, initial_epoch))
    read = [np.concatenate(column)[place] for column in zip(*batches, strict=True)]
    return {**dict(zip(("x", "y", "sample_weight"), read, strict=False)), "validation_data": held_out}


def tensors(x: NDArray[Any], y: NDArray[Any], _name: str) -> tuple[Any, Any]:
    """Return both as TensorFlow's; Keras wants labels to be of the kind that the inputs are."""
    import tensorflow as tf

    return tf.constant(x, tf.float32), tf.constant(y)


def generator(columns: tuple[NDArray[Any], ...], batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Any, ...]]:
    """Yield the batches of epoch after epoch, without end."""
    for number in count(epoch):
        rows = order(len(columns[0]), seed, number)
        for start in range(0, len(rows), batch_size):
            yield tuple(column[rows[start : start + batch_size]] for column in columns)


def tf_data(columns: tuple[NDArray[Any], ...], batch_size: int, seed: int, epoch: int) -> Any:
    """Return a tf.data.Dataset of the batches of an epoch; each time that it is gone through it is the next epoch's."""
    import tensorflow as tf

    samples, epochs = len(columns[0]), count(epoch)
    tensors = tuple(map(tf.constant, columns))
    orders = tf.data.Dataset.from_generator(
        lambda: iter([order(samples, seed, next(epochs))]), output_signature=tf.TensorSpec([samples], tf.int32)
    )
    rows = orders.unbatch().batch(batch_size)
    batches = rows.map(lambda rows: tuple(tf.gather(tensor, rows) for tensor in tensors))
    return batches.apply(tf.data.experimental.assert_cardinality(-(-samples // batch_size)))


def pydataset(columns: tuple[NDArray[Any], ...], batch_size: int, seed: int, epoch: int) -> Any:
    """Return a keras.utils.PyDataset of the batches of an epoch, and at the next epoch's beginning of the next."""
    return in_order(Batches(columns, len(columns[0]), batch_size), seed, epoch)


ARRAYS: dict[str, Callable[[Any, Any, str], tuple[Any, Any]]] = {
    "numpy": lambda x, y, _: (x, y),
    "list": lambda x, y, _: ([x], y),
    "tensor": tensors,
    "dict": lambda x, y, name: ({name: x}, y),
}
BATCH_BY_BATCH: dict[str, Callable[..., Any]] = {
    "tf-data": tf_data,
    "weighted": tf_data,
    "generator": generator,
    "pydataset": pydataset,
}
FORMS = (*ARRAYS, *BATCH_BY_BATCH)


def checked(x: Any, y: Any, weights: Any = None, *, classes: int = CLASSES) -> None:
    """Raise ValueError, with what to do, unless these are samples with a label each, of every class 0..classes-1.

    `x` is an array, a list of arrays or a dict of names to arrays, with a row for each sample.
    """
    inputs = (
        x
        if isinstance(x, dict)
        else {str(number): each for number, each in enumerate(x)}
        if isinstance(x, list)
        else {"": x}
    )
    if not inputs:
        raise ValueError("there is no input: give at least one array of samples")
    for name, each in inputs.items():
        _numbers(f"input {name}".strip(), np.asarray(each))
    labels = np.asarray(y)
    _numbers("labels", labels)
    lengths = {f"input {name}".strip(): len(each) for name, each in inputs.items()} | {"labels": len(labels)}
    if weights is not None:
        _numbers("weights", np.asarray(weights))
        lengths["weights"] = len(weights)
        if (np.asarray(weights) < 0).any():
            raise ValueError("some weights are below zero: give each sample a weight of zero or more")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise ValueError(f"not as many of each: {told}; give every sample one label, in the same order")
    if labels.ndim > 1 and labels.shape != (len(labels), 1):
        raise ValueError(
            f"the labels have shape {labels.shape}: give one whole number a sample, shape ({len(labels)},)"
        )
    whole = labels.ravel().astype(np.int64)
    if (whole != labels.ravel()).any():
        raise ValueError(
            f"labels that are no whole numbers{_rows(whole != labels.ravel())}: give the number of a class"
        )
    outside = (whole < 0) | (whole >= classes)
    if outside.any():
        raise ValueError(f"labels out of range{_rows(outside)}: the classes are 0 to {classes - 1}")
    missing = sorted(set(range(classes)) - set(np.unique(whole).tolist()))
    if missing:
        raise ValueError(f"no sample has label {missing[0]}: train on samples of every class, 0 to {classes - 1}")


def _numbers(what: str, array: NDArray[Any]) -> None:
    if not array.size:
        raise ValueError(f"{what}: empty; give at least one of every class")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what}: of type {array.dtype}; give numbers")
    strange = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if strange.any():
        raise ValueError(f"{what}: not a number{_rows(strange)}; leave these rows out or fill them in")


def _rows(wrong: NDArray[np.bool_]) -> str:
    rows = np.flatnonzero(wrong)
    return f" in {len(rows):,} of {len(wrong):,} rows, the first {', '.join(map(str, rows[:5]))}"
