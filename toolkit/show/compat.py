"""What people see of compatibility: yes, no or unknown first, then the rules, then what to take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from toolkit.compat.solver import Compatibility, Question, Reason, Row

VERDICTS = {
    "native": "[bold green]Yes[/], natively",
    "jit": "[bold yellow]Yes[/], by JIT",
    "no": "[bold red]No[/]",
    "unknown": "[bold yellow]Unknown[/]",
}
MARKS = {
    "native": "[green]native[/]",
    "jit": "[yellow]JIT[/]",
    "no": "[red]no[/]",
    "unknown": "[yellow]unknown[/]",
}


def answer(asked: Question, record: Compatibility) -> RenderableType:
    """Return the answer in the first line, the rules with their sources, and the TensorFlow to take."""
    if record.runs in ("native", "jit"):
        first = f"{VERDICTS[record.runs]}: TensorFlow {record.tensorflow} runs on {given(asked)}."
    else:
        which = f" (TensorFlow {record.tensorflow})" if record.tensorflow else ""
        first = f"{VERDICTS[record.runs]}{which}: {escape(record.reasons[0].rule)}."
    return Group(first, *_rules(record.reasons), _facts(record), *_take(record))


def machine(asked: Question, record: Compatibility, rows: Iterable[Row]) -> RenderableType:
    """Return the TensorFlow to take on a machine, and how every minor version runs there."""
    take = record.recommended
    first = (
        f"Take [bold]TensorFlow {take.tensorflow}[/]: {escape(take.why)}." if take.tensorflow else _sentence(take.why)
    )
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("TensorFlow", "GPU", "driver", "CUDA", "cuDNN", "Python", ""):
        table.add_column(name)
    above = ""
    for row in rows:
        cells = (row.driver, row.cuda or "-", row.cudnn or "-", f"{row.python.min} to {row.python.max}")
        why = "" if row.runs == "native" else "as above" if row.why == above else escape(row.why)
        above = row.why
        table.add_row(row.tensorflow, MARKS[row.runs], *cells, f"[dim]{why}[/]")
    return Group(first, f"[dim]this machine: {escape(_machine(asked))}[/]", *_full(record), table)


def _rules(reasons: Iterable[Reason]) -> list[str]:
    """Return the rules, each with the numbers of its sources, and the sources, each once."""
    numbered: dict[str, int] = {}
    lines = []
    for reason in reasons:
        marks = [numbered.setdefault(source, len(numbered) + 1) for source in reason.source.split("; ")]
        lines.append(f"  · {escape(reason.rule)} [dim]{escape(''.join(f'[{mark}]' for mark in marks))}[/]")
    return lines + [f"  [dim]{escape(f'[{mark}]')} {escape(source)}[/]" for source, mark in numbered.items()]


def given(asked: Question) -> str:
    """Return what an answer holds for, in words."""
    counted = Counter(card.name for card in asked.gpus or ())
    cards = ", ".join(name if count == 1 else f"{count} of {name}" for name, count in counted.items())
    parts = [cards or "what is given", f"driver {asked.driver}" if asked.driver else ""]
    parts += [f"Python {asked.python}" if asked.python else "", f"NumPy {asked.numpy}" if asked.numpy else ""]
    return escape(", ".join(part for part in [*parts, asked.os] if part))


def _machine(asked: Question) -> str:
    if not asked.gpus:
        return "no NVIDIA GPU" if asked.gpus == () else "its GPUs could not be read"
    return given(asked) if asked.driver else f"{given(asked)}, no working NVIDIA driver: kit doctor tells why"


def _facts(record: Compatibility) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    if record.python and record.numpy:
        table.add_row(
            "[dim]Python[/]", f"{record.python.min} to {record.python.max}   [dim]NumPy[/] {record.numpy.range}"
        )
    if record.cuda:
        driver = f"{record.driver_min.minor} or newer, in full from {record.driver_min.full}"
        table.add_row("[dim]CUDA[/]", f"{record.cuda}   [dim]cuDNN[/] {record.cudnn}   [dim]driver[/] {driver}")
    return table


def _take(record: Compatibility) -> list[RenderableType]:
    take = record.recommended
    if take.tensorflow and take.tensorflow == record.tensorflow:
        return [f"Take it: {escape(take.why)}.", *_full(record)]
    return [
        f"Take TensorFlow {take.tensorflow}: {escape(take.why)}." if take.tensorflow else _sentence(take.why),
        *_full(record),
    ]


def _full(record: Compatibility) -> list[RenderableType]:
    """Return the newest that the driver serves in full, where that is another."""
    full = record.recommended.tensorflow_full
    if full is None or full == record.recommended.tensorflow:
        return []
    return [f"[dim]The newest for whose CUDA the driver is new enough without minor-version compatibility: {full}[/]"]


def _sentence(text: str) -> str:
    return f"{escape(text[:1].upper() + text[1:])}."
