"""What people see of images: a build as it goes, and what was built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from toolkit.model import BuildRecord, LockRecord
from toolkit.show.terminal import finding, step, versions
from toolkit.show.verify import proof

NAMED = 5  # packages of a longer list


@contextmanager
def building(output: Console) -> Iterator[Callable[[str], None]]:
    """Give a function that shows a build's lines: one live line on a terminal, else only those that name a step."""
    if not output.is_terminal:
        yield lambda line: step(output, line)
        return
    # As it is: a user's entry, kit:x:1000, is neither Rich's markup nor its emoji.
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=output, transient=True) as progress:
        task = progress.add_task("building")
        yield lambda line: progress.update(task, description=line[: output.width - 16]) if line.strip() else None


def noted(note: str) -> str:
    """Return what is said of a build before it begins."""
    return f"[yellow]note[/]  {escape(note)}"


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


def scanned(scan: dict[str, Any]) -> list[str]:
    """Return what is known of the vulnerabilities of an image's packages, one a line; what is unknown is not clean."""
    found, unknown = scan["vulnerabilities"], scan["unknown"]
    told = f"in {scan['audited']} packages" if scan["audited"] else ""
    lines = [f"  vulnerabilities    [bold red]{len(found)}[/] {told}"] if found else []
    for each in found:
        mended = f"fixed in {', '.join(each['fixed_in'])}" if each["fixed_in"] else "no fix yet"
        lines.append(escape(f"    {each['package']} {each['version']}  {each['id']}  {mended}"))
    if told and not found:
        lines.append(f"  vulnerabilities    none known {told}")
    if unknown:
        names = ", ".join(unknown[:NAMED]) + (f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else "")
        lines.append(
            f"  [yellow]not scanned[/]        {len(unknown)} packages unknown to the database: {escape(names)}"
        )
    return lines


def built(record: BuildRecord) -> RenderableType:
    """Return what was built and how it was proven."""
    parts: list[RenderableType] = []
    if record.tag:
        parts.append(
            f"[bold green]✓[/] [bold]{record.tag}[/]  {record.size_bytes / 1e9:.2f} GB  {record.image_id[7:19]}"
        )
        parts += proof(record.verified)
        parts.append(versions(record.versions))
        parts.append(f"  bill of materials  {escape(record.bill or 'none')}")
        parts += scanned(record.scan) if record.scan else []
        parts.append(f"[dim]{record.seconds:.1f} s{', nothing changed' if record.cached else ''}[/]")
    else:
        parts.append(
            "[bold red]✗[/] not tagged: " + ("the image is not good" if record.image_id else "the build failed")
        )
        parts += [finding(found, found.severity.capitalize()) for found in record.findings]
        parts.append(f"[dim]log: {escape(record.log)}[/]")
    return Group(*parts)
