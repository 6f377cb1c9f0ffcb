"""The run folders that there are: which, found by id, read, removed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from toolkit import paths, records
from toolkit.model import Command, Evidence, Finding, RemovalRecord, RunRecord, RunStatus, Sentence, UsageError

Event = dict[str, Any]
Status = RunStatus | Literal["unfinished", "running"]

SCHEMA = "kit.run/1"
NAMED = 8  # ids in an error
_RUN_ID = re.compile(r"(?P<began>\d{8}-\d{6})-(?P<workload>.+)-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder, read. Of a run without result.json the record holds what its events say.

    unfinished: kit was killed before it wrote the record; running: kit is at it.
    """

    folder: Path
    status: Status
    began: float  # seconds since 1970
    record: RunRecord

    @property
    def accuracy(self) -> float | None:
        """The accuracy that counts: that of validation, of training where nothing was held out."""
        validation: float | None = self.record.results.get("val_accuracy")
        return self.record.results.get("accuracy") if validation is None else validation


def runs(parent: Path) -> list[Run]:
    """Return the runs of a folder, the newest first."""
    found = [read(folder) for folder in _folders(parent)]
    return sorted(found, key=lambda run: (run.began, run.record.run_id), reverse=True)


def find(name: str, parent: Path) -> Path:
    """Return the run folder that a name means: an id or the unique beginning of one, "last", or a path.

    The last one is that of kit's own folder, or the one made elsewhere (--out) since then. Raises UsageError with the ids
    that there are where it means none or several.
    """
    if name == "last":
        newest = runs(parent)[:1]
        other = records.elsewhere() if parent == paths.runs() else None
        if other and is_run(other):
            newest.append(read(other))
        if newest:
            return max(newest, key=lambda run: (run.began, run.record.run_id)).folder
    there = sorted((folder.name for folder in _folders(parent)), reverse=True)
    matches = [name] if name in there else [each for each in there if name and each.startswith(name)]
    if len(matches) == 1:
        return parent / matches[0]
    path = Path(os.path.abspath(name))  # noqa: PTH100 a link stays one, which Path.resolve() follows
    if not matches and path.is_dir() and name:
        if is_run(path):
            return path
        raise UsageError(f"{path} is no run folder: it has no result.json of {SCHEMA}, nor the events of a killed run")
    if matches:
        raise UsageError(f"{len(matches)} runs begin with {name}: {_some(matches)}")
    if not there:
        raise UsageError(f"there is no run in {parent}; kit run workload makes one")
    raise UsageError(f"no run is or begins with {name!r}; there are {_some(there)}; or give a path, or last")


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's: by its record, or by its name and events where there is no record."""
    try:
        if (folder / "result.json").exists():
            return (records.read_json(folder / "result.json") or {}).get("schema") == SCHEMA
        if not _RUN_ID.fullmatch(folder.name):
            return False
        with (folder / "events.jsonl").open(encoding="utf-8") as file:
            first = file.readline()
    except (OSError, UnicodeDecodeError):
        return False
    return not first or records.event(first) is not None


def read(folder: Path) -> Run:
    """Return a run folder's run; fields that its record lacks are empty."""
    document = records.read_json(folder / "result.json")
    name = _RUN_ID.fullmatch(folder.name)
    began = time.mktime(time.strptime(name["began"], "%Y%m%d-%H%M%S")) if name else folder.stat().st_mtime
    known = document or _told(events(folder))
    status: Status = "running" if records.goes_on(folder) else known.get("status", "unfinished")
    defaults = {"run_id": folder.name, "workload": name["workload"] if name else "", "status": "interrupted"}
    return Run(folder, status, began, run_record({**defaults, **known}))


def run_record(document: dict[str, Any]) -> RunRecord:
    """Return the record that a result.json holds, of an older or newer kit too."""
    empty: dict[str, Any] = {"engine": "", "image": None, "device": None, "artifacts": {}}
    empty |= {name: {} for name in ("gpus", "results", "versions", "seconds")}
    known = {field.name: document[field.name] for field in fields(RunRecord) if field.name in document}
    known["findings"] = tuple(map(_finding, document.get("findings", ())))
    known["notes"] = (*document.get("notes", ()), *([document["error"]] if document.get("error") else ()))
    return RunRecord(**{**empty, **known})


def events(folder: Path) -> list[Event]:
    """Return what the workload told, in order; a line that was cut off by a kill is left out."""
    return list(each_event(folder))


def each_event(folder: Path) -> Iterator[Event]:
    """Give what the workload told, as `events` returns it, read as far as it is wanted."""
    try:
        with (folder / "events.jsonl").open(encoding="utf-8", errors="replace") as file:
            yield from (event for line in file if (event := records.event(line)))
    except OSError:
        return


def remove(folders: tuple[Path, ...], ask: Callable[[Run, int], bool]) -> RemovalRecord:
    """Remove run folders, each if `ask` agrees, given the run and its bytes; return what went and what stayed, why."""
    removed: list[str] = []
    kept: dict[str, str] = {}
    freed = 0
    for folder in dict.fromkeys(folders):
        run = read(folder)
        size = size_bytes(folder)
        if reason := _reason_to_keep(run, size, ask):
            kept[folder.name] = reason
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            kept[folder.name] = f"{error.strerror}: {error.filename}"
            continue
        removed.append(folder.name)
        freed += size
    return RemovalRecord(tuple(removed), kept, freed)


def size_bytes(folder: Path) -> int:
    """Return what the files of a folder hold."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir() or file.is_symlink())


def _iso(run: Run) -> str:
    """Return when a run began, with the offset of this machine's time. Sample: '2026-11-24T18:19:49+01:00'."""
    return datetime.fromtimestamp(run.began).astimezone().isoformat(timespec="seconds")


def summary(run: Run) -> dict[str, Any]:
    """Return a run in short, as `kit runs list --json` has it."""
    record = run.record
    return {
        "run_id": record.run_id,
        "workload": record.workload,
        "began": _iso(run),
        "engine": record.engine or None,
        "image": record.image,
        "device": record.device,
        "accuracy": run.accuracy,
        "status": run.status,
        "seconds": record.seconds.get("total"),
        "folder": str(run.folder),
    }


def _folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from (folder for folder in parent.iterdir() if folder.is_dir() and is_run(folder))


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _told(happened: list[Event]) -> dict[str, Any]:
    """Return what a record would hold, as far as the events of a killed run say."""
    by_name = {event["event"]: event for event in happened}
    gpus = by_name.get("gpus", {})
    versions = by_name.get("versions", {})
    return {
        "options": by_name.get("asked", {}).get("options", {}),
        "gpus": {name: gpus.get(name) for name in ("container", "tensorflow", gpus.get("backend", "tensorflow"))},
        "device": by_name.get("device", {}).get("device"),
        "versions": {name: value for name, value in versions.items() if name not in ("event", "time")},
        "seconds": {event.get("phase"): event.get("seconds") for event in happened if event["event"] == "phase"},
    }


def _reason_to_keep(run: Run, size: int, ask: Callable[[Run, int], bool]) -> str | None:
    if run.folder.is_symlink():
        return "it is a symbolic link; remove the folder that it leads to"
    if run.status == "running":
        return "it is running; stop it first"
    return None if ask(run, size) else "not confirmed; --yes removes it without asking"


def _finding(found: dict[str, Any]) -> Finding:
    steps = [Command(step["command"]) if "command" in step else Sentence(step["sentence"]) for step in found["fix"]]
    evidence = tuple(Evidence(**each) for each in found["evidence"])
    return Finding(found["id"], found["severity"], found["title"], found["cause"], tuple(steps), evidence)
