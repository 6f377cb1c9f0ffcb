"""A drop-in for Keras's fit: an epoch is one compiled loop over data that stays on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from batches import Batches, batches, in_order, not_arrays, orders
from epoch import Loop, compiled, trained

BUDGET_BYTES = 2 << 30

# What the loop runs is Keras's train_step and test_step; a model with its own of these is left to fit.
STEPS = ("fit", "evaluate", "train_step", "test_step", "make_train_function", "make_test_function", "compute_metrics")
BATCH_HOOKS = (
    *("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    *("on_test_batch_begin", "on_test_batch_end"),
)
# Keras's own callbacks whose hooks for batches do nothing that lasts while this attribute is "epoch".
BY_EPOCH = {"ModelCheckpoint": "save_freq", "BackupAndRestore": "save_freq", "TensorBoard": "update_freq"}


def fit(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    validation_batch_size: int | None = None,
    shuffle: bool = True,
    class_weight: dict[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    seed: int | None = None,
    loop: str = "auto",
    budget_bytes: int = BUDGET_BYTES,
    tell: Callable[[Loop], None] = lambda _: None,
    **others: Any,
) -> Any:
    """Return the History of training a compiled model, as model.fit does with these arguments, in a fraction of its time.

    With a `seed` every epoch has the order of batches.order(samples, seed, epoch), so that training that ended after an
    epoch goes on at `initial_epoch` as if it had not; without one it is the order that model.fit draws. `loop` is auto,
    xla, graph or fit. The graph gives model.fit's very bits, and so does XLA where the model is compiled with
    jit_compile=True; between the two lies the rounding of 32 bits. `tell` gets the Loop when it is compiled, before the
    first epoch. Where the loop cannot serve, and with `others` of model.fit's arguments, model.fit trains, and why is in
    the Loop.
    """
    samples: dict[str, Any] = {"x": x, "y": y, "sample_weight": sample_weight, "class_weight": class_weight}
    samples |= {"validation_split": validation_split, "validation_data": validation_data}
    sizes: dict[str, Any] = {"batch_size": batch_size, "validation_batch_size": validation_batch_size}
    more = {"epochs": epochs, "initial_epoch": initial_epoch, "callbacks": callbacks, "verbose": 0, **others}
    train, held_out = None, None
    why = not_of_keras(model) or not_arrays((x, y, sample_weight), validation_data)
    if not why:
        train, held_out = batches(**samples, **sizes)
        why = not_of_tensorflow(model) or not_whole(train, held_out, budget_bytes)
        why = why or not_by_epoch(callbacks, shuffle, others)
    if not why and loop == "fit":
        why = "asked for"
    run, what = (None, Loop("fit", why)) if why or not train else compiled(model, train, held_out, loop)
    tell(what)
    build(model, train.arrays if train else validation_data)
    if run and train:
        return _fit(model, run, train, held_out, orders(train.samples, shuffle, seed), epochs, initial_epoch, callbacks)
    if train and seed is not None and shuffle is True:
        ordered = in_order(train, seed, initial_epoch)
        return model.fit(ordered, validation_data=held_out and held_out.arrays, shuffle=False, **sizes, **more)
    return model.fit(**samples, **sizes, shuffle=shuffle, **more)


def build(model: Any, given: Any) -> None:
    """Build what Keras, on another backend than TensorFlow, takes a batch of the samples for: a generator lacks that batch
    then, and whoever counts the epochs counts one more. `given` is any batch of their kind, as a tuple of arrays."""
    import keras

    if keras.backend.backend() == "tensorflow" or not isinstance(given, tuple) or not_arrays(given, None):
        return
    model._symbolic_build(data_batch=keras.tree.map_structure(lambda each: None if each is None else each[:1], given))


def _fit(
    model: Any,
    run: Any,
    train: Batches,
    held_out: Batches | None,
    drawn: Any,
    epochs: int,
    initial_epoch: int,
    callbacks: Any,
) -> Any:
    """Do what model.fit does around its batches: callbacks, validation, stop_training, History."""
    import keras

    if not isinstance(callbacks, keras.callbacks.CallbackList):
        told = {"verbose": 0, "epochs": epochs, "steps": train.steps}
        callbacks = keras.callbacks.CallbackList(callbacks, add_history=True, model=model, **told)
    model.stop_training = False
    logs: dict[str, Any] = {}
    steps = 1  # of a call, which doubles while it is short
    callbacks.on_train_begin()
    for epoch in range(getattr(model, "_initial_epoch", None) or initial_epoch, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        order = drawn(epoch)
        metrics, steps = trained(run, order, train, steps)
        logs = dict(metrics)
        if held_out:
            callbacks.on_test_begin()
            model.reset_metrics()
            found = run(order, 0, 0, 0, 1)
            callbacks.on_test_end(found)
            logs |= {f"val_{name}": value for name, value in found.items()}
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)
    return model.history


def not_of_keras(model: Any) -> str:
    """Return why the loop cannot do this model's steps, or nothing."""
    import keras

    if not hasattr(model, "_symbolic_build"):
        return f"the loop does not know Keras {keras.__version__}"
    own = [name for name in STEPS if getattr(type(model), name) is not getattr(keras.Model, name)]
    reasons = {
        "the model is not compiled": not model.compiled,
        f"{type(model).__name__} has its own {''.join(own[:1])}": own,
        "the model runs eagerly": model.run_eagerly,
        f"the model has steps_per_execution={model.steps_per_execution}": model.steps_per_execution != 1,
    }
    return next((why for why, holds in reasons.items() if holds), "")


def not_of_tensorflow(model: Any) -> str:
    """Return why TensorFlow cannot run this model's loop, or nothing."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return f"the loop is TensorFlow's, and Keras runs on {keras.backend.backend()}"
    import tensorflow as tf

    if tf.config.functions_run_eagerly():
        return "functions run eagerly"
    return "the model is distributed" if model._distribute_strategy or tf.distribute.has_strategy() else ""


def not_whole(train: Batches, held_out: Batches | None, budget_bytes: int) -> str:
    """Return why the samples cannot all be on the device, or nothing."""
    import keras
    import tensorflow as tf

    arrays = [each for each in keras.tree.flatten((train.arrays, held_out and held_out.arrays)) if each is not None]
    other = [type(each).__name__ for each in arrays if not isinstance(each, np.ndarray | tf.Tensor)]
    if other:
        return f"the samples are a {other[0]}"
    need = sum(
        int(np.prod(each.shape)) * np.dtype(keras.backend.standardize_dtype(each.dtype)).itemsize for each in arrays
    )
    return f"the samples are {need:,} bytes and may be {budget_bytes:,}" if need > budget_bytes else ""


def not_by_epoch(callbacks: Any, shuffle: Any, others: dict[str, Any]) -> str:
    """Return what asks for something between the batches of an epoch, or nothing."""
    import keras

    for callback in keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or []):
        name = type(callback).__name__
        if (
            type(callback) is getattr(keras.callbacks, name, None)
            and getattr(callback, BY_EPOCH.get(name, ""), "") == "epoch"
        ):
            continue
        for hook in BATCH_HOOKS:
            if getattr(getattr(callback, hook), "__func__", None) is not getattr(keras.callbacks.Callback, hook):
                return f"the callback {name} has {hook}"
    if shuffle == "batch":
        return "shuffle is 'batch'"
    asked = [f"{name}={value}" for name, value in others.items() if value and (name, value) != ("validation_freq", 1)]
    return f"{asked[0]} is fit's alone" if asked else ""
