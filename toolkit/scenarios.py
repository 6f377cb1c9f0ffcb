"""The library of machines (tests/hosts): captured and composed ones, each with the diagnosis that is right for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit import paths
from toolkit.host import capture
from toolkit.model import UsageError


def names() -> list[str]:
    """Return the names of all machines, in order."""
    return sorted(file.stem for file in paths.hosts().glob("*.json"))


def file(name: str) -> Path:
    """Return a machine's file; UsageError with the names that there are."""
    if name not in names():
        raise UsageError(f"there is no machine {name!r}; kit doctor --simulate list shows {len(names())}")
    return paths.hosts() / f"{name}.json"


def read(name: str) -> dict[str, Any]:
    """Return a machine's document: its `title`, its `expect`ed diagnosis and its answers."""
    return capture.read(file(name))
