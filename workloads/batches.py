"""Samples as Keras's fit takes them, in batches, and the order of the samples in each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int32]


class Batches(NamedTuple):
    """Arrays as fit packs them, (x, y) or (x, y, sample_weight), how many samples they hold, and how many go in a batch."""

    arrays: Any
    samples: int
    size: int

    @property
    def steps(self) -> int:
        return -(-self.samples // self.size)


def not_arrays(samples: Any, validation_data: Any) -> str:
    """Return why Keras does not take these as arrays, or nothing."""
    from keras.src.trainers.data_adapters.array_data_adapter import can_convert_arrays

    for what, given in (("samples", samples), ("validation data", validation_data)):
        for part in given if isinstance(given, tuple) else (given,):
            if not can_convert_arrays(part):
                return f"the {what} come from a {type(part).__name__}, and the loop needs arrays"
    return ""


def batches(
    *,
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: dict[int, float] | None,
    validation_split: float,
    validation_data: Any,
    batch_size: int | None,
    validation_batch_size: int | None,
) -> tuple[Batches, Batches | None]:
    """Return what fit trains on and what it holds out, by its own code: the last samples are held out, floats are of one
    type, class weights are sample weights, and what does not fit together is its ValueError."""
    from keras import tree
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
    from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable, train_validation_split

    def taken(size: int | None, *arrays: Any, **weights: Any) -> Batches:
        adapter = ArrayDataAdapter(*arrays, batch_size=size, **weights)
        kept = convert_to_sliceable(adapter._inputs, target_backend="tensorflow")
        return Batches(tree.lists_to_tuples(kept), adapter._num_samples, adapter.batch_size)

    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = train_validation_split(
            (x, y, sample_weight), validation_split=validation_split
        )
    train = taken(batch_size, x, y, sample_weight, class_weight=class_weight)
    return train, taken(validation_batch_size or batch_size, *validation_data) if validation_data else None


def order(samples: int, seed: int, epoch: int) -> Order:
    """Return the order of the samples in an epoch, shape (samples,): it depends on the seed and the epoch alone."""
    return np.random.default_rng((seed, epoch)).permutation(samples).astype(np.int32)


def orders(samples: int, shuffle: bool, seed: int | None) -> Callable[[int], Order]:
    """Return the function that gives the order in an epoch: as given, by the seed, or without one as fit draws it."""
    if not shuffle:
        return lambda _: np.arange(samples, dtype=np.int32)
    if seed is not None:
        return lambda epoch: order(samples, seed, epoch)
    import tensorflow as tf

    # As keras/src/trainers/data_adapters/array_data_adapter.py draws it, an iterator an epoch: after
    # keras.utils.set_random_seed the kernel of each starts from that seed, so that every epoch has the same order.
    draw = tf.data.Dataset.range(1).map(lambda _: tf.random.shuffle(tf.range(samples, dtype=tf.int64)))
    return lambda _: next(iter(draw)).numpy().astype(np.int32)


def in_order(train: Batches, seed: int, initial_epoch: int) -> Any:
    """Return a keras.utils.PyDataset of the batches, each epoch in its order, from `initial_epoch` on."""
    import keras

    class InOrder(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.epoch = initial_epoch
            self.order = order(train.samples, seed, initial_epoch)
            self.arrays = keras.tree.map_structure(
                lambda each: None if each is None else np.asarray(each), train.arrays
            )

        def __len__(self) -> int:
            return train.steps

        def __getitem__(self, batch: int) -> Any:
            rows = self.order[batch * train.size :][: train.size]
            return keras.tree.map_structure(lambda each: None if each is None else each[rows], self.arrays)

        def on_epoch_begin(self) -> None:  # fit calls on_epoch_end before the first epoch too
            self.order = order(train.samples, seed, self.epoch)
            self.epoch += 1

    return InOrder()
