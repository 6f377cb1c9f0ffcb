"""What people see of an explained log and of a fault's page."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from toolkit.model import Command, Explanation, Finding, Page, Step
from toolkit.show.terminal import finding

PLATFORMS = {"linux": "Linux", "wsl2": "WSL 2", "windows": "Windows", "macos": "macOS", "container": "containers"}


def explanation(record: Explanation, log: str) -> RenderableType:
    """Return what a log shows, the root cause first."""
    said = {
        "fault": "",
        "benign": "Nothing is wrong: these lines frighten and mean nothing.",
        "unknown": "No fault of the GPU or its environment that kit knows; this is the program's own word.",
    }
    if not record.findings:
        return Text(f"{log} says nothing that kit knows to be a fault.", style="green")
    parts: list[RenderableType] = [Text(said[record.verdict])] if said[record.verdict] else []
    return Group(*parts, *(finding(each, _kind(each, record)) for each in record.findings))


def _kind(each: Finding, record: Explanation) -> str:
    first = record.findings[0]
    if record.verdict != "fault":
        return "Harmless" if record.verdict == "benign" else "Unknown"
    several = sum(other.evidence == first.evidence for other in record.findings) > 1
    if each == first:
        return "Likeliest cause" if several else "Root cause"
    return "Or" if each.evidence == first.evidence else "Also"


def page(record: Page) -> RenderableType:
    """Return a fault's page."""
    parts: list[RenderableType] = [f"[bold]{record.id}[/]  {escape(record.title)}"]
    parts += [escape(text) for text in (record.what, record.how) if text]
    parts += _steps("confirm", record.confirm)
    for platform, steps in record.fixes.items():
        parts += _steps("mend" if platform == "any" else f"mend on {PLATFORMS.get(platform, platform)}", steps)
    if record.checks:
        parts.append(f"[bold]found by[/]  kit doctor, {', '.join(record.checks)} (rung {record.rung})")
    else:
        parts.append("[bold]found by[/]  a log alone: the facts of a machine do not show it")
    if record.example:
        parts += [
            Text(),
            f"[dim]A machine that has it: kit doctor --simulate {record.machine}[/]",
            finding(record.example, "Finding"),
        ]
    for name, values in (("said by", record.says), ("near it", record.related), ("sources", record.sources)):
        if values:
            parts.append(f"[bold]{name}[/]  {escape((chr(10) if name == 'said by' else ', ').join(values))}")
    return Group(*parts)


def _steps(name: str, steps: Iterable[Step]) -> list[RenderableType]:
    said = [
        f"[cyan]{escape(each.command)}[/]" if isinstance(each, Command) else escape(each.sentence) for each in steps
    ]
    return [f"[bold]{name}[/]", *(f"  {each}" for each in said)] if said else []
