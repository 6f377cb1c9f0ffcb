"""What differs between two runs: data, versions, GPU, speed, results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.runs.folders import Event, Run
from toolkit.runs.training import crossings, last

PARTS = ("run", "options", "data", "versions", "gpu", "speed", "results")
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; None where a run does not have it."""

    part: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, the parts in which nothing does, and those of which neither run tells anything."""

    runs: tuple[str, str]
    differences: tuple[Difference, ...]
    same: tuple[str, ...]
    unknown: tuple[str, ...]


def compare(a: tuple[Run, list[Event]], b: tuple[Run, list[Event]]) -> Comparison:
    """Return what differs between two runs, each with its events; equal things are left out."""
    told = facts(*a), facts(*b)
    differences: list[Difference] = []
    same: list[str] = []
    unknown: list[str] = []
    for part in PARTS:
        first, second = told[0][part], told[1][part]
        found = [
            Difference(part, name, first.get(name), second.get(name))
            for name in dict.fromkeys((*first, *second))
            if first.get(name) != second.get(name)
        ]
        differences += found
        if not found:
            (same if any(value is not None for value in first.values()) else unknown).append(part)
    return Comparison((a[0].record.run_id, b[0].record.run_id), tuple(differences), tuple(same), tuple(unknown))


def facts(run: Run, events: list[Event]) -> dict[str, Facts]:
    """Return what is known of a run by part, each a flat dict: what two runs are compared by."""
    record = run.record
    results = dict(record.results)
    rate = results.pop("steps_per_second", None)
    data = {name: value for name, value in (last(events, "data") or {}).items() if name not in ("event", "time")}
    if histogram := last(events, "histogram"):
        data[f"histogram of {histogram['feature']}"] = {name: histogram[name] for name in ("edges", "counts")}
    if decision := last(events, "decision"):
        results[f"boundary of {decision['feature']}"] = [round(each, 2) for each in crossings(decision)]
    return {
        "run": {"workload": record.workload, "status": run.status, "findings": [each.id for each in record.findings]},
        "options": dict(record.options),
        "data": data,
        "versions": {**record.versions, "image": record.image, "image_id": record.image_id, "engine": record.engine},
        "gpu": {
            "device": record.device,
            "names": (last(events, "gpus") or {}).get("names"),
            **record.gpus,
        },
        "speed": {"steps_per_second": rate, **{f"{name} seconds": value for name, value in record.seconds.items()}},
        "results": results,
    }
