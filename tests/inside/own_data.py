"""A table that is read from disk trains as one in memory, and goes on where it was killed, to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import keras
import numpy as np
import predict
import scaling
from table import table

ROWS = 2000


def written() -> Path:
    x = np.random.default_rng(1).normal(size=(ROWS, 3)).round(3)
    file = Path(mkdtemp()) / "table.csv"
    rows = (f"{a},{b},{c},{'high' if a + b > 0 else 'low'}" for a, b, c in x.tolist())
    file.write_text("a,b,c,side\n" + "\n".join(rows) + "\n")
    return file


FILE = written()


@cache
def whole(*more: str) -> tuple[Path, list[dict[str, Any]]]:
    """Return the folder of a run that nothing stopped, and its events."""
    out = Path(mkdtemp())
    return out, run(out, *more)


def run(out: Path, *more: str, kill_after: int | None = None) -> list[dict[str, Any]]:
    """Run the workload on the table as a process of its own, kill it after an epoch where one is named, return its events."""
    told = ("--data", str(FILE), "--target", "side", "--epochs", "6", "--batch-size", "16", "--out", str(out), *more)
    command = [sys.executable, "/workloads/side_effects/run.py", *told]
    events = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.endswith("}\n"):
                events.append(json.loads(line))
                if kill_after is not None and events[-1].get("epoch") == kill_after:
                    os.kill(process.pid, signal.SIGKILL)
    return events


def results(events: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [event for event in events if event["event"] == "results"]
    return {name: value for name, value in found.items() if name not in ("time", "steps_per_second")}


def weights(out: Path) -> list[np.ndarray]:
    return [np.asarray(each) for each in keras.models.load_model(out / "model.keras").get_weights()]


def test_killed_while_it_reads_from_disk_it_goes_on_to_the_same_weights() -> None:
    (unstopped, wanted), out = whole("--stream"), Path(mkdtemp())
    assert [event["kind"] for event in wanted if event["event"] == "loop"] == ["fit"]
    before = run(out, "--stream", kill_after=3)
    assert not [event for event in before if event["event"] == "results"]
    made = (out / "samples.npy").stat().st_mtime_ns
    after = run(out, "--stream", "--resume")
    assert min(event["epoch"] for event in after if event["event"] == "epoch" and "again" not in event) > 1
    assert (out / "samples.npy").stat().st_mtime_ns == made  # processed once
    assert results(after) == results(wanted)
    assert all(np.array_equal(one, other) for one, other in zip(weights(out), weights(unstopped), strict=True))


def test_from_memory_it_learns_as_well_and_tells_the_same_of_its_data() -> None:
    (_, streamed), (_, memory) = whole("--stream"), whole()
    told = [next(event for event in events if event["event"] == "data") for events in (streamed, memory)]
    assert {**told[0], "time": 0} == {**told[1], "time": 0}
    assert told[0]["classes"] == ["high", "low"]
    losses = [results(events)["val_loss"] for events in (streamed, memory)]
    assert abs(losses[0] - losses[1]) < 0.05


def test_predictions_are_what_the_model_says_of_the_scaled_rows() -> None:
    (out, events), said = whole(), Path(mkdtemp()) / "said.csv"
    trained = results(events)
    fitted, kept = scaling.load(out)
    parts = predict.parts(table(FILE), fitted)
    found = predict.predicted(predict.model(out / "model.keras"), fitted, next(parts), parts, said)
    assert (found["rows"], found["judged"]) == (ROWS, ROWS)
    samples, labels = np.load(out / "samples.npy"), np.load(out / "labels.npy")
    net = keras.models.load_model(out / "model.keras")
    right = np.asarray(net(samples)).argmax(axis=1) == labels
    assert found["accuracy"] == right.mean()
    assert right[kept["trained_on"] :].sum() == np.trace(trained["confusion_matrix"])
    rows = [row.split(",") for row in said.read_text().splitlines()[1:]]
    assert [int(row[0]) for row in rows] == list(range(1, ROWS + 1))
    first = (np.loadtxt(FILE, delimiter=",", skiprows=1, usecols=(0, 1, 2))[:5] * fitted.scale + fitted.min).astype(
        "f4"
    )
    assert np.allclose(np.array([row[2:] for row in rows[:5]], float), np.asarray(net(first)), atol=1e-5)
