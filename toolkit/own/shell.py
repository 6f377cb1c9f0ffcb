"""A shell in a container: somebody's folder to work in, their GPUs, their terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolkit.engine.plan import Mount, RunPlan
from toolkit.own.container import Options, Place
from toolkit.own.container import plan as container_plan
from toolkit.workloads.plan import memory_limit

PROMPT = {"PS1": r"\[\e[1m\]kit\[\e[0m\]:\w\$ "}


def plan(folder: Path, options: Options, place: Place, memory_bytes: int, *, terminal: bool) -> RunPlan:
    """Return the process of a shell whose folder, /work, is somebody's. Without a terminal it reads commands from stdin."""
    mounts = (Mount(folder, "/work", read_only=False),)
    order = container_plan(("bash", "--norc"), options, place, mounts, memory_bytes, "shell", PROMPT)
    return replace(order, stdin=True, terminal=terminal)


def run(folder: Path, options: Options, place: Place, *, terminal: bool) -> int:
    """Run a shell to its end and return its exit code."""
    place.engine.sweep()
    memory = memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    return place.engine.attend(plan(folder, options, place, memory, terminal=terminal))
