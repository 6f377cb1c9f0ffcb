"""A script of somebody's own: planned, run in a container, and recorded as every run is."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit import paths, records
from toolkit.check import check
from toolkit.engine.plan import LABEL, Mount, OnBytes, RunPlan, Stream
from toolkit.executed import executed
from toolkit.images.machine import host_gpus
from toolkit.model import CheckRecord, CheckTarget, Finding, RunRecord, UsageError, document
from toolkit.own.container import Options, Place
from toolkit.own.container import plan as container_plan
from toolkit.own.failure import Ended, failure
from toolkit.runs import folders
from toolkit.workloads.outcome import METRICS, PHASES
from toolkit.workloads.plan import memory_limit

EVENTS = "/events.jsonl"  # the container's
INTERRUPTED = 130  # a shell's exit code of what Ctrl-C ended
VERSION = f"{LABEL}.version."


@dataclass(frozen=True, slots=True)
class Script:
    """A script and what it is told."""

    path: Path
    arguments: tuple[str, ...] = ()


def script(path: Path, arguments: tuple[str, ...]) -> Script:
    """Return a script by its full path. Raises UsageError where it is no file."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name the script in it, as {path / 'train.py'}")
    if not path.is_file():
        raise UsageError(f"there is no script {path}")
    if path.suffix == ".ipynb":
        raise UsageError(f"{path} is a notebook: open it by kit run notebook {path.parent}")
    return Script(path.resolve(), arguments)


def preflight(given: Script, place: Place) -> CheckRecord:
    """Return what `kit check` finds in a script, by the versions of the image that it is to run in."""
    has = versions(place.engine.image(place.image) or {}, {})
    return check((given.path,), CheckTarget(has["tensorflow"] or "", has["keras"] or ""))


def plan(given: Script, options: Options, place: Place, run_folder: Path, memory_bytes: int) -> RunPlan:
    """Return the process of a script: its folder is /work and read-only, that for its files in the run's is /out.

    Ctrl-C comes to it as the signal that Ctrl-C is, so that it can still save what it has.
    """
    device = "gpu" if options.device.startswith("gpu") else "auto"
    command = ("python", "/workloads/bootstrap/run.py", device, f"/work/{given.path.name}", *given.arguments)
    mounts = (
        Mount(paths.workloads(), "/workloads"),
        Mount(given.path.parent, "/work"),
        Mount(run_folder / records.OUT, "/out", read_only=False),
        Mount(run_folder / "events.jsonl", EVENTS, read_only=False),
    )
    environment = {"KIT_OUT": "/out", "KIT_EVENTS": EVENTS}
    order = container_plan(command, options, place, mounts, memory_bytes, given.path.name, environment)
    return replace(order, labels={**order.labels, f"{LABEL}.run": run_folder.name}, stop_signal="SIGINT")


def run(
    given: Script,
    options: Options,
    place: Place,
    out: Path | None,
    on_bytes: OnBytes,
) -> RunRecord:
    """Run a script to its end and return its record, which the run's folder holds too; `on_bytes` gets what it writes.

    The record's results have its exit code. Ctrl-C ends it as interrupted.
    """
    place.engine.sweep()
    folder = records.new_run(given.path.name, out)
    (folder.path / records.OUT).mkdir()
    for each in ("events.jsonl", records.OUT):
        paths.give_to_caller(folder.path / each)  # the container writes it, as the caller
    memory = memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    log: list[str] = []

    def on_line(_: Stream, line: str) -> None:
        line = line.rstrip("\r").rpartition("\r")[2]  # a progress bar as it was at last
        log.append(line)
        folder.add(folder.log, line)

    image = place.engine.image(place.image) or {}
    began = time.time()
    process = plan(given, options, place, folder.path, memory)
    ended = executed(lambda hand_on: place.engine.run(process, hand_on, on_bytes), folder, on_line)
    over = time.time()
    told = {event["event"]: event for event in folders.events(folder.path)}
    findings: tuple[Finding, ...] = ()
    if ended and ended.code != 0:
        last = Ended(ended, told, log, memory, options.network)
        findings = (failure(last, given.path, folder.path / "log.txt"),)
    gpus = {
        "host": host_gpus(place.facts),
        **{name: told.get("gpus", {}).get(name) for name in ("container", "tensorflow")},
    }
    record = RunRecord(
        run_id=folder.run_id,
        workload=given.path.name,
        engine="docker",
        image=place.image,
        gpus=gpus,
        device=None if gpus["tensorflow"] is None else "gpu" if gpus["tensorflow"] else "cpu",
        results={**dict.fromkeys(METRICS), "exit_code": ended.code if ended else INTERRUPTED},
        versions=versions(image, told),
        seconds={
            **dict.fromkeys(("total", "start", *PHASES)),
            "total": over - began,
            "start": told["started"]["time"] - began if "started" in told else None,
        },
        artifacts={**folder.artifacts(), "result.json": str(folder.path / "result.json")},
        status="interrupted" if ended is None else "failed" if ended.code else "succeeded",
        findings=findings,
        notes=(*place.notes, *lost(gpus)),
        image_id=image.get("Id"),
        options={**asdict(options), "script": str(given.path), "arguments": list(given.arguments)},
    )
    folder.close(document("run", record))
    return record


def versions(image: dict[str, Any], told: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    """Return the versions of an image by its labels, and of what the script imported."""
    labels = image.get("Config", {}).get("Labels") or {}
    labelled = {name.removeprefix(VERSION): value for name, value in labels.items() if name.startswith(VERSION)}
    imported = {name: value for name, value in told.get("versions", {}).items() if name not in ("event", "time")}
    return {**labelled, **imported}


def lost(gpus: dict[str, int | None]) -> tuple[str, ...]:
    """Return that TensorFlow did not see the GPUs that its container had; nothing where it did."""
    container, seen = gpus["container"], gpus["tensorflow"]
    if container and seen is not None and seen < container:
        return (f"TensorFlow saw {seen} of the container's {container} GPUs; kit doctor tells why",)
    return ()
