"""What people see of a run: its events as they come, and its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from toolkit.model import RunRecord
from toolkit.show.terminal import finding, step, versions


@contextmanager
def running(output: Console) -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[str], None]]]:
    """Give two functions: one shows a run's events (a live bar on a terminal, else a line an epoch), one its progress
    before it starts."""
    if not output.is_terminal:
        yield (lambda event: _plain(output, event)), (lambda line: step(output, line))
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
        parts += [finding(found, found.severity.capitalize()) for found in record.findings]
    where = f"in {record.image}" if record.image else "without a container"
    counts = "  →  ".join(f"{rung} {count}" for rung, count in record.gpus.items() if count is not None)
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("[dim]GPUs[/]", f"{counts}   [dim]trained on[/] {record.device or 'nothing'}, {where}")
    phases = "  ".join(f"{name} {value:.2f}" for name, value in record.seconds.items() if value is not None)
    table.add_row("[dim]seconds[/]", phases)
    table.add_row("[dim]versions[/]", versions(record.versions).strip())
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
