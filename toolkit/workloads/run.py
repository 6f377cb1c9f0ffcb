"""A run: the planned process executed, its events and log kept, its record written."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from toolkit import records
from toolkit.engine import local
from toolkit.executed import executed
from toolkit.facts import Facts
from toolkit.host import live
from toolkit.model import RunRecord, document
from toolkit.runs import folders, tensorboard
from toolkit.runs.training import metrics_csv
from toolkit.workloads.outcome import Event, Outcome, record
from toolkit.workloads.packaged import Workload
from toolkit.workloads.plan import Options, Place, chosen_gpus, gpu_indices, memory_limit, plan


def run(
    work: Workload,
    options: Options,
    folder: records.RunFolder,
    facts: Facts,
    place: Place,
    on_event: Callable[[Event], None],
    notes: tuple[str, ...] = (),
    memory_bytes: int | None = None,
) -> RunRecord:
    """Run a workload to its end and return its record, which its folder holds too. Ctrl-C ends it as interrupted.

    In the folder of a run that did not come to its end it goes on where that was. Its container may use `memory_bytes`,
    three quarters of the machine's where nothing is said.
    """
    engine = place.engine
    if engine:
        engine.sweep()
    events = [event for event in folders.events(folder.path) if event["event"] == "epoch"]  # of the part before
    before = {event.get("epoch") for event in events}
    log: list[str] = []
    kept: list[bool] = []  # whether there was room for each line
    two = threading.Lock()  # lines and the use of GPUs come from threads of their own
    gpus = chosen_gpus(options.gpus, gpu_indices(facts))

    def on_line(stream: str, line: str) -> None:
        event = records.event(line) if stream == "stdout" else None
        if event:
            take(event)
            return
        with two:
            log.append(line)
            kept.append(folder.add(folder.log, line))

    def take(event: Event) -> None:
        event.setdefault("time", time.time())
        if event.pop("again", False) and event.get("epoch") in before:
            return
        with two:
            kept.append(folder.add(folder.events, json.dumps(event)))
            events.append(event)
            on_event(event)

    def on_use(uses: list[dict[str, Any]]) -> None:
        take({"event": "gpu-use", "gpus": [use for use in uses if use["index"] in gpus]})

    memory = memory_bytes or memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    resume = bool(events) or (folder.path / "checkpoint.npz").exists()
    order = plan(work, options, folder.path, place, facts, memory, resume=resume)
    image = engine.image(place.tag) if engine and place.tag else None  # its name may be another's afterwards
    began = time.time()
    asked = {"event": "asked", "time": began, "workload": work.name, "options": asdict(options)}
    asked |= {"workloads": str(work.folder.parent) if work.own else None, "engine": "docker" if engine else "local"}
    folder.add(folder.events, json.dumps(asked))
    run_it = engine.run if engine else local.run
    with live.gpu_use(on_use) if gpus else nullcontext():
        ended = executed(lambda hand_on: run_it(order, hand_on), folder, on_line)
    told = record(work, folder, place, facts, Outcome(events, log, ended, began, time.time(), memory))
    if any(event["event"] == "epoch" for event in events):
        kept.append(folder.write("metrics.csv", metrics_csv(events).encode()))
        kept.append(folder.write(tensorboard.NAME, tensorboard.events_file(events)))
    if not all(kept):
        full = f"the disk of {folder.path} was full: not everything that the run told is kept there"
        notes = (*notes, full)
        on_event({"event": "note", "text": full})
    told = replace(
        told,
        notes=(*notes, *(event["text"] for event in events if event["event"] == "note")),
        options=asdict(options),
        image_id=image["Id"] if image else None,
        artifacts=folder.artifacts() | {name: str(folder.path / name) for name in ("result.json", "report.html")},
    )
    folder.close(document("run", told))
    return told
