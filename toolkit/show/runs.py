"""What people see of the runs that were made: which there are, one of them, and what differs between two."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from toolkit.model import RemovalRecord
from toolkit.runs.compare import Comparison, Difference
from toolkit.runs.folders import Event, Run
from toolkit.show.run import ran
from toolkit.show.terminal import table

STATUS = {
    "succeeded": "green",
    "failed": "bold red",
    "interrupted": "yellow",
    "unfinished": "yellow",
    "running": "bold",
}
LONGEST = 40  # of a value in a comparison


def listing(runs: Sequence[Run]) -> RenderableType:
    """Return runs as a table."""
    if not runs:
        return "there is no run; kit run workload makes one"
    columns = ("run", "workload", "when", "in", "device", "accuracy", "status", "seconds")
    drawn = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        drawn.add_column(name, justify="right" if name in ("accuracy", "seconds") else "left")
    for run in runs:
        drawn.add_row(*_row(run))
    drawn.columns[0].no_wrap = True  # to be copied
    return drawn


def _row(run: Run) -> tuple[str, ...]:
    record, seconds = run.record, run.record.seconds.get("total")
    return (
        escape(run.folder.name),
        escape(record.workload),
        time.strftime("%b %d %H:%M", time.localtime(run.began)),
        escape((record.image or record.engine or "-").removeprefix("kit/tensorflow:")),
        escape(record.device or "-"),
        "-" if run.accuracy is None else f"{run.accuracy:.3f}",
        f"[{STATUS.get(run.status, 'default')}]{escape(run.status)}[/]",
        "-" if seconds is None else f"{seconds:.1f}",
    )


def run(run: Run, events: list[Event], best_accuracy: float | None) -> RenderableType:
    """Return one run: what it is, and its results as they were shown at its end."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began))
    head = f"[bold]{escape(run.folder.name)}[/]  {escape(run.record.workload)}, began {began}"
    files = sorted(file.name for file in run.folder.iterdir() if not file.name.startswith("."))
    placeless = replace(run.record, artifacts={})  # the folder may have been moved since
    return Group(
        head,
        ran(placeless, best_accuracy, events, run.status),
        f" [dim]files[/]     {escape('  '.join(files))}",
        f" [dim]folder[/]    {escape(str(run.folder))}",
    )


def compared(comparison: Comparison) -> RenderableType:
    """Return what differs, a part at a time; the parts in which nothing does are only named."""
    first, second = comparison.runs
    parts: list[RenderableType] = []
    if comparison.differences:
        parts.append(table(("", "", first, second, ""), map(_difference, comparison.differences)))
    else:
        parts.append(f"{escape(first)} and {escape(second)}: the same")
    if comparison.differences and comparison.same:
        parts.append(f"[green]the same[/]  {', '.join(comparison.same)}")
    if comparison.unknown:
        parts.append(f"[dim]not told   {', '.join(comparison.unknown)}[/]")
    return Group(*parts)


def _difference(each: Difference) -> tuple[str, ...]:
    return each.part, each.name, _value(each.a), _value(each.b), _change(each)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return f"({', '.join(value)})"
    text = "-" if value is None else str(value).removeprefix("sha256:")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _change(each: Difference) -> str:
    """Return how far two numbers are apart: of speed as a ratio, else as a difference. Tables only differ."""
    a, b = each.a, each.b
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b)):
        return "differs" if isinstance(a, dict) and isinstance(b, dict) else ""
    if each.part == "speed":
        return f"{b / a:.2f} times" if a else ""
    return f"{b - a:+.4g}"


def opened(report: Path, opened: bool) -> RenderableType:
    """Return where a report is, and that a browser shows it or not."""
    said = "" if opened else "\nno browser was opened: there is no display here, or no browser"
    return Text(f"{report}{said}", overflow="fold")


def removed(record: RemovalRecord) -> RenderableType:
    """Return what went and what stayed."""
    lines = [f"[green]removed[/] {escape(name)}" for name in record.removed]
    lines += [f"[yellow]kept[/] {escape(name)}: {escape(reason)}" for name, reason in record.kept.items()]
    if record.removed:
        lines.append(f"{record.freed_bytes / 1e6:.1f} MB freed")
    return Group(*lines)
