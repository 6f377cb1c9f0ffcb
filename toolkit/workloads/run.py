"""A run: the planned process executed, its events and log kept, its record written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from toolkit import records
from toolkit.engine import local
from toolkit.executed import executed
from toolkit.facts import Facts
from toolkit.model import RunRecord, document
from toolkit.runs import folders
from toolkit.runs.training import metrics_csv
from toolkit.workloads.outcome import Event, Outcome, record
from toolkit.workloads.packaged import Workload
from toolkit.workloads.plan import Options, Place, memory_limit, plan


def run(
    work: Workload,
    options: Options,
    folder: records.RunFolder,
    facts: Facts,
    place: Place,
    on_event: Callable[[Event], None],
    notes: tuple[str, ...] = (),
) -> RunRecord:
    """Run a workload to its end and return its record, which its folder holds too. Ctrl-C ends it as interrupted.

    In the folder of a run that did not come to its end it goes on where that was.
    """
    engine = place.engine
    if engine:
        engine.sweep()
    events = [event for event in folders.events(folder.path) if event["event"] == "epoch"]  # of the part before
    log: list[str] = []

    def on_line(stream: str, line: str) -> None:
        event = records.event(line) if stream == "stdout" else None
        if event is None:
            log.append(line)
            folder.log.write(line + "\n")
            return
        folder.events.write(line + "\n")
        events.append(event)
        on_event(event)

    memory = memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    order = plan(work, options, folder.path, place, facts, memory, resume=bool(events))
    image = engine.image(place.image.tag) if engine and place.image else None  # its name may be another's afterwards
    began = time.time()
    asked = {"event": "asked", "time": began, "workload": work.name, "options": asdict(options)}
    folder.events.write(json.dumps(asked) + "\n")
    run_it = engine.run if engine else local.run
    ended = executed(lambda hand_on: run_it(order, hand_on), folder, on_line)
    told = record(work, folder, place, facts, Outcome(events, log, ended, began, time.time(), memory))
    if any(event["event"] == "epoch" for event in events):
        folder.write("metrics.csv", metrics_csv(events))
    told = replace(
        told,
        notes=notes,
        options=asdict(options),
        image_id=image["Id"] if image else None,
        artifacts=folder.artifacts() | {name: str(folder.path / name) for name in ("result.json", "report.html")},
    )
    folder.close(document("run", told))
    return told
