"""A run again: what an earlier run was asked, to repeat it or to go on with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from toolkit import paths
from toolkit.model import UsageError
from toolkit.runs import folders
from toolkit.workloads.plan import Options


def asked(folder: Path) -> tuple[str, Options]:
    """Return the workload's name and the options of a run. UsageError where its kit did not note them."""
    told = next((event for event in folders.events(folder) if event["event"] == "asked"), None)
    if told is None:
        raise UsageError(f"the run {folder.name} does not say what it was asked: an older kit, or a script of your own")
    known = {field.name for field in fields(Options)}
    options: dict[str, Any] = {name: value for name, value in told["options"].items() if name in known}
    return told["workload"], Options(**options)


def found(name: str, out: Path | None, *, unfinished: bool) -> Path:
    """Return the folder of a run, by an id, its beginning, "last" or a path, in `out` or kit's own runs.

    Raises UsageError where there is none, or an `unfinished` one is wanted and it came to its end or is at it.
    """
    folder = folders.find(name, out or paths.runs())
    status = folders.read(folder).status
    if unfinished and status in ("succeeded", "running"):
        raise UsageError(f"the run {folder.name} {'came to its end' if status == 'succeeded' else 'is running'}")
    return folder


def difference(folder: Path, image: dict[str, Any] | None) -> str | None:
    """Return that a run had another image than it has now, None where it is the same or the run did not note one."""
    before = folders.read(folder).record.image_id
    if before is None or image is None or before == image["Id"]:
        return None
    return f"the image is not that of {folder.name} ({before[7:19]}): its numbers may differ"
