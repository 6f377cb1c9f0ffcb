"""A training from its start to its results: what every packaged workload does around its data and its model."""

from __future__ import annotations

import argparse
import hashlib
import resource
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import checkpoint
import numpy as np
from runtime import arguments, computing, emit, fail, phase, stop_on_sigterm, tensorflow_gpus, took, versions
from training import fit


class Data(NamedTuple):
    """Samples and labels 0..classes-1, those that are trained on and those that are held out, and where they are from."""

    x: Any
    y: Any
    held_out: tuple[Any, Any]
    classes: int
    source: str


Given = Callable[[argparse.Namespace, Data, int], dict[str, Any]]


def arrays(_options: argparse.Namespace, data: Data, _initial_epoch: int) -> dict[str, Any]:
    """Return what fit is given where the data has no other form than its arrays."""
    return {"x": data.x, "y": data.y, "validation_data": data.held_out}


def run(
    description: str | None,
    data: Callable[[int], Data],
    model: Callable[[str], Any],
    told: Callable[[Any, Data], None] = lambda _net, _data: None,
    given: Given = arrays,
) -> int:
    """Train a model on data as kit asks, tell it of every step, and return the exit code.

    `data` gives the data of a seed, `model` the compiled model for a device, `told` tells of the trained model what is
    this workload's own, and `given` the data in the form that was asked for, from an epoch on.
    """
    options = arguments(description)
    stop_on_sigterm()
    emit("started")
    try:
        with phase("import"):
            device = tensorflow_gpus(options.device)
            emit("versions", **versions())
            how = {"mixed_precision": options.mixed_precision, "deterministic": options.deterministic}
            computing(options.seed, device, **how)
        with phase("data"):
            samples = data(options.seed)
            digest = hashlib.sha256(np.asarray(samples.x).tobytes() + np.asarray(samples.y).tobytes()).hexdigest()
            total, held_out = len(samples.y) + len(samples.held_out[1]), len(samples.held_out[1])
            emit("data", samples=total, held_out=held_out, source=samples.source, sha256=digest)
        with phase("compile"):
            net = model(device)
            net.summary(line_length=80, print_fn=lambda text: emit("summary", text=text))
        emit("device", device=device)
        results = train(net, samples, options, given)
        results["confusion_matrix"] = confusion(net, samples)
        told(net, samples)
        with phase("save"):
            net.save(options.out / "model.keras")
        emit("results", **results)
    except KeyboardInterrupt:
        emit("interrupted")
        return 130
    return 0


def train(net: Any, data: Data, options: argparse.Namespace, given: Given) -> dict[str, Any]:
    """Train the model, an `epoch` event an epoch, and return the last epoch's metrics with steps and their rate."""
    import keras

    try:
        done, history = checkpoint.load(options.out, net) if options.resume else (0, {})
        samples = given(options, data, done)
    except ValueError as error:
        fail("workload-failed", str(error))

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            emit("epoch", epoch=epoch + 1, epochs=options.epochs, **metrics, peak_memory_bytes=peak)

    loops: list[Any] = []
    began = time.perf_counter()
    fit(
        net,
        **{"batch_size": options.batch_size, "seed": options.seed, **samples},
        epochs=options.epochs,
        initial_epoch=done,
        callbacks=[Progress(), checkpoint.callback(options.out, history)],
        tell=loops.append,
    )
    (loop,) = loops
    seconds = time.perf_counter() - began - loop.seconds
    emit("loop", kind=loop.kind, why=loop.why)
    took("compile", loop.seconds)
    took("train", seconds)
    steps = -(-len(data.y) // options.batch_size)
    last = {name: values[-1] for name, values in history.items()}
    rate = (options.epochs - done) * steps / seconds
    return {**last, "epochs": options.epochs, "steps": options.epochs * steps, "steps_per_second": rate}


def confusion(net: Any, data: Data) -> list[list[int]]:
    """Return the confusion matrix of the samples held out: row = true class, column = predicted class."""
    x, y = data.held_out
    predicted = np.concatenate(
        [np.asarray(net(x[start : start + 1024], training=False)) for start in range(0, len(y), 1024)]
    )
    matrix = np.zeros((data.classes, data.classes), int)
    np.add.at(matrix, (y, predicted.argmax(axis=1)), 1)
    counts: list[list[int]] = matrix.tolist()
    return counts
