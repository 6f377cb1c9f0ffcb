"""A training from its start to its results: what every packaged workload does around its data and its model."""

from __future__ import annotations

import argparse
import errno
import hashlib
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import checkpoint
import numpy as np
import prepared
import streamed
from backends import as_numpy, computing, training_device, versions
from runtime import arguments, emit, fail, phase, stop_on_sigterm, took
from scaling import Scaling
from training import fit


class Data(NamedTuple):
    """Samples and labels 0..classes-1, those that are trained on and those that are held out, and where they are from.

    `scaling` is what they were made from, where that is the columns of a table; if `on_disk` they are too many for memory.
    """

    x: Any
    y: Any
    held_out: tuple[Any, Any]
    classes: int
    source: str
    scaling: Scaling | None = None
    on_disk: bool = False


HASHED = 1 << 16  # rows at a time
FULL = (errno.ENOSPC, errno.EDQUOT)
Given = Callable[[argparse.Namespace, Data, int], dict[str, Any]]


def arrays(_options: argparse.Namespace, data: Data, _initial_epoch: int) -> dict[str, Any]:
    """Return what fit is given where the data has no other form than its arrays."""
    return {"x": data.x, "y": data.y, "validation_data": data.held_out}


def run(
    description: str | None,
    data: Callable[[int], Data],
    model: Callable[..., Any],
    told: Callable[[Any, Data], None] = lambda _net, _data: None,
    given: Given = arrays,
) -> int:
    """Train a model on data as kit asks, tell it of every step, and return the exit code.

    `data` gives the data of a seed, `model` the compiled model for a device, `told` tells of the trained model what is
    this workload's own, and `given` the data in the form that was asked for, from an epoch on. With --data, which a
    workload takes whose workload.toml says so, the data is the user's and `model` gets it too.
    """
    options = arguments(description)
    stop_on_sigterm()
    emit("started")
    try:
        with phase("import"):
            device = training_device(options.device, deterministic=options.deterministic)
            emit("versions", **versions())
            computing(options.seed, device, mixed_precision=options.mixed_precision)
        with phase("data"):
            samples = own(options) if options.data else data(options.seed)
            total, held_out = len(samples.y) + len(samples.held_out[1]), len(samples.held_out[1])
            emit(
                "data",
                samples=total,
                held_out=held_out,
                source=samples.source,
                sha256=digest(samples),
                **told_of(samples),
            )
            if samples.scaling and not options.data:
                both = (samples.x, samples.y), samples.held_out
                prepared.keep(options.out, samples.scaling, both, total, trained_on=len(samples.y), seed=options.seed)
        with phase("compile"):
            net = model(device, samples) if options.data else model(device)
            net.summary(line_length=80, print_fn=lambda text: emit("summary", text=text))
        emit("device", device=device)
        results = train(net, samples, options, given)
        results["confusion_matrix"] = confusion(net, samples)
        if not options.data:
            told(net, samples)
        with phase("save"), checkpoint.whole(options.out / "model.keras") as unfinished:
            net.save(unfinished)
        emit("results", **results)
    except KeyboardInterrupt:
        emit("interrupted")
        return 130
    except OSError as error:  # h5py's own has the number in its text alone
        if error.errno not in FULL and "No space left on device" not in str(error):
            raise
        fail("disk-full", f"There is no room left in the run's folder: {error}")
    return 0


def own(options: argparse.Namespace) -> Data:
    """Return the data of the user's own table; the end of the run, with what to do, where that cannot be trained on."""
    try:
        ready = None
        with suppress(FileNotFoundError):
            ready = prepared.kept(options.out) if options.resume else None
        ready = ready or prepared.prepared(options, lambda text: emit("note", text=text))
    except ValueError as error:
        fail("data-unfit", str(error))
    x, y, first, scaling, on_disk = ready
    if on_disk and not options.stream:
        emit("note", text="the data is read from disk, batch by batch: there is too little memory for all of it")
    held_out = x[first:], y[first:]
    return Data(x[:first], y[:first], held_out, len(scaling.classes), options.data.name, scaling, on_disk)


def digest(data: Data) -> str:
    """Return the SHA-256 of the samples trained on and their labels."""
    found = hashlib.sha256()
    for each in (data.x, data.y):
        for start in range(0, len(each), HASHED):
            found.update(np.asarray(each[start : start + HASHED]).tobytes())
            streamed.forget(each)
    return found.hexdigest()


def told_of(data: Data) -> dict[str, Any]:
    """Return what the data event tells of a table."""
    if data.scaling is None:
        return {}
    return {"features": data.scaling.features, "target": data.scaling.target, "classes": data.scaling.classes}


def from_disk(options: argparse.Namespace, data: Data, initial_epoch: int) -> dict[str, Any]:
    """Return what fit is given where the samples are too many for memory."""
    x = streamed.dataset(data.x, data.y, options.batch_size, seed=options.seed, initial_epoch=initial_epoch)
    return {"x": x, "validation_data": streamed.dataset(*data.held_out, options.batch_size), "shuffle": False}


def train(net: Any, data: Data, options: argparse.Namespace, given: Given) -> dict[str, Any]:
    """Train the model, an `epoch` event an epoch, and return the last epoch's metrics with steps and their rate."""
    import keras

    try:
        done, history = checkpoint.load(options.out, net) if options.resume else (0, {})
        for number in range(done):  # kit may have been killed before it heard of them
            metrics = {name: values[number] for name, values in history.items()}
            emit("epoch", epoch=number + 1, epochs=options.epochs, again=True, **metrics)
        samples = (from_disk if data.on_disk else given)(options, data, done)
    except ValueError as error:
        fail("workload-failed", str(error))

    if data.on_disk:
        if options.input != "numpy":
            emit("note", text=f"from disk the data comes as a tf.data dataset, and not as --input {options.input}")
        net.steps_per_execution = streamed.steps_at_once(options.batch_size)

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            emit("epoch", epoch=epoch + 1, epochs=options.epochs, **metrics, peak_memory_bytes=peak)

    loops: list[Any] = []

    def compiled(loop: Any) -> None:
        loops.append(loop)
        emit("phase-started", phase="train")

    began = time.perf_counter()
    fit(
        net,
        **{"batch_size": options.batch_size, "seed": options.seed, **samples},
        epochs=options.epochs,
        initial_epoch=done,
        callbacks=[Progress(), checkpoint.callback(options.out, history)],
        tell=compiled,
    )
    (loop,) = loops
    seconds = time.perf_counter() - began - loop.seconds
    emit("loop", kind=loop.kind, why="the samples are read from disk" if data.on_disk else loop.why)
    took("compile", loop.seconds)
    took("train", seconds)
    steps = -(-len(data.y) // options.batch_size)
    last = {name: values[-1] for name, values in history.items()}
    rate = (options.epochs - done) * steps / seconds
    return {**last, "epochs": options.epochs, "steps": options.epochs * steps, "steps_per_second": rate}


def confusion(net: Any, data: Data) -> list[list[int]]:
    """Return the confusion matrix of the samples held out: row = true class, column = predicted class."""
    x, y = data.held_out
    matrix = np.zeros((data.classes, data.classes), int)
    for start in range(0, len(y), 1024):
        predicted = as_numpy(net(x[start : start + 1024], training=False))
        np.add.at(matrix, (y[start : start + 1024], predicted.argmax(axis=1)), 1)
        streamed.forget(x, y)
    counts: list[list[int]] = matrix.tolist()
    return counts
