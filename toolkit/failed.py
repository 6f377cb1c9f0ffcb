"""The log of the run or build that failed last."""

from __future__ import annotations

import os
from pathlib import Path

from toolkit import paths
from toolkit.model import UsageError
from toolkit.runs import folders

END = 1 << 16  # bytes at the end of a build's log in which kit says that it failed


def last() -> Path:
    """Return the log of what failed last on this machine; UsageError where nothing did."""
    failed = [run.folder / "log.txt" for run in folders.runs(paths.runs()) if run.status == "failed"]
    failed += [log for log in (paths.state() / "builds").glob("*.log") if _failed(log)]
    there = [log for log in failed if log.is_file()]
    if not there:
        raise UsageError("no run and no build of kit has failed here: name a log, or - for what is piped in")
    return max(there, key=lambda log: log.stat().st_mtime)


def _failed(log: Path) -> bool:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - END))
        return any(line.startswith(b"ERROR: ") for line in file)
