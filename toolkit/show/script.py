"""Prints the fixes of a diagnosis as a shell script that stops on the first error; kit never runs it."""

from __future__ import annotations

import sys

from toolkit.model import Command, Diagnosis


def show(record: Diagnosis) -> None:
    """Print the script on stdout, the root cause's fix first."""
    sys.stdout.write(text(record))


def text(record: Diagnosis) -> str:
    """Return the script: commands as they stand, everything that a person must know or do as comments."""
    lines = [
        "#!/usr/bin/env bash",
        "# What kit doctor would do. Read it before you run it; it stops on the first error.",
        "set -euo pipefail",
    ]
    if not record.findings:
        lines += ["", "# Nothing to mend."]
    for found in record.findings:
        kind = "root cause" if found.id == record.root_cause else found.severity
        lines += ["", *_comment(f"{kind}: {found.id}: {found.title}"), *_comment(found.cause)]
        for step in found.fix:
            lines += [step.command] if isinstance(step, Command) else _comment(f"by hand: {step.sentence}")
    return "\n".join(lines) + "\n"


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in words.splitlines()]
