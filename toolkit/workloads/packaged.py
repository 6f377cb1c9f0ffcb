"""A packaged workload: one folder of workloads/."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from toolkit import paths
from toolkit.model import UsageError


@dataclass(frozen=True, slots=True)
class Workload:
    """One folder of workloads/: its workload.toml and where it is."""

    name: str
    folder: Path
    title: str
    entry: str
    best_accuracy: float | None = None


def workload(name: str) -> Workload:
    """Return a packaged workload; UsageError with the names that there are."""
    names = sorted(spec.parent.name for spec in paths.workloads().glob("*/workload.toml"))
    if name not in names:
        raise UsageError(f"there is no workload {name!r}; choose from {', '.join(names)}")
    folder = paths.workloads() / name
    return Workload(name, folder, **tomllib.loads((folder / "workload.toml").read_text(encoding="utf-8")))
