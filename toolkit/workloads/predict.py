"""The model of a run on new samples: its container planned and executed, its predictions put where they are wanted."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toolkit import doctor, paths, records
from toolkit.engine import local
from toolkit.engine.docker import Docker
from toolkit.engine.plan import LABEL, Limits, Mount, RunPlan
from toolkit.facts import Facts
from toolkit.images.choice import fitting
from toolkit.images.machine import container_user, selinux
from toolkit.images.variants import variant, variants
from toolkit.model import Finding, PredictRecord, UsageError
from toolkit.runs import folders
from toolkit.workloads import data
from toolkit.workloads.image import placed
from toolkit.workloads.outcome import Event, Outcome, failure
from toolkit.workloads.plan import QUIET, Place, memory_limit
from toolkit.workloads.start import EngineChoice, connect

OUTPUT = "predictions.csv"  # the container's, and in the run's folder where no other file is named
LOG = "predict.log"
NEEDS = ("model.keras", "scaler.json")


def predict(
    run: Path,
    table: Path,
    output: Path | None,
    choice: EngineChoice,
    on_event: Callable[[Event], None],
    on_progress: Callable[[str], None],
) -> PredictRecord:
    """Return what the model of a run says of a table's rows, written to `output`, else into the run's folder.

    It computes on the CPU, in the run's image where that is still there. Raises UsageError where the run has no model to
    predict with, or the table is none.
    """
    earlier = folders.read(run)
    if lacking := [name for name in NEEDS if not (run / name).exists()]:
        raise UsageError(
            f"the run {run.name} has no {lacking[0]}: kit predicts with a run that came to its end, of side_effects or of "
            "a table of your own (--data)"
        )
    file = data.file(table)
    target = (output or run / OUTPUT).absolute()
    if target.is_dir() or target.resolve() == file.resolve():
        raise UsageError(f"--output {output}: {'that is a folder' if target.is_dir() else 'that is the data itself'}")
    facts, memory = doctor.this_machine(), memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    engine, notes = connect(choice)
    for note in notes:
        on_event({"event": "note", "text": note})
    place = _place(engine, earlier.record.image, str(file), facts, on_progress)
    events: list[Event] = []
    log: list[str] = []

    def on_line(stream: str, line: str) -> None:
        event = records.event(line) if stream == "stdout" else None
        log.append(line) if event is None else events.append(event)

    paths.make(target.parent)
    with tempfile.TemporaryDirectory(dir=paths.make(paths.cache())) as scratch:
        out = Path(scratch)
        paths.give_to_caller(out)
        began = time.time()
        ended = (engine.run if engine else local.run)(plan(run, file, out, place, facts, memory), on_line)
        over = time.time()
        told = next((event for event in events if event["event"] == "results"), None)
        if told:
            shutil.copyfile(out / OUTPUT, target)
            paths.give_to_caller(target)
    findings: tuple[Finding, ...] = ()
    if not told:
        file = target.with_name(LOG)
        file.unlink(missing_ok=True)
        file.write_text("".join(f"{line}\n" for line in log), encoding="utf-8")
        paths.give_to_caller(file)
        findings = (failure(Outcome(events, log, ended, began, over, memory), ended, file),)
    said: dict[str, Any] = told or {}
    for doubt in _doubts(said):
        notes = (*notes, doubt)
        on_event({"event": "note", "text": doubt})
    return PredictRecord(
        run_id=run.name,
        workload=earlier.record.workload,
        engine="docker" if engine else "local",
        image=place.tag,
        data=str(file),
        output=str(target) if told else None,
        rows=said.get("rows"),
        classes=tuple(said.get("classes", ())),
        judged=said.get("judged"),
        accuracy=said.get("accuracy"),
        confusion_matrix=said.get("confusion_matrix"),
        ignored=tuple(said.get("ignored", ())),
        seconds=over - began,
        status="succeeded" if told else "failed",
        findings=findings,
        notes=notes,
    )


def _doubts(said: dict[str, Any]) -> Iterator[str]:
    """Give what somebody should know of predictions before they trust them."""
    if outside := said.get("outside"):
        yield f"{outside:,} of {said['rows']:,} rows lie outside of what the run was trained on: their classes are guesses"
    if strange := said.get("strange"):
        named = ", ".join(f"{name!r} ({count:,})" for name, count in strange.items())
        yield f"classes that the run does not know, of rows that do not count in its accuracy: {named}"


def plan(run: Path, file: Path, out: Path, place: Place, facts: Facts, memory_bytes: int) -> RunPlan:
    """Return the process that predicts, as the caller: the run's folder and the table are there to be read alone."""
    environment = {**QUIET, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    script = "predict.py"
    if place.python:
        told = (f"--run={run}", f"--data={file}", f"--out={out}")
        return RunPlan(
            (str(place.python), str(paths.workloads() / script), *told),
            {**environment, "PYTHONPATH": str(paths.workloads())},
        )
    inside = data.inside(str(file))
    return RunPlan(
        command=("python", f"/workloads/{script}", "--run=/run/kit", f"--data={inside}", "--out=/out"),
        environment={**environment, "PYTHONPATH": "/workloads", "HOME": "/tmp"},
        mounts=(
            Mount(paths.workloads(), "/workloads"),
            Mount(run, "/run/kit"),
            Mount(file, inside),
            Mount(out, "/out", read_only=False),
        ),
        image=place.tag,
        user=container_user(facts),
        limits=Limits(memory_bytes=memory_bytes),
        labels={f"{LABEL}.workload": "predict"},
        selinux=selinux(facts),
    )


def _place(
    engine: Docker | None, image: str | None, file: str, facts: Facts, on_progress: Callable[[str], None]
) -> Place:
    """Return where to predict: in a run's image as it is, else in one that fits, or with the packages of the CPU's lock."""
    if engine is None:
        data.readable_locally(file)
        return Place(python=local.environment(variant("cpu").locks, on_progress))
    engine.sweep()
    if image and engine.image(image) and not data.needs_reader(file):
        return Place(engine, layer=image)
    each = next((row for row in variants() if row.tag == image), None) or fitting(facts, "cpu")[0]
    return placed(engine, each, file, facts, on_progress)
