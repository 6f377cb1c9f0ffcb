"""The signatures: rows of the JSON files in signatures/, as data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from toolkit.explain.search import Patterns
from toolkit.faults import steps
from toolkit.model import Step

FOLDER = Path(__file__).parent / "signatures"
HARMLESS, NOT_OURS = "harmless", "program-error"  # the faults that are none: nothing is wrong; not of the GPU

Places = frozenset[int]  # of patterns in the table


@dataclass(frozen=True, slots=True)
class Cause:
    """A fault that a signature may show, why, and what else of the log says that it is this one.

    `tell` says how a person tells it from the others; `steps` mend it, where the fault's page is not enough.
    """

    fault: str
    cause: str
    tell: str
    steps: tuple[Step, ...]
    needs: tuple[Places, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """One family of messages: what a line of it looks like, and what that shows."""

    name: str
    causes: tuple[Cause, ...]  # the likeliest first
    specificity: int
    patterns: Places
    needs: tuple[Places, ...]  # of each one must be in the log too
    bars: Places  # none may be
    platforms: frozenset[str]
    versions: dict[str, SpecifierSet]
    consequence_of: frozenset[str]  # faults and names of signatures: where one shows too, this one is no cause
    example: str
    source: str

    @property
    def fault(self) -> str:
        return self.causes[0].fault


@dataclass(frozen=True, slots=True)
class Context:
    """What a log says of the machine that it is of: a platform, or the version of a program."""

    platform: str | None
    program: str | None
    patterns: Places


@dataclass(frozen=True, slots=True)
class Table:
    """Every signature, what tells the platform and versions, and the patterns of both."""

    signatures: tuple[Signature, ...]
    contexts: tuple[Context, ...]
    patterns: Patterns
    last: Places  # patterns whose last line counts, not the first ones: how a program of Python ends


@cache
def table() -> Table:
    """Return what the files in signatures/ say."""
    places: dict[str, int] = {}
    files = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))]

    def place(patterns: Iterable[str]) -> Places:
        return frozenset(places.setdefault(pattern, len(places)) for pattern in patterns)

    def cause(row: dict[str, Any], part: dict[str, Any]) -> Cause:
        return Cause(
            fault=part["fault"],
            cause=part.get("cause", row["cause"]),
            tell=part.get("tell", ""),
            steps=steps(part.get("fix", ())),
            needs=tuple(place([each]) for each in part.get("with", ())) if part is not row else (),
        )

    def signature(row: dict[str, Any]) -> Signature:
        return Signature(
            name=row["name"],
            causes=tuple(cause(row, part) for part in (row, *row.get("or", ()))),
            specificity=row.get("specificity", 4),
            patterns=place(row["patterns"]),
            needs=tuple(place([each]) for each in row.get("with", ())),
            bars=place(row.get("without", ())),
            platforms=frozenset(row.get("platforms", ())),
            versions={program: SpecifierSet(versions) for program, versions in row.get("versions", {}).items()},
            consequence_of=frozenset(row.get("consequence_of", ())),
            example=row["example"],
            source=row["source"],
        )

    signatures = tuple(signature(row) for file in files for row in file.get("rows", ()))
    contexts = tuple(
        Context(row.get("platform"), row.get("program"), place(row["patterns"]))
        for file in files
        for row in file.get("contexts", ())
    )
    last = frozenset(place for each in signatures if each.fault == NOT_OURS for place in each.patterns)
    return Table(signatures, contexts, Patterns(tuple(places)), last)
