"""Workloads: what a packaged workload is, how a run of it is planned, executed and recorded."""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from toolkit import doctor, paths, records
from toolkit.engine import local
from toolkit.engine.docker import Docker, EngineError
from toolkit.engine.plan import LABEL, Exit, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts, driver
from toolkit.faults import finding, vocabulary
from toolkit.images.build import build, current
from toolkit.images.choice import choose
from toolkit.images.machine import all_gpus, container_user, host_gpus, selinux
from toolkit.images.variants import Variant, variant
from toolkit.images.verify import verified
from toolkit.model import (
    BuildRecord,
    Command,
    Evidence,
    Finding,
    KitError,
    RunRecord,
    Sentence,
    UsageError,
    document,
)

Event = dict[str, Any]
Device = Literal["auto", "cpu", "gpu"]
EngineChoice = Literal["auto", "docker", "local"]

PHASES = ("import", "data", "compile", "train", "save")
METRICS = (
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "confusion_matrix",
    "epochs",
    "steps",
    "steps_per_second",
)
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Workload:
    """One folder of workloads/: its workload.toml and where it is."""

    name: str
    folder: Path
    title: str
    entry: str
    best_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of a run."""

    epochs: int = 30
    batch_size: int = 10
    seed: int = 0
    device: Device = "auto"
    gpus: str = "auto"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: in a container of an image, or by the Python of a local environment."""

    engine: Docker | None = None
    image: Variant | None = None
    python: Path | None = None


def workload(name: str) -> Workload:
    """Return a packaged workload; UsageError with the names that there are."""
    names = sorted(spec.parent.name for spec in paths.workloads().glob("*/workload.toml"))
    if name not in names:
        raise UsageError(f"there is no workload {name!r}; choose from {', '.join(names)}")
    folder = paths.workloads() / name
    return Workload(name, folder, **tomllib.loads((folder / "workload.toml").read_text(encoding="utf-8")))


# --- plan ------------------------------------------------------------------------------------------------------------


def chosen_gpus(asked: str, there: tuple[int, ...]) -> tuple[int, ...]:
    """Return the indices that `--gpus auto|all|none|N|0,2` means on a machine with GPUs of these indices.

    Raises UsageError where the value is none of these, or asks for GPUs that are not there.
    """
    if asked == "all" and not there:
        raise UsageError("--gpus all: this machine has no GPU that its driver can use; kit doctor tells why")
    if asked in ("auto", "all"):
        return there
    if asked == "none":
        return ()
    parts = asked.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--gpus {asked}: give auto, all, none, a number of GPUs, or their indices as in 0,2")
    wanted = tuple(sorted({int(part) for part in parts})) if len(parts) > 1 else there[: int(asked)]
    if (len(parts) == 1 and int(asked) > len(there)) or any(index not in there for index in wanted):
        raise UsageError(f"--gpus {asked}: this machine has {len(there)} GPU(s); kit doctor shows them")
    return wanted


def gpu_request(asked: str, facts: Facts) -> GpuRequest | None:
    """Return what to ask the engine for; None for no GPU, as `auto` is where the engine cannot hand GPUs over.

    Raises UsageError as chosen_gpus does, KitError where GPUs were asked for that the engine cannot hand over.
    """
    there = gpu_indices(facts)
    wanted = chosen_gpus(asked, there)
    every = all_gpus(facts)
    if not wanted or (every is None and asked == "auto"):
        return None
    if every is None:
        raise KitError(f"--gpus {asked}: the container engine has no way to hand GPUs over; kit doctor tells why")
    return every if wanted == there else GpuRequest(every.way, tuple(map(str, wanted)))


def gpu_indices(facts: Facts) -> tuple[int, ...]:
    """Return the NVML indices of the GPUs that the host's driver can use; a lost one leaves a gap."""
    nvml = facts.maybe(driver.nvml)
    return tuple(gpu.index for gpu in nvml.gpus) if nvml else ()


def plan(
    work: Workload,
    options: Options,
    run_folder: Path,
    place: Place,
    facts: Facts,
    memory_bytes: int,
) -> RunPlan:
    """Return the process of a run at a place, as the caller, with what it may use."""
    inside = place.image is not None
    root, out = ("/workloads", "/out") if inside else (str(work.folder.parent), str(run_folder))
    arguments = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--seed", options.seed]
    arguments += ["--device", options.device, "--out", out]
    command = (str(place.python or "python"), f"{root}/{work.name}/{work.entry}", *map(str, arguments))
    if place.image is None:
        assert place.python is not None
        return RunPlan(command, {**QUIET, "PYTHONPATH": root, **_local_gpus(place.python, options.gpus, facts)})
    return RunPlan(
        command=command,
        environment={**QUIET, "PYTHONPATH": root, "HOME": "/tmp"},
        mounts=(Mount(work.folder.parent, "/workloads"), Mount(run_folder, "/out", read_only=False)),
        image=place.image.tag,
        user=container_user(facts),
        gpus=gpu_request(options.gpus, facts),
        limits=Limits(memory_bytes=memory_bytes),
        labels={f"{LABEL}.workload": work.name, f"{LABEL}.run": run_folder.name},
        selinux=selinux(facts),
    )


def _local_gpus(python: Path, asked: str, facts: Facts) -> dict[str, str]:
    """Return the environment that gives a local process its CUDA libraries, and the chosen GPUs alone."""
    folders = [local.library_path(python), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {"LD_LIBRARY_PATH": ":".join(filter(None, folders))}
    if asked not in ("auto", "all"):
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # NVML's order, else the fastest card is first
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, chosen_gpus(asked, gpu_indices(facts)))) or "-1"
    return environment


def memory_limit(meminfo: str) -> int:
    """Return three quarters of the machine's memory in bytes. Sample of /proc/meminfo: 'MemTotal: 24617232 kB'."""
    total_kib = int(meminfo.split("MemTotal:")[1].split(maxsplit=1)[0])
    return total_kib * 1024 * 3 // 4


# --- start -----------------------------------------------------------------------------------------------------------


def start(
    work: Workload,
    options: Options,
    choice: EngineChoice,
    out: Path | None,
    on_event: Callable[[Event], None],
    on_progress: Callable[[str], None],
) -> RunRecord:
    """Run a workload in the chosen engine, with its image built or its environment installed where that is missing.

    `auto` is Docker where it answers, else the local engine, and then the record's notes say so; `docker` never falls
    back. Raises EngineError where Docker was asked for and does not answer.
    """
    facts = doctor.this_machine()
    gpus = chosen_gpus(options.gpus, gpu_indices(facts))
    if options.device == "gpu" and not gpus:
        raise UsageError("--device gpu: there is no GPU to train on; kit doctor tells why")
    engine, notes = connect(choice)
    nvml = facts.maybe(driver.nvml)
    if nvml and nvml.error and not nvml.library_missing:
        notes = (*notes, f"the GPU driver does not answer ({nvml.error}); kit doctor tells why")
    for note in notes:
        on_event({"event": "note", "text": note})
    if engine is None:
        each = variant("gpu" if gpus else "cpu")
        on_progress(f"local engine: the packages of {each.lock}")
        python = local.environment(each.lock_file, on_progress)
        return run(work, options, out, facts, Place(python=python), on_event, notes)
    request = gpu_request(options.gpus, facts)
    if options.device == "gpu" and request is None:
        raise KitError("--device gpu: the container engine has no way to hand GPUs over; kit doctor tells why")
    each = choose(facts, "gpu" if request else "cpu")
    if not current(engine, each):
        on_progress(f"building {each.tag} first: it is missing, or its inputs changed")
        built = build(engine, each, facts, on_progress)
        if built.tag is None:
            return _not_built(work, each, built)
    if unproven := _unproven(engine, each):
        notes = (*notes, unproven)
        on_event({"event": "note", "text": unproven})
    return run(work, options, out, facts, Place(engine, each), on_event, notes)


def _unproven(engine: Docker, each: Variant) -> str | None:
    """Return that an image was not proven here, or is not good, None where it is: one that was loaded has no record."""
    image = engine.image(each.tag)
    if image is None or verified(image["Id"]):
        return None
    return f"the image {each.tag} is not verified; do it: kit verify {each.tag}"


def connect(choice: EngineChoice) -> tuple[Docker | None, tuple[str, ...]]:
    """Return the Docker engine, or None for the local one with the notes that say why and what would give a container."""
    if choice == "local":
        return None, ("no container was used: --engine local",)
    try:
        return Docker(), ()
    except EngineError as error:
        if choice == "docker":
            raise
        return None, (f"no container was used: {error}",)


def _not_built(work: Workload, each: Variant, built: BuildRecord) -> RunRecord:
    """Return the record of a run that never started, since its image could not be built or proven."""
    nothing: dict[str, Any] = dict.fromkeys(METRICS)
    gpus: dict[str, int | None] = {"host": None, "container": None, "tensorflow": None}
    seconds: dict[str, float | None] = dict.fromkeys(("total", "start", *PHASES))
    return RunRecord(
        "",
        work.name,
        "docker",
        each.tag,
        gpus,
        None,
        nothing,
        {},
        seconds,
        {"log": built.log},
        "failed",
        built.findings,
    )


# --- run -------------------------------------------------------------------------------------------------------------


def run(
    work: Workload,
    options: Options,
    out: Path | None,
    facts: Facts,
    place: Place,
    on_event: Callable[[Event], None],
    notes: tuple[str, ...] = (),
) -> RunRecord:
    """Run a workload to its end and return its record, which its folder holds too. Ctrl-C ends it as interrupted."""
    engine = place.engine
    if engine:
        engine.sweep()
    folder = records.new_run(work.name, out)
    events: list[Event] = []
    log: list[str] = []

    def on_line(stream: str, line: str) -> None:
        event = _event(line) if stream == "stdout" else None
        if event is None:
            log.append(line)
            folder.log.write(line + "\n")
            return
        folder.events.write(line + "\n")
        events.append(event)
        on_event(event)

    memory = memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    order = plan(work, options, folder.path, place, facts, memory)
    image = engine.image(place.image.tag) if engine and place.image else None  # its name may be another's afterwards
    ended: Exit | None = None
    began = time.time()
    try:
        ended = engine.run(order, on_line) if engine else local.run(order, on_line)
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        folder.log.write(f"{error}\n")
        folder.close({"schema": "kit.run/1", "run_id": folder.run_id, "status": "failed", "error": str(error)})
        raise
    record = _record(work, folder, place, facts, Outcome(events, log, ended, began, time.time()))
    if any(event["event"] == "epoch" for event in events):
        _plot(events, folder.path / "training.png")
    record = replace(
        record,
        notes=notes,
        image_id=image["Id"] if image else None,
        artifacts={**folder.artifacts(), "result.json": str(folder.path / "result.json")},
    )
    folder.close(document("run", record))
    return record


def _event(line: str) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run said and how it ended; `ended` is None where it was interrupted, times are seconds since 1970."""

    events: list[Event]
    log: list[str]
    ended: Exit | None
    began: float
    over: float


def _record(work: Workload, folder: records.RunFolder, place: Place, facts: Facts, outcome: Outcome) -> RunRecord:
    """Return what the events of a run say, with the findings of one that failed."""
    events, ended = outcome.events, outcome.ended
    by_name = {event["event"]: event for event in events}
    results = by_name.get("results", {})
    gpus = by_name.get("gpus", {})
    seconds = {event["phase"]: event["seconds"] for event in events if event["event"] == "phase"}
    started = by_name["started"]["time"] - outcome.began if "started" in by_name else None
    succeeded = ended is not None and ended.code == 0 and bool(results)
    return RunRecord(
        run_id=folder.run_id,
        workload=work.name,
        engine="docker" if place.engine else "local",
        image=place.image.tag if place.image else None,
        gpus={
            "host": host_gpus(facts),
            "container": gpus.get("container") if place.engine else None,
            "tensorflow": gpus.get("tensorflow"),
        },
        device=by_name.get("device", {}).get("device"),
        results={name: results.get(name) for name in METRICS},
        versions={name: value for name, value in by_name.get("versions", {}).items() if name not in ("event", "time")},
        seconds={
            "total": outcome.over - outcome.began,
            "start": started,
            **{name: seconds.get(name) for name in PHASES},
        },
        artifacts={},
        status="succeeded" if succeeded else "interrupted" if ended is None else "failed",
        findings=()
        if succeeded or ended is None
        else (_failure(by_name, outcome.log, ended, folder.path / "log.txt"),),
    )


def _failure(by_name: dict[str, Event], log: list[str], ended: Exit, log_file: Path) -> Finding:
    """Return why a run failed: the fault that the workload named, lack of memory, or its last words."""
    if ended.out_of_memory:
        cause = "The kernel killed the workload: it used more memory than its container may."
        return finding(
            "host-out-of-memory", cause, [Sentence("Use a smaller --batch-size, or a machine with more memory")]
        )
    if named := by_name.get("failed"):
        fault = named["finding"] if named["finding"] in vocabulary() else "workload-failed"
        return finding(
            fault, named["cause"], [Command("kit doctor")], [Evidence(str(log_file), "the workload's own word")]
        )
    evidence = [Evidence(str(log_file), line) for line in log[-8:] if line.strip()]
    cause = f"The workload ended with exit code {ended.code}."
    return finding("workload-failed", cause, [Sentence(f"Read its log: {log_file}")], evidence)


def _plot(events: list[Event], file: Path) -> None:
    """Write loss and accuracy by epoch as a picture."""
    from matplotlib.figure import Figure

    epochs = [event for event in events if event["event"] == "epoch"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
            axes.plot([event["epoch"] for event in epochs], [event.get(name) for event in epochs], label=label)
        axes.set(title=metric, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(file, dpi=120)
