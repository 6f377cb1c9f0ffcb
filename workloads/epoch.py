"""An epoch of Keras's train_step as one compiled loop: by XLA, or as a TensorFlow graph of the kernels that fit runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from batches import Batches, Order

# What XLA's code for CPUs does slower than TensorFlow's kernels, by the start of the operation's name. Measured in
# kit/tensorflow:2.21.0-cpu, 2 cores, batches of 32, ms a step by XLA and by the kernels: Conv2D 144 and 7, Conv1D 8.0
# and 0.9, max pooling 3.6 and 1.7, LSTM 20 and 6.7 (a loop in the loop), dropout of 256 units 3.7 and 0.6. All else
# that was tried is faster by XLA, or equal: dense layers to 4096 units, normalization, embedding, attention, averages.
SLOW_BY_XLA = (
    "Conv",
    "DepthwiseConv",
    "MaxPool",
    "StatelessRandom",
    "StatelessTruncatedNormal",
    "While",
    "StatelessWhile",
)

# Below so many multiplications a step XLA's loop is faster as one function than as a call for each operation: 7 µs and
# 17 µs at 6,420 (the course's model in batches of 10), 21 and 24 at 17,000, 59 and 28 at 55,000.
FEW_MULTIPLICATIONS = 16_384
ONE_FUNCTION = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=262144"
# LLVM's first level compiles the course's model in 0.52 s and its highest in 0.69 s, to the same bits; then it does 94,000
# steps a second and 84,000. With 1,478 parameters it is 80,000 and 91,000, which 0.2 s pay for 130,000 steps long.
FIRST_LEVEL = "--xla_backend_optimization_level=1"

CALL_SECONDS = 0.5  # Python handles signals between calls, so that none may take long


class Loop(NamedTuple):
    """What trains: "xla", "graph" or "fit"; what kept a faster one from it; the seconds that it took to compile."""

    kind: str
    why: str = ""
    seconds: float = 0.0


# Takes the order of the samples, the first step and the last, whether the last smaller batch and whether the validation
# follow, 0 or 1; returns the metrics.
Run = Callable[[Any, int, int, int, int], dict[str, Any]]


def compiled(model: Any, train: Batches, held_out: Batches | None, asked: str) -> tuple[Run | None, Loop]:
    """Return what runs the steps of an epoch, compiled but not run, and which loop it is; None where only fit can do it.

    `asked` is auto, xla or graph.
    """
    import tensorflow as tf
    from keras import tree

    began = time.perf_counter()
    arrays, held = tree.map_structure(
        lambda each: None if each is None else tf.convert_to_tensor(each),
        (train.arrays, held_out.arrays if held_out else None),
    )
    held_order = tf.range(held_out.samples if held_out else 0)
    orders, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)
    signature = (arrays, held, orders, orders, number, number, number, number)

    def running(epoch: Any) -> Run:
        traced = epoch.get_concrete_function(*signature)

        def run(order: Any, *steps: int) -> dict[str, Any]:
            metrics: dict[str, Any] = traced(arrays, held, order, held_order, *map(tf.constant, steps))
            return metrics

        run(tf.range(train.samples), 0, 0, 0, 0)  # compiles, and changes nothing
        return run

    def done(kind: str, why: str = "") -> Loop:
        return Loop(kind, why, time.perf_counter() - began)

    try:
        model._symbolic_build(
            data_batch=tree.map_structure(lambda each: each if each is None else each[: train.size], arrays)
        )
        graph = tf.function(_epoch(model, train, held_out), autograph=False)
        traced = graph.get_concrete_function(*signature)
    except Exception as error:  # the model's own code runs here
        return None, done("fit", f"the loop cannot be traced: {_first_line(error)}")
    why = "asked for" if asked == "graph" else without_xla(model, traced) if asked == "auto" else ""
    if not why:
        if model.count_params() * train.size < FEW_MULTIPLICATIONS and not tf.config.get_visible_devices("GPU"):
            os.environ.setdefault(
                "XLA_FLAGS", f"{ONE_FUNCTION} {FIRST_LEVEL}"
            )  # read at the process's first use of XLA
        try:
            return running(tf.function(lambda *given: graph(*given), autograph=False, jit_compile=True)), done("xla")  # noqa: PLW0108 a tf.function of a tf.function is that function
        except Exception as error:  # an operation that XLA does not have
            why = f"XLA cannot compile it: {_first_line(error)}"
    try:
        return running(graph), done("graph", why)
    except Exception as error:
        return None, done("fit", f"the loop does not run: {_first_line(error)}")


def _epoch(model: Any, train: Batches, held_out: Batches | None) -> Any:
    """Return the function of steps of training, then of validation, that returns the metrics."""
    import tensorflow as tf
    from keras import tree

    def loop(step: Any, arrays: Any, order: Any, start: Any, stop: Any, size: int, count: Any) -> None:
        def body(batch: Any) -> Any:
            rows = tf.slice(order, [batch * size], [count])
            step(tree.map_structure(lambda each: None if each is None else tf.gather(each, rows), arrays))
            return (batch + 1,)

        tf.while_loop(lambda batch: batch < stop, body, (start,), parallel_iterations=1)

    def both(step: Any, given: Batches, arrays: Any, order: Any, start: Any, stop: Any, rest: Any) -> None:
        full, left = divmod(given.samples, given.size)
        if not left:
            return loop(step, arrays, order, start, stop, given.size, given.size)
        # Fit traces its step for batches of any size then, and so its kernels are chosen, and some metrics weighted.
        # XLA takes the order's length from what it is called with, and so knows the sizes.
        samples = tf.size(order)
        if full:
            loop(step, arrays, order, start, stop, given.size, tf.minimum(given.size, samples))
        return loop(step, arrays, order, tf.constant(full), full + rest, given.size, samples - full * given.size)

    def epoch(
        arrays: Any, held: Any, order: Any, held_order: Any, start: Any, stop: Any, rest: Any, validate: Any
    ) -> Any:
        both(model.train_step, train, arrays, order, start, stop, rest)
        if held_out:
            full = held_out.samples // held_out.size
            both(model.test_step, held_out, held, held_order, tf.constant(0), full * validate, validate)
        return model.get_metrics_result()

    return epoch


def without_xla(model: Any, traced: Any) -> str:
    """Return why fit's kernels are the better choice for this model here, or nothing."""
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU"):
        return "" if model.jit_compile else "the model is compiled without XLA"
    unable = [layer.name for layer in model._flatten_layers() if not layer.supports_jit]
    if unable:
        return f"XLA cannot compile the layer {unable[0]}"
    if model.jit_compile:
        return ""
    used = {node.op for function in traced.graph.as_graph_def().library.function for node in function.node_def}
    slow = sorted(op for op in used if op.startswith(SLOW_BY_XLA))
    return f"XLA's code for CPUs is slower at {', '.join(slow)}" if slow else ""


def trained(run: Run, order: Order, train: Batches, steps: int) -> tuple[dict[str, Any], int]:
    """Run an epoch of training in calls of so many steps, then of as many as half a second takes; return its metrics, and
    the steps of the next epoch's first call."""
    import tensorflow as tf

    ordered = tf.constant(order)
    full = train.samples // train.size
    start = 0
    while True:
        stop = min(start + steps, full)
        began = time.perf_counter()
        metrics = run(ordered, start, stop, int(stop == full), 0)
        np.asarray(metrics["loss"])  # a GPU's work is done when its numbers are here
        seconds = time.perf_counter() - began
        if seconds > CALL_SECONDS:
            steps = -(-steps // 2)
        elif seconds < CALL_SECONDS / 2 and stop - start == steps:
            steps *= 2
        if stop == full:
            return metrics, steps
        start = stop


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
