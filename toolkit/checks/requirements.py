"""Findings for packages beside TensorFlow that are of versions which it does not take."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.compat.tables import table
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, Step
from toolkit.versions import numbers


def misfits(tensorflow: str, versions: dict[str, str], where: str, fix: Callable[[str], Step]) -> list[Finding]:
    """Return a finding for each package whose version does not fit; `fix` makes the step of a requirement (numpy<2)."""
    found = []
    for row in table("requirements")["rows"]:
        version = versions.get(row["package"])
        if not version or not _within(tensorflow, row["tensorflow"]) or _within(version, row["takes"]):
            continue
        lowest, highest = row["takes"]
        takes = f">={lowest}" if lowest else f"<{highest}"
        cause = f"TensorFlow {tensorflow} {row['why']} and takes {row['package']}{takes}; installed is {version}."
        evidence = [Evidence(where, f"tensorflow {tensorflow}, {row['package']} {version}")]
        found.append(finding(row["fault"], cause, [fix(f"{row['package']}{takes}")], evidence))
    return found


def _within(version: str, bounds: list[str | None]) -> bool:
    lowest, highest = bounds
    return (lowest is None or numbers(version) >= numbers(lowest)) and (
        highest is None or numbers(version) < numbers(highest)
    )
