"""The shared vocabulary of faults: id -> title and the fix in short (faults.json), and its page (pages/)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from toolkit.model import Command, Evidence, Finding, Sentence, Severity, Step

FOLDER = Path(__file__).parent


@cache
def vocabulary() -> dict[str, dict[str, str]]:
    """Return every fault by its id, each with `title` and `fix`."""
    data: dict[str, dict[str, str]] = json.loads((FOLDER / "faults.json").read_text(encoding="utf-8"))
    return data


@cache
def _pages() -> dict[str, dict[str, Any]]:
    files = sorted((FOLDER / "pages").glob("*.json"))
    return {fault: page for file in files for fault, page in json.loads(file.read_text(encoding="utf-8")).items()}


def page(fault: str) -> dict[str, Any]:
    """Return a fault's page: `what`, `how`, `confirm`, `related`, `sources`, and `fix` by platform ("any" too)."""
    return _pages().get(fault) or {"fix": {"any": [{"sentence": vocabulary()[fault]["fix"]}]}}


def steps(rows: Iterable[dict[str, str]]) -> tuple[Step, ...]:
    """Return the steps that a data file holds."""
    return tuple(Command(**each) if "command" in each else Sentence(**each) for each in rows)


def fix(fault: str, platforms: Collection[str] = ()) -> tuple[Step, ...]:
    """Return what mends a fault on a machine of these platforms."""
    by_platform = page(fault)["fix"]
    for platform in (*sorted(platforms), "any"):
        if platform in by_platform:
            return steps(by_platform[platform])
    return steps(next(iter(by_platform.values())))


def finding(
    fault: str,
    cause: str,
    fix: Iterable[Step] = (),
    evidence: Iterable[Evidence] = (),
    severity: Severity = "error",
) -> Finding:
    """Return a finding of a known fault with the vocabulary's title; KeyError for an id that is not in it."""
    return Finding(fault, severity, vocabulary()[fault]["title"], cause, tuple(fix), tuple(evidence))
