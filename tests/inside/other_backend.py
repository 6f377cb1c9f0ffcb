"""The packaged workloads on another backend of Keras than TensorFlow: the same data in the same order, any form of it, and
a run that was stopped goes on to the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import training
from batches import order
from keras import layers
from side_effects.inputs import FORMS


def run(out: Path, *more: str) -> list[dict[str, Any]]:
    """Run the workload as a process of its own and return its events."""
    command = [sys.executable, "/workloads/side_effects/run.py", "--out", str(out), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def first(events: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(event for event in events if event["event"] == name)


def weights(out: Path) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in keras.models.load_model(out / "model.keras").variables]


def test_every_form_of_the_data_gives_the_same_weights() -> None:
    expected = None
    for form in FORMS:
        out = Path(mkdtemp())
        events = run(out, "--epochs", "2", "--input", form)
        assert first(events, "versions")["jax"]
        assert first(events, "gpus")["jax"] == 0
        expected = expected or weights(out)
        assert all(np.array_equal(one, other) for one, other in zip(weights(out), expected, strict=True)), form


def test_a_stopped_run_goes_on_to_the_same_weights() -> None:
    whole, parts = Path(mkdtemp()), Path(mkdtemp())
    run(whole, "--epochs", "4")
    run(parts, "--epochs", "2")
    run(parts, "--epochs", "4", "--resume")
    assert all(np.array_equal(one, other) for one, other in zip(weights(parts), weights(whole), strict=True))


def test_deterministic_and_mixed_precision_are_taken() -> None:
    run(Path(mkdtemp()), "--epochs", "1", "--deterministic", "--mixed-precision")


def test_fit_trains_and_says_why_in_the_order_of_the_seed() -> None:
    seen: list[float] = []

    class Seen(layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            jax.debug.callback(lambda each: seen.extend(np.asarray(each).ravel().tolist()), inputs, ordered=True)
            return inputs

    net = keras.Sequential([layers.Input((1,)), Seen(), layers.Dense(1)])
    net.compile("sgd", "mse")
    loops: list[Any] = []
    x = np.arange(40.0)[:, None]
    training.fit(net, x, x, batch_size=10, epochs=2, seed=3, tell=loops.append)
    jax.effects_barrier()
    assert [(loop.kind, loop.why) for loop in loops] == [("fit", "the loop is TensorFlow's, and Keras runs on jax")]
    assert seen[-80:] == [*map(float, order(40, 3, 0)), *map(float, order(40, 3, 1))]
