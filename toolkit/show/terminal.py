"""What people see: the chain, findings, builds and runs, drawn by Rich."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from toolkit.model import BuildRecord, CheckResult, Command, Diagnosis, Finding, Page, Rung, RunRecord

MARKS = {
    "ok": "[green]✓[/]",
    "broken": "[bold red]✗[/]",
    "blocked": "[dim]·[/]",
    "skipped": "[dim]-[/]",
    "unknown": "[yellow]?[/]",
    "found": "[bold red]✗[/]",
    "crashed": "[bold magenta]![/]",
}
COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal it keeps a width that tables fit in."""
    plain = not (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=110 if plain else None, highlight=False)


# --- doctor ----------------------------------------------------------------------------------------------------------


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
            _finding(found, "Root cause" if found.id == record.root_cause else found.severity.capitalize()),
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


def table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """Return a plain table."""
    drawn = Table(box=None, padding=(0, 1), header_style="bold")
    for name in columns:
        drawn.add_column(name)
    for row in rows:
        drawn.add_row(*map(escape, row))
    return drawn


def page(record: Page) -> RenderableType:
    """Return a fault's page."""
    parts: list[RenderableType] = [
        f"[bold]{record.id}[/]  {escape(record.title)}",
        f"[bold]mend[/]  {escape(record.fix)}",
    ]
    if record.checks:
        parts.append(f"[bold]found by[/]  kit doctor, {', '.join(record.checks)} (rung {record.rung})")
    else:
        parts.append("[bold]found by[/]  a log alone: the facts of a machine do not show it")
    if record.example:
        parts += [
            Text(),
            f"[dim]A machine that has it: kit doctor --simulate {record.machine}[/]",
            _finding(record.example, "Finding"),
        ]
    if record.related:
        parts.append(f"[bold]near it[/]  {', '.join(record.related)}")
    return Group(*parts)


def _finding(found: Finding, kind: str) -> Panel:
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


# --- build -----------------------------------------------------------------------------------------------------------


@contextmanager
def building(output: Console) -> Iterator[Callable[[str], None]]:
    """Give a function that shows a build's lines: one live line on a terminal, else only those that name a step."""
    if not output.is_terminal:
        yield lambda line: _step(output, line)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=output, transient=True) as progress:
        task = progress.add_task("building")
        yield (
            lambda line: progress.update(task, description=escape(line[: output.width - 16])) if line.strip() else None
        )


def _step(output: Console, line: str) -> None:
    """Print a line of progress that names a step, on one line. Sample: '#8 [image 2/3] RUN ldconfig'."""
    line = re.sub(r"^#\d+ (?=\[\S+ \d+/\d+\])", "", line)
    if line.strip() and not line.startswith("#"):
        output.print(escape(line[: output.width]), style="dim", no_wrap=True)


def built(record: BuildRecord) -> RenderableType:
    """Return what was built and how it was proven."""
    parts: list[RenderableType] = []
    if record.tag:
        parts.append(
            f"[bold green]✓[/] [bold]{record.tag}[/]  {record.size_bytes / 1e9:.2f} GB  {record.image_id[7:19]}"
        )
        parts.append(_proof(record.verified))
        parts.append(_versions(record.versions))
        parts.append(f"[dim]{record.seconds:.1f} s{', nothing changed' if record.cached else ''}[/]")
    else:
        parts.append(
            "[bold red]✗[/] not tagged: " + ("the image is not good" if record.image_id else "the build failed")
        )
        parts += [_finding(found, found.severity.capitalize()) for found in record.findings]
        parts.append(f"[dim]log: {escape(record.log)}[/]")
    return Group(*parts)


def _proof(verified: dict[str, Any]) -> str:
    gpus = verified["gpus"]
    kind = "simulated " if verified["simulated"] else ""
    if not gpus["expected"]:
        return "  verified: TensorFlow starts in it as a run would start it"
    libraries = len(verified["libraries"])
    return f"  verified: {gpus['tensorflow']} of {gpus['expected']} {kind}GPUs counted by TensorFlow, {libraries} CUDA libraries load"


def _versions(versions: dict[str, str | None]) -> str:
    return "  " + "  ".join(f"{name} {version}" for name, version in versions.items() if version)


# --- run -------------------------------------------------------------------------------------------------------------


@contextmanager
def running(output: Console) -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[str], None]]]:
    """Give two functions: one shows a run's events (a live bar on a terminal, else a line an epoch), one its progress
    before it starts."""
    if not output.is_terminal:
        yield (lambda event: _plain(output, event)), (lambda line: _step(output, line))
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=output, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def on_event(event: dict[str, Any]) -> None:
            match event["event"]:
                case "note":
                    output.print(f"[yellow]note[/]  {escape(event['text'])}")
                case "phase-started":
                    progress.update(task, description=event["phase"])
                case "gpus":
                    output.print(f"Num GPUs Available:  {event['tensorflow']}")
                case "summary":
                    output.print(Text(event["text"]))
                case "epoch":
                    said = "  ".join(f"{name} {event[name]:.3f}" for name in _metrics(event))
                    progress.update(task, description=said, completed=event["epoch"], total=event["epochs"])

        def on_progress(line: str) -> None:
            if line.strip():
                progress.update(task, description=escape(line[: output.width // 2]))

        yield on_event, on_progress


def _plain(output: Console, event: dict[str, Any]) -> None:
    match event["event"]:
        case "note":
            output.print(f"[yellow]note[/]  {escape(event['text'])}")
        case "gpus":
            output.print(f"Num GPUs Available:  {event['tensorflow']}")
        case "summary":
            output.print(Text(event["text"]))
        case "epoch":
            said = "  ".join(f"{name} {event[name]:.4f}" for name in _metrics(event))
            output.print(f"epoch {event['epoch']:>3}/{event['epochs']}  {said}")


def _metrics(event: dict[str, Any]) -> list[str]:
    return [name for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in event]


def ran(record: RunRecord, best_accuracy: float | None) -> RenderableType:
    """Return a run's results: metrics, confusion matrix, GPUs by rung, seconds by phase, versions, and where it all is."""
    parts: list[RenderableType] = [f"[yellow]note[/]  {escape(note)}" for note in record.notes]
    if record.status == "succeeded":
        parts += [_results(record, best_accuracy), _confusion(record.results["confusion_matrix"])]
    else:
        parts.append(f"[bold red]{record.status}[/]")
        parts += [_finding(found, found.severity.capitalize()) for found in record.findings]
    where = f"in {record.image}" if record.image else "without a container"
    counts = "  →  ".join(f"{rung} {count}" for rung, count in record.gpus.items() if count is not None)
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("[dim]GPUs[/]", f"{counts}   [dim]trained on[/] {record.device or 'nothing'}, {where}")
    phases = "  ".join(f"{name} {value:.2f}" for name, value in record.seconds.items() if value is not None)
    table.add_row("[dim]seconds[/]", phases)
    table.add_row("[dim]versions[/]", _versions(record.versions).strip())
    if folder := record.artifacts.get("result.json"):
        table.add_row("[dim]folder[/]", escape(folder.removesuffix("/result.json")))
    return Group(*parts, table)


def _results(record: RunRecord, best: float | None) -> str:
    results = record.results
    accuracy = results["val_accuracy"]
    bound = f" [dim](best possible on this data: {best})[/]" if best else ""
    return (
        f"[bold green]✓[/] [bold]validation accuracy {accuracy:.3f}[/]{bound}   loss {results['val_loss']:.3f}\n"
        f"  training accuracy {results['accuracy']:.3f}   loss {results['loss']:.3f}   "
        f"{results['steps']} steps at {results['steps_per_second']:.0f} a second"
    )


def _confusion(matrix: list[list[int]]) -> Table:
    table = Table(title="confusion matrix (validation)", title_style="dim", padding=(0, 1))
    table.add_column("true \\ predicted", style="dim")
    for label in range(len(matrix)):
        table.add_column(str(label), justify="right")
    for label, row in enumerate(matrix):
        table.add_row(
            str(label), *(f"[bold]{value}[/]" if label == column else str(value) for column, value in enumerate(row))
        )
    return table
