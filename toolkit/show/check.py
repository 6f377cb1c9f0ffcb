"""What people see of checked scripts: a line for each place, what works there, why; and the diff of a rewriting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from toolkit.model import CheckedFile, CheckRecord, Obsolete

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def as_document(record: CheckRecord) -> dict[str, Any]:
    """Return the JSON document; the cell is told of notebooks alone."""
    found = [{"path": file.path, "findings": [_finding(each) for each in file.findings]} for file in record.files]
    return {"schema": "kit.check/1", "target": asdict(record.target), "files": found}


def checked(record: CheckRecord) -> RenderableType:
    """Return the findings, file by file, and how many there are."""
    lines = [line for file in record.files for each in file.findings for line in _lines(file, each)]
    return Group(*lines, _summary(record))


def diff(text: str) -> RenderableType:
    """Return a unified diff in its colours."""
    lines = text.splitlines()
    return Group(*(Text(line, style="" if line[:3] in ("+++", "---") else COLOURS.get(line[:1], "")) for line in lines))


def _finding(each: Obsolete) -> dict[str, Any]:
    row = {field.name: getattr(each, field.name) for field in fields(each)}
    if each.cell is None:
        del row["cell"]
    return row


def _lines(file: CheckedFile, each: Obsolete) -> Iterator[RenderableType]:
    cell = f"cell {each.cell}:" if each.cell is not None else ""
    mark = "red" if each.raises else "yellow"
    new = f" [bold]→[/] [green]{escape(each.new)}[/]" if each.new else ""
    yield f"{escape(file.path)}:{cell}{each.line}:{each.column}  [{mark}]{escape(each.old)}[/]{new}  [dim]{escape(each.why)}[/]"


def _summary(record: CheckRecord) -> str:
    places = [each for file in record.files for each in file.findings]
    raising = sum(each.raises for each in places)
    target = f"TensorFlow {record.target.tensorflow} with Keras {record.target.keras}"
    read = _counted(len(record.files), "file")
    if not places:
        return f"[bold green]✓[/] {read}: nothing that {target} does not take"
    parts: Iterable[str] = filter(
        None,
        (
            f"[bold red]{_counted(raising, 'place')} will raise[/]" if raising else "",
            f"[yellow]{_counted(len(places) - raising, 'place')} will run, but warn or not do what was meant[/]"
            if raising < len(places)
            else "",
        ),
    )
    return f"{read}, {target}: {', '.join(parts)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
