"""Log text -> what went wrong: signatures are rows of this folder's JSON files, and this is all that evaluates them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from toolkit import faults
from toolkit.explain.lines import LONGEST, Line
from toolkit.model import Command, Evidence, Finding, Sentence, Step

MOST = 5  # lines kept of one signature


@dataclass(frozen=True, slots=True)
class Signature:
    """One family of messages: what a line of it looks like, the fault that it shows, what mends that in general."""

    name: str
    fault: str
    pattern: re.Pattern[str]
    consequence_of: frozenset[str]  # faults and names of signatures: where one shows too, this one is no cause
    cause: str
    fix: tuple[Step, ...]
    example: str
    source: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A signature in a log, with the first lines that it holds for."""

    signature: Signature
    lines: tuple[Line, ...]


@cache
def signatures() -> tuple[Signature, ...]:
    """Return every signature, in the order of its file: of two that hold for one line the first stands."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    return tuple(_signature(row) for file in files for row in json.loads(file.read_text(encoding="utf-8"))["rows"])


def _signature(row: dict[str, Any]) -> Signature:
    return Signature(
        name=row["name"],
        fault=row["fault"],
        pattern=re.compile("|".join(row["patterns"])),
        consequence_of=frozenset(row.get("consequence_of", ())),
        cause=row["cause"],
        fix=tuple(Command(**step) if "command" in step else Sentence(**step) for step in row["fix"]),
        example=row["example"],
        source=row["source"],
    )


def shown(lines: Iterable[Line]) -> tuple[Shown, ...]:
    """Return what a log's lines show, what was said first being first; what only follows from another is left out."""
    seen: dict[str, tuple[Signature, list[Line]]] = {}
    for line in lines:
        text = line.text[:LONGEST]
        signature = next((each for each in signatures() if each.pattern.search(text)), None)
        if signature:
            kept = seen.setdefault(signature.name, (signature, []))[1]
            if len(kept) < MOST:
                kept.append(line)
    there = seen.keys() | {signature.fault for signature, _ in seen.values()}
    return tuple(
        Shown(signature, tuple(kept)) for signature, kept in seen.values() if not signature.consequence_of & there
    )


def finding(each: Shown, log: str, first: Iterable[Step] = ()) -> Finding:
    """Return the finding of what a log shows, with `first` before what mends it in general. `log` is its name."""
    evidence = [Evidence(f"{log}:{line.number}", line.text.strip()[:LONGEST]) for line in each.lines]
    signature = each.signature
    return faults.finding(signature.fault, signature.cause, [*first, *signature.fix], evidence)
