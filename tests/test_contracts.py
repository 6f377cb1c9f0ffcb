"""The JSON documents have exactly the keys that DESIGN.md and the README promise; a change here breaks somebody's script."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from toolkit import doctor, scenarios
from toolkit.model import BuildRecord, PredictRecord, RunRecord, document
from toolkit.workloads.outcome import METRICS, PHASES


def keys(record: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(record)]


def test_doctor() -> None:
    made = json.loads(json.dumps(document("doctor", doctor.examine(replay=scenarios.file("nouveau")))))
    assert list(made) == ["schema", "chain", "root_cause", "findings", "checks", "seconds"]
    assert made["schema"] == "kit.doctor/1"
    assert list(made["chain"][0]) == ["rung", "status", "gpus", "detail"]
    assert list(made["findings"][0]) == ["id", "severity", "title", "cause", "fix", "evidence"]
    assert list(made["findings"][0]["evidence"][0]) == ["where", "what"]
    assert {tuple(step) for step in made["findings"][0]["fix"]} <= {("command",), ("sentence",)}
    assert list(made["checks"][0]) == ["check", "status", "reason"]
    assert {rung["status"] for rung in made["chain"]} <= {"ok", "broken", "blocked", "skipped", "unknown"}
    assert {check["status"] for check in made["checks"]} <= {"ok", "found", "skipped", "crashed"}


def test_build() -> None:
    assert keys(BuildRecord) == [
        "image", "tag", "image_id", "variant", "versions", "size_bytes", "seconds", "cached", "verified", "findings",
        "log", "bill", "scan",
    ]  # fmt: skip


def test_run() -> None:
    assert keys(RunRecord) == [
        "run_id", "workload", "engine", "image", "gpus", "device", "results", "versions", "seconds", "artifacts",
        "status", "findings", "notes", "image_id", "options",
    ]  # fmt: skip
    assert METRICS == (
        "loss", "accuracy", "val_loss", "val_accuracy", "confusion_matrix", "epochs", "steps", "steps_per_second",
    )  # fmt: skip
    assert ("total", "start", *PHASES) == ("total", "start", "import", "data", "compile", "train", "save")


def test_predict() -> None:
    assert keys(PredictRecord) == [
        "run_id", "workload", "engine", "image", "data", "output", "rows", "classes", "judged", "accuracy",
        "confusion_matrix", "ignored", "seconds", "status", "findings", "notes",
    ]  # fmt: skip


def test_captures_of_the_first_schema_are_still_read() -> None:
    first = Path(__file__).parent / "hosts/no-gpu-vm.json"
    assert json.loads(first.read_text())["schema"] == "kit.capture/1"
    assert doctor.examine(replay=first).root_cause == "no-nvidia-gpu"
