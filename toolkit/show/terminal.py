"""What every view is drawn with: the console, tables, findings, lines of progress."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from toolkit.model import Command, Finding

COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal it keeps a width that tables fit in."""
    plain = not (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=110 if plain else None, highlight=False)


def table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """Return a plain table."""
    drawn = Table(box=None, padding=(0, 1), header_style="bold")
    for name in columns:
        drawn.add_column(name)
    for row in rows:
        drawn.add_row(*map(escape, row))
    return drawn


def finding(found: Finding, kind: str) -> Panel:
    """Return a finding as a box: cause, what was seen, what to do. Commands stand alone, to be copied."""
    lines = [f"[bold]{escape(found.title)}[/]", escape(found.cause)]
    lines += [f"[dim]seen  {escape(each.what)}  ({escape(each.where)})[/]" for each in found.evidence]
    for step in found.fix:
        lines.append(
            f"[bold]do[/]    [cyan]{escape(step.command)}[/]"
            if isinstance(step, Command)
            else f"[bold]do[/]    {escape(step.sentence)}"
        )
    colour = COLOURS[found.severity]
    title = f"[bold {colour}]{kind}[/]: [bold]{found.id}[/]"
    return Panel("\n".join(lines), title=title, title_align="left", border_style=colour, padding=(0, 1))


def step(output: Console, line: str) -> None:
    """Print a line of progress that names a step, on one line. Sample: '#8 [image 2/3] RUN ldconfig'."""
    line = re.sub(r"^#\d+ (?=\[\S+ \d+/\d+\])", "", line)
    if line.strip() and not line.startswith("#"):
        output.print(escape(line[: output.width]), style="dim", no_wrap=True, emoji=False)


def versions(versions: dict[str, str | None]) -> str:
    return "  " + "  ".join(f"{name} {version}" for name, version in versions.items() if version)
