"""What people see of a run: its events as they come, and its results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from toolkit.model import RunRecord
from toolkit.runs import training
from toolkit.show.terminal import finding, step, versions

BLOCKS = "▁▂▃▄▅▆▇█"
COLOURS = {"good": "green", "fair": "yellow", "poor": "red"}


@contextmanager
def running(output: Console) -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[str], None]]]:
    """Give two functions: one shows a run's events (live curves on a terminal, else a line an epoch), one its progress
    before it starts."""
    if not output.is_terminal:
        yield (lambda event: _plain(output, event)), (lambda line: step(output, line))
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    progress, told = Progress(*columns, console=output), list[dict[str, Any]]()
    task = progress.add_task("starting", total=None)
    drawn = Live(get_renderable=lambda: Group(progress, *progressed(told)), console=output, transient=True)
    with drawn:

        def on_event(event: dict[str, Any]) -> None:
            match event["event"]:
                case "note":
                    output.print(f"[yellow]note[/]  {escape(event['text'])}")
                case "phase-started":
                    progress.update(task, description=event["phase"])
                case "gpus":
                    output.print(f"Num GPUs Available:  {event.get(event.get('backend', 'tensorflow'))}")
                case "summary":
                    output.print(Text(event["text"]))
                case "epoch":
                    told.append(event)
                    progress.update(task, completed=event.get("epoch", 0), total=event.get("epochs"))
                case "gpu-use":
                    told.append(event)

        def on_progress(line: str) -> None:
            if line.strip():
                progress.update(task, description=line[: output.width // 2])

        yield on_event, on_progress


def _plain(output: Console, event: dict[str, Any]) -> None:
    match event["event"]:
        case "note":
            output.print(f"[yellow]note[/]  {escape(event['text'])}")
        case "gpus":
            output.print(f"Num GPUs Available:  {event.get(event.get('backend', 'tensorflow'))}")
        case "summary":
            output.print(Text(event["text"]))
        case "epoch":
            said = "  ".join(f"{name} {event[name]:.4f}" for name in _metrics(event))
            output.print(f"epoch {event.get('epoch', 0):>3}/{event.get('epochs', '?')}  {said}")


def _metrics(event: dict[str, Any]) -> list[str]:
    return [name for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in event]


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Return numbers as a curve one line high, from their least to their greatest; what is not finite is a gap.

    Of more numbers than the width some are left out, never the last.
    """
    kept = values[:: -max(1, math.ceil(len(values) / width))][::-1]
    finite = [value for value in kept if math.isfinite(value)]
    low, span = (min(finite), max(finite) - min(finite)) if finite else (0, 0)
    return "".join(
        BLOCKS[round((value - low) / span * 7) if span else 0] if math.isfinite(value) else " " for value in kept
    )


def progressed(events: list[dict[str, Any]]) -> Iterator[Table]:
    """Give the curves of the metrics by epoch, and memory and utilization of GPUs, where events tell of them."""
    rows = training.epochs(events)
    table = Table(box=None, show_header=False, padding=(0, 1))
    for metric in ("loss", "accuracy"):
        cells = []
        for name, label in ((metric, metric), (f"val_{metric}", "validation")):
            values = [row[name] for row in rows if row.get(name) is not None]
            cells += [f"[dim]{label}[/]", sparkline(values), f"{values[-1]:.4f}"] if values else []
        if cells:
            table.add_row(*cells)
    if table.row_count:
        yield table
    if gpus := _gpu_use([event for event in events if event["event"] == "gpu-use"]):
        yield gpus


def _gpu_use(uses: list[dict[str, Any]]) -> Table | None:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for gpu in uses[-1]["gpus"] if uses else ():
        history = [each for use in uses for each in use["gpus"] if each["index"] == gpu["index"]]
        memory = [each["memory_bytes"] for each in history if each.get("memory_bytes") is not None]
        busy = [each["utilization"] for each in history if each.get("utilization") is not None]
        total = f" of {gpu['memory_total_bytes'] / 1e9:.1f}" if gpu.get("memory_total_bytes") else ""
        table.add_row(
            f"[dim]GPU {gpu['index']}[/]",
            *([sparkline(memory), f"{memory[-1] / 1e9:.1f}{total} GB"] if memory else []),
            *([sparkline(busy), f"{busy[-1]:.0%} busy"] if busy else []),
        )
    return table if table.row_count else None


def ran(
    record: RunRecord,
    best_accuracy: float | None,
    events: Sequence[dict[str, Any]] = (),
    status: str | None = None,
    *,
    noted: bool = False,
) -> RenderableType:
    """Return a run's results: metrics, curves, confusion matrix, GPUs by rung, seconds by phase, versions, and where it is.

    `status` is that of the run's folder, where kit was killed before it could write it into the record; its notes are
    left out where they were `noted` as they came.
    """
    parts: list[RenderableType] = [] if noted else [f"[yellow]note[/]  {escape(note)}" for note in record.notes]
    if record.status == "succeeded":
        parts.append(_results(record))
        told = list(events)
        if judged := training.verdict(record, training.epochs(told), best_accuracy, training.classes(told, 0)):
            parts.append(f"  [{COLOURS[judged.level]}]{escape(judged.text)}[/]")
    else:
        parts.append(f"[bold red]{escape(status or record.status)}[/]")
        parts += [finding(found, found.severity.capitalize()) for found in record.findings]
        if (kept := record.artifacts.get("checkpoint.npz")) and not record.findings:
            parts.append(f"  go on: kit run workload --resume {escape(str(Path(kept).parent))}")
    parts += progressed(list(events))
    if matrix := record.results.get("confusion_matrix"):
        parts.append(confusion(matrix, training.classes(list(events), len(matrix))))
    where = f"in {record.image}" if record.image else "without a container" if record.engine == "local" else ""
    counts = "  →  ".join(f"{rung} {count}" for rung, count in record.gpus.items() if count is not None)
    table = Table(box=None, show_header=False, padding=(0, 1))
    trained = f"[dim]trained on[/] {record.device}" if record.device else ""
    table.add_row("[dim]GPUs[/]", f"{counts}   {', '.join(filter(None, (trained, where)))}")
    phases = "  ".join(f"{name} {value:.2f}" for name, value in record.seconds.items() if value is not None)
    table.add_row("[dim]seconds[/]", phases)
    table.add_row("[dim]versions[/]", versions(record.versions).strip())
    if folder := record.artifacts.get("result.json"):
        table.add_row("[dim]folder[/]", escape(folder.removesuffix("/result.json")))
    return Group(*parts, table)


def _results(record: RunRecord) -> str:
    results = record.results
    known = {
        name: results[name]
        for name in ("val_accuracy", "val_loss", "accuracy", "loss")
        if results.get(name) is not None
    }
    said = [f"{name.replace('val_', 'validation ')} {value:.3f}" for name, value in known.items()]
    first, others = (said or ["succeeded"])[0], said[1:]
    if results.get("steps_per_second"):
        others.append(f"{results['steps']} steps at {results['steps_per_second']:.0f} a second")
    return f"[bold green]✓[/] [bold]{first}[/]   {'   '.join(others)}"


def confusion(
    matrix: list[list[int]], classes: Sequence[int | str], title: str = "confusion matrix (validation)"
) -> Table:
    """Return a confusion matrix with the names of its classes; of many classes what was confused most often."""
    table = Table(title=title, title_style="dim", padding=(0, 1))
    if len(classes) > training.SHOWN_CLASSES:
        for column in ("true", "predicted", "times"):
            table.add_column(column)
        for true, said, times in training.confused(matrix):
            table.add_row(escape(str(classes[true])), escape(str(classes[said])), f"{times:,}")
        return table
    table.add_column("true \\ predicted", style="dim")
    for name in classes:
        table.add_column(escape(str(name)), justify="right")
    for label, (name, row) in enumerate(zip(classes, matrix, strict=True)):
        table.add_row(
            escape(str(name)),
            *(f"[bold]{value}[/]" if label == place else str(value) for place, value in enumerate(row)),
        )
    return table
