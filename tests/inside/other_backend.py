"""The packaged workloads on another backend of Keras than TensorFlow, the image's own: the same data in the same order, any
form of it, and a run that was stopped goes on to the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import checkpoint
import keras
import numpy as np
import training
from batches import order
from keras import layers
from side_effects.data import samples, scaled
from side_effects.inputs import given
from side_effects.run import model

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    import jax


def arrays(net: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in net.variables]


def test_every_form_of_the_data_gives_the_same_weights() -> None:
    ages, y = samples(seed=0)
    x, told = scaled(ages), {"batch_size": 10, "seed": 0}
    expected: list[Any] = []
    for form in ("numpy", "tensor", "weighted", "generator", "pydataset"):  # one of each kind
        keras.utils.set_random_seed(0)
        net = model("cpu")
        data = given(form, x[:195], y[:195], (x[200:260], y[200:260]), **told)
        training.fit(net, **{**told, **data}, epochs=2)
        found = arrays(net)
        expected = expected or found
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True)), form


def test_a_stopped_training_goes_on_to_the_same_weights() -> None:
    def trained(net: Any, **told: Any) -> Any:
        kept = checkpoint.callback(folder, {})
        training.fit(net, x[:200], y[:200], batch_size=10, seed=1, callbacks=[kept], **told)
        return net

    folder, (ages, y) = Path(mkdtemp()), samples(seed=0)
    x = scaled(ages)
    keras.utils.set_random_seed(0)
    whole = trained(model("cpu"), epochs=2)
    keras.utils.set_random_seed(0)
    trained(model("cpu"), epochs=1)
    again = model("cpu")
    assert checkpoint.load(folder, again)[0] == 1
    trained(again, initial_epoch=1, epochs=2)
    assert all(np.array_equal(one, other) for one, other in zip(arrays(again), arrays(whole), strict=True))


def test_a_run_with_every_option() -> None:
    command = [sys.executable, "/workloads/side_effects/run.py", "--out", mkdtemp(), "--epochs", "1"]
    command += ["--deterministic", "--mixed-precision"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    events = {event["event"]: event for event in map(json.loads, done.stdout.splitlines())}
    assert events["versions"][BACKEND]
    assert events["gpus"][BACKEND] == 0


def test_fit_trains_and_says_why_in_the_order_of_the_seed() -> None:
    seen: list[float] = []

    def saw(inputs: Any) -> None:
        seen.extend(np.asarray(inputs).ravel().tolist())

    class Seen(layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            if BACKEND == "jax":
                jax.debug.callback(saw, inputs, ordered=True)
            elif inputs.device.type != "meta":  # of a shape without numbers
                saw(inputs)
            return inputs

    net = keras.Sequential([layers.Input((1,)), Seen(), layers.Dense(1)])
    net.compile("sgd", "mse")
    loops: list[Any] = []
    x = np.arange(40.0)[:, None]
    training.fit(net, x, x, batch_size=10, epochs=2, seed=3, tell=loops.append)
    if BACKEND == "jax":
        jax.effects_barrier()
    why = f"the loop is TensorFlow's, and Keras runs on {BACKEND}"
    assert [(loop.kind, loop.why) for loop in loops] == [("fit", why)]
    assert seen[-80:] == [*map(float, order(40, 3, 0)), *map(float, order(40, 3, 1))]
