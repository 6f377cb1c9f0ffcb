"""What people see of predictions: how many, how right they are where that is known, and where they lie."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from toolkit.model import PredictRecord
from toolkit.show.run import confusion
from toolkit.show.terminal import finding


def predicted(record: PredictRecord) -> RenderableType:
    """Return what was predicted: rows, accuracy and confusion matrix, and the file; or why nothing was.

    Its notes were shown as they came.
    """
    parts: list[RenderableType] = []
    if record.ignored:
        parts.append(f"[yellow]note[/]  not used: {escape(', '.join(record.ignored))}")
    if record.status != "succeeded":
        return Group(*parts, *(finding(found, found.severity.capitalize()) for found in record.findings))
    right = f"   accuracy {record.accuracy:.3f} of {record.judged:,} that tell their class" if record.judged else ""
    parts.append(f"[bold green]✓[/] [bold]{record.rows:,} predicted[/]{right}   {record.seconds:.1f} s")
    if record.confusion_matrix:
        parts.append(confusion(record.confusion_matrix, record.classes, "confusion matrix"))
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("[dim]model[/]", f"{escape(record.run_id)}, {escape(record.workload)}")
    table.add_row("[dim]file[/]", escape(record.output or ""))
    return Group(*parts, table)
