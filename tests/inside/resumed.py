"""A run that is killed at any moment leaves a checkpoint that loads, and goes on to the weights of one that is not."""

import json
import os
import random
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

# The modules are imported once, and every run is a fork: TensorFlow computes nothing before it.
sys.path.insert(0, "/workloads")

EPOCHS, KILLS = 60, 10


def run(out: Path, *more: str, kill_at: int | None = None, by: int = signal.SIGKILL) -> list[dict[str, Any]]:
    """Run the workload as a process of its own and return its events; kill it as soon as it told so many."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 1)
        sys.argv = ["run.py", "--epochs", str(EPOCHS), "--out", str(out), *more]
        import lesson
        from side_effects.run import data, model

        os._exit(lesson.run(None, data, model))
    os.close(writing)
    events = []
    with os.fdopen(reading) as lines:
        for line in lines:
            if line.startswith("{") and line.endswith("}\n"):
                events.append(json.loads(line))
            if kill_at is not None and len(events) == kill_at:
                os.kill(child, by)
    os.waitpid(child, 0)
    return events


def weights(out: Path) -> list[np.ndarray]:
    import keras

    return [np.asarray(variable) for variable in keras.models.load_model(out / "model.keras").variables]


def test_ten_kills() -> None:
    import sklearn.preprocessing  # noqa: F401
    import tensorflow  # noqa: F401
    import training  # noqa: F401

    whole = Path(mkdtemp())
    told = run(whole)
    first = next(number for number, event in enumerate(told) if event["event"] == "epoch")
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"the moments are those of seed {seed}", flush=True)
    draw = random.Random(seed)
    finals = []
    for _ in range(KILLS):
        out = Path(mkdtemp())
        at = draw.randrange(first - 2, first + EPOCHS + 2)  # of the events, some not of epochs
        before = run(out, kill_at=at, by=draw.choice([signal.SIGKILL, signal.SIGTERM]))
        epochs = [event["epoch"] for event in before if event["event"] == "epoch"]
        kept = out / "checkpoint.npz"
        if kept.exists():
            with np.load(kept) as loaded:
                assert json.loads(loaded["told"].tobytes())["epochs"] <= EPOCHS
        after = run(out, "--resume")
        finals.append(out)
        told_after = [event for event in after if event["event"] == "epoch"]
        assert {event["epoch"] for event in told_after} == set(range(1, EPOCHS + 1)), "those of the checkpoint too"
        again = next((event["epoch"] for event in told_after if "again" not in event), None)
        print(f"killed after {len(epochs)} of {EPOCHS} epochs, went on with epoch {again}", flush=True)
        (ended,) = [event for event in after if event["event"] == "results"]
        (wanted,) = [event for event in told if event["event"] == "results"]
        different = ("time", "steps_per_second")
        assert {k: v for k, v in ended.items() if k not in different} == {
            k: v for k, v in wanted.items() if k not in different
        }
    expected = weights(whole)  # TensorFlow computes here from now on
    for out in finals:
        assert all(np.array_equal(one, other) for one, other in zip(weights(out), expected, strict=True))
