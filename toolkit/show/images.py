"""What people see of images: a build as it goes, and what was built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from toolkit.model import BuildRecord, LockRecord
from toolkit.show.terminal import finding, step, versions
from toolkit.show.verify import proof


@contextmanager
def building(output: Console) -> Iterator[Callable[[str], None]]:
    """Give a function that shows a build's lines: one live line on a terminal, else only those that name a step."""
    if not output.is_terminal:
        yield lambda line: step(output, line)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=output, transient=True) as progress:
        task = progress.add_task("building")
        yield (
            lambda line: progress.update(task, description=escape(line[: output.width - 16])) if line.strip() else None
        )


def locked(record: LockRecord) -> RenderableType:
    """Return what a refresh of the locks changes, a package a line."""
    if not record.changes:
        return "[green]✓[/] the locks hold what image.toml asks for"
    parts: list[RenderableType] = []
    for change in record.changes:
        parts.append(f"[bold]{change.file}[/]")
        parts += [f"  {name}  {old or '-'} → {new or '-'}" for name, (old, new) in change.versions.items()]
        if not change.versions:
            parts.append("  [dim]hashes or markers alone[/]")
    parts.append("written" if record.written else "[dim]nothing was written[/]")
    return Group(*parts)


def built(record: BuildRecord) -> RenderableType:
    """Return what was built and how it was proven."""
    parts: list[RenderableType] = []
    if record.tag:
        parts.append(
            f"[bold green]✓[/] [bold]{record.tag}[/]  {record.size_bytes / 1e9:.2f} GB  {record.image_id[7:19]}"
        )
        parts += proof(record.verified)
        parts.append(versions(record.versions))
        parts.append(f"[dim]{record.seconds:.1f} s{', nothing changed' if record.cached else ''}[/]")
    else:
        parts.append(
            "[bold red]✗[/] not tagged: " + ("the image is not good" if record.image_id else "the build failed")
        )
        parts += [finding(found, found.severity.capitalize()) for found in record.findings]
        parts.append(f"[dim]log: {escape(record.log)}[/]")
    return Group(*parts)
