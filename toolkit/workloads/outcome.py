"""What a run came to: its record, from its events and the way it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import explain, records
from toolkit.engine.plan import Exit
from toolkit.executed import SIGNALS
from toolkit.explain.lines import lines
from toolkit.facts import Facts
from toolkit.faults import finding, vocabulary
from toolkit.images.machine import host_gpus
from toolkit.model import Command, Evidence, Finding, RunRecord, Sentence, Step
from toolkit.workloads.packaged import Workload
from toolkit.workloads.plan import Place

Event = dict[str, Any]

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run said and how it ended; `ended` is None where it was interrupted, times are seconds since 1970."""

    events: list[Event]
    log: list[str]
    ended: Exit | None
    began: float
    over: float
    memory_limit_bytes: int


def record(work: Workload, folder: records.RunFolder, place: Place, facts: Facts, outcome: Outcome) -> RunRecord:
    """Return what the events of a run say, with the findings of one that failed."""
    events, ended = outcome.events, outcome.ended
    by_name = {event["event"]: event for event in events}
    results = by_name.get("results", {})
    so_far = by_name.get("epoch", {})  # of a run that did not come to its end
    so_far = {**so_far, "epochs": so_far.get("epoch")}
    gpus = by_name.get("gpus", {})
    seconds: dict[str, float] = {}
    for event in events:
        if event["event"] == "phase":
            seconds[event["phase"]] = seconds.get(event["phase"], 0.0) + event["seconds"]
    started = by_name["started"]["time"] - outcome.began if "started" in by_name else None
    succeeded = ended is not None and ended.code == 0 and bool(results)
    interrupted = ended is None or ("interrupted" in by_name and not results)  # by Ctrl-C, or by `docker stop`
    return RunRecord(
        run_id=folder.run_id,
        workload=work.name,
        engine="docker" if place.engine else "local",
        image=place.tag,
        gpus={
            "host": host_gpus(facts),
            "container": gpus.get("container") if place.engine else None,
            "tensorflow": gpus.get("tensorflow"),
            **({other: gpus.get(other)} if (other := gpus.get("backend", "tensorflow")) != "tensorflow" else {}),
        },
        device=by_name.get("device", {}).get("device"),
        results={name: (results or so_far).get(name) for name in METRICS},
        versions={name: value for name, value in by_name.get("versions", {}).items() if name not in ("event", "time")},
        seconds={
            "total": outcome.over - outcome.began,
            "start": started,
            **{name: seconds.get(name) for name in PHASES},
        },
        artifacts={},
        status="succeeded" if succeeded else "interrupted" if interrupted else "failed",
        findings=()
        if succeeded or interrupted or ended is None
        else (failure(outcome, ended, folder.path / "log.txt"),),
    )


def failure(outcome: Outcome, ended: Exit, log_file: Path) -> Finding:
    """Return why a run failed: the fault that the workload named, lack of memory, or its last words."""
    if ended.out_of_memory:
        last = next((event["peak_bytes"] for event in reversed(outcome.events) if event["event"] == "memory"), None)
        told = [event["peak_memory_bytes"] for event in outcome.events if "peak_memory_bytes" in event]
        peak = f"; at its peak it had used {last / 1e9:.2f} GB" if last else ""
        peak += f", and {told[-1] / 1e9:.2f} GB when it last told" if told else ""
        cause = (
            "The kernel killed the workload: it wanted more memory than its container may use, "
            f"{outcome.memory_limit_bytes / 1e9:.2f} GB{peak}."
        )
        return finding(
            "host-out-of-memory", cause, [Sentence("Use a smaller --batch-size, or a machine with more memory")]
        )
    if named := next((event for event in outcome.events if event["event"] == "failed"), None):
        fault = named["finding"] if named["finding"] in vocabulary() else "workload-failed"
        steps: list[Step] = [Command("kit doctor")]
        if fault == "data-unfit":
            steps = [Sentence(vocabulary()[fault]["fix"])]
        if fault == "disk-full":
            steps = [Sentence("Make room on that disk"), Command(f"kit run workload --resume {log_file.parent}")]
        return finding(fault, named["cause"], steps, [Evidence(str(log_file), "the workload's own word")])
    if known := explain.why(lines(outcome.log), str(log_file)):
        return known
    evidence = [Evidence(str(log_file), line) for line in outcome.log[-8:] if line.strip()]
    cause, steps = f"The workload ended with exit code {ended.code}.", [Sentence(f"Read its log: {log_file}")]
    if signal := SIGNALS.get(ended.code):
        cause = f"Ended by {signal}, exit code {ended.code}."
    elif not ended.code:
        cause = "The workload ended well and told no results: it emits an event of that name (workloads/runtime.py)."
    if (log_file.parent / "checkpoint.npz").exists():
        steps.append(Command(f"kit run workload --resume {log_file.parent}"))
    return finding("workload-failed", cause, steps, evidence)
