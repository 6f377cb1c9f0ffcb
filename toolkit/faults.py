"""The shared vocabulary of faults (faults.json): id -> title and the fix in short."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from toolkit.model import Evidence, Finding, Severity, Step


@cache
def vocabulary() -> dict[str, dict[str, str]]:
    """Return every fault by its id, each with `title` and `fix`."""
    data: dict[str, dict[str, str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return data


def finding(
    fault: str,
    cause: str,
    fix: Iterable[Step] = (),
    evidence: Iterable[Evidence] = (),
    severity: Severity = "error",
) -> Finding:
    """Return a finding of a known fault with the vocabulary's title; KeyError for an id that is not in it."""
    return Finding(fault, severity, vocabulary()[fault]["title"], cause, tuple(fix), tuple(evidence))
