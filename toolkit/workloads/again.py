"""A run again: what an earlier run was asked, to repeat it or to go on with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from toolkit import paths
from toolkit.model import UsageError
from toolkit.runs import folders
from toolkit.runs.folders import Event
from toolkit.workloads.plan import Options


def asked(folder: Path) -> tuple[str, Options]:
    """Return the workload's name and the options of a run. UsageError where its kit did not note them."""
    told = _told(folder)
    if not told:
        raise UsageError(f"the run {folder.name} does not say what it was asked: an older kit, or a script of your own")
    known = {field.name for field in fields(Options)}
    options: dict[str, Any] = {name: value for name, value in told["options"].items() if name in known}
    return told["workload"], Options(**options)


def workloads(folder: Path) -> Path | None:
    """Return the folder of workloads of the user's own that a run's was in, None where kit brought it."""
    own = _told(folder).get("workloads")
    return Path(own) if own else None


def engine(folder: Path) -> str:
    """Return the engine of a run, "auto" where it did not note one."""
    return _told(folder).get("engine") or "auto"


def _told(folder: Path) -> Event:
    return next((event for event in folders.each_event(folder) if event["event"] == "asked"), {})


def found(name: str, out: Path | None, *, unfinished: bool) -> Path:
    """Return the folder of a run, by an id, its beginning, "last" or a path, in `out` or kit's own runs.

    Raises UsageError where there is none, or an `unfinished` one is wanted and it came to its end or is at it.
    """
    try:
        folder = folders.find(name, out or paths.runs())
    except UsageError:
        if out is None:
            raise
        folder = folders.find(name, paths.runs())  # --out is where a repeat goes
    folder = folder.absolute()
    status = folders.read(folder).status
    if unfinished and status in ("succeeded", "running"):
        over = "came to its end; train longer by a run of its own, with --epochs"
        raise UsageError(f"the run {folder.name} {over if status == 'succeeded' else 'is running'}")
    return folder


def difference(folder: Path, image: dict[str, Any] | None) -> str | None:
    """Return that a run had another engine or image than it has now, None where they are the same or it did not note them.

    `image` is None on the local engine.
    """
    if (before_engine := engine(folder)) not in ("auto", "docker" if image else "local"):
        return f"{folder.name} ran on --engine {before_engine}, and now it is another: its numbers may differ"
    before = folders.read(folder).record.image_id
    if before is None or image is None or before == image["Id"]:
        return None
    return f"the image is not that of {folder.name} ({before[7:19]}): its numbers may differ"
