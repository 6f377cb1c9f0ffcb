"""What people see of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from toolkit.model import CheckResult, Diagnosis, Rung
from toolkit.show.terminal import finding

MARKS = {
    "ok": "[green]✓[/]",
    "broken": "[bold red]✗[/]",
    "blocked": "[dim]·[/]",
    "skipped": "[dim]-[/]",
    "unknown": "[yellow]?[/]",
    "found": "[bold red]✗[/]",
    "crashed": "[bold magenta]![/]",
}


def diagnosis(record: Diagnosis, *, verbose: bool) -> RenderableType:
    """Return the chain, what broke it, and what to do; with `verbose` every check too."""
    parts: list[RenderableType] = [_chain(record.chain)]
    unknown = [rung.rung for rung in record.chain if rung.status == "unknown"]
    if record.root_cause is None and unknown:
        parts.append(Text(f"\nNot known to be well: {', '.join(unknown)} could not be judged.", style="yellow"))
    elif record.root_cause is None and not record.findings:
        parts.append(Text("\nEvery rung that was examined has its GPUs.", style="green"))
    for found in record.findings:
        parts += [
            Text(),
            finding(found, "Root cause" if found.id == record.root_cause else found.severity.capitalize()),
        ]
    if record.root_cause and any(rung.status == "blocked" for rung in record.chain):
        parts.append(
            Text("\nBlocked rungs were not judged: mend the root cause, then run kit doctor again.", style="dim")
        )
    if verbose:
        parts += [Text(), _checks(record.checks)]
    return Group(*parts)


def _chain(chain: Iterable[Rung]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name, justify in (("", "left"), ("rung", "left"), ("GPUs", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for rung in chain:
        gpus = "-" if rung.gpus is None else str(rung.gpus)
        said = escape(rung.detail or rung.status)
        table.add_row(MARKS[rung.status], rung.rung, gpus, said if rung.status == "ok" else f"[dim]{said}[/]")
    return table


def _checks(checks: Iterable[CheckResult]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("", "check", "result"):
        table.add_column(name)
    for check in checks:
        table.add_row(MARKS[check.status], check.check, escape(check.reason or check.status))
    return table
