"""What people see of the images that are there, and of moving and removing them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from toolkit.images.store import uses
from toolkit.model import ArchiveRecord, RemovalRecord, StoredImage, WheelsRecord
from toolkit.show.terminal import table, versions

STATUS = {
    "current": "as kit builds it now",
    "outdated": "kit would build it otherwise now",
    "unlisted": "this kit does not build it",
    "untagged": "replaced by a newer one",
    "building": "is being built",
    "unfinished": "left by a build that was killed",
    "derived": "made from kit's by somebody",
    "foreign": "not kit's",
}
LINE_SECONDS = 10  # between two lines of progress where there is no terminal


@contextmanager
def moving(output: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that shows how far bytes are: a live bar on a terminal, else a line now and then."""
    if not output.is_terminal:
        said = [time.monotonic()]

        def line(what: str, so_far: int, total: int) -> None:
            if time.monotonic() - said[0] > LINE_SECONDS:
                said[0] = time.monotonic()
                output.print(f"{escape(what)}: {_size(so_far)} of {_size(total)}", style="dim")

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output, transient=True) as progress:
        task = progress.add_task("preparing", total=None)
        yield lambda what, so_far, total: progress.update(
            task, description=escape(what), completed=so_far, total=max(total, so_far)
        )


def listing(rows: tuple[StoredImage, ...]) -> RenderableType:
    """Return kit's images as a table."""
    if not rows:
        return "there is no image of kit's; kit build makes one"
    columns = ("image", "id", "size", "its own", "verified", "used by", "status")
    drawn = table(columns, [_row(each) for each in rows])
    for column in drawn.columns[:2]:
        column.no_wrap = True  # to be copied
    return drawn


def _row(each: StoredImage) -> tuple[str, ...]:
    return (
        ", ".join(each.tags) or "-",
        _id(each.image_id),
        _size(each.size_bytes),
        _size(each.own_bytes) if each.own_bytes is not None else "?",
        _verified(each),
        uses(each),
        each.status,
    )


def image(each: StoredImage) -> RenderableType:
    """Return one image with what is known of it."""
    own = f", {_size(each.own_bytes)} its own" if each.own_bytes is not None else ""
    lines = [
        f"[bold]{escape(', '.join(each.tags) or '(no name)')}[/]  {_id(each.image_id)}  {_size(each.size_bytes)}{own}",
        f"  {each.status}: {STATUS[each.status]}",
        f"  verified: {_verified(each)}",
    ]
    if each.versions:
        lines.append(versions(dict(each.versions)))
    lines += [f"  run: {escape(run)}" for run in each.runs]
    lines += [f"  container: {escape(name)} ({state})" for name, state in each.containers.items()]
    lines += [f"  [dim]{escape(name)} = {escape(value)}[/]" for name, value in sorted(each.labels.items())]
    return Group(*lines)


def removed(record: RemovalRecord) -> RenderableType:
    """Return what went and what stayed."""
    lines = [f"[green]removed[/] {escape(_id(name))}" for name in record.removed]
    lines += [f"[yellow]kept[/] {escape(_id(name))}: {escape(reason)}" for name, reason in record.kept.items()]
    if record.removed or record.freed_bytes:
        lines.append(f"{_size(record.freed_bytes)} freed")
    if record.removed and not record.freed_bytes:
        lines.append("[dim]other images or the build cache (kit image prune --cache) still hold their layers[/]")
    return Group(*lines or ["there is nothing to remove"])


def saved(record: ArchiveRecord) -> RenderableType:
    """Return what was written."""
    done = "is there already and whole" if record.already else f"written in {record.seconds:.1f} s"
    return Group(
        f"[bold green]✓[/] [bold]{escape(record.file)}[/]  {_size(record.file_bytes)}, {done}",
        f"  {_moved(record)}, {_size(record.image_bytes)} unpacked",
        f"  on the other machine: [cyan]kit image load {escape(record.file)}[/]",
    )


def loaded(record: ArchiveRecord) -> RenderableType:
    """Return what was loaded."""
    done = "is in the engine already" if record.already else f"loaded in {record.seconds:.1f} s"
    lines = [f"[bold green]✓[/] {_moved(record)}, {done}"]
    if record.replaced:
        lines.append(f"  the name was that of {_id(record.replaced)} before, which is there without it")
    return Group(*lines)


def wheels(record: WheelsRecord) -> RenderableType:
    """Return what is in a folder of wheels, and whether a build from it needs a mirror."""
    mark = "[bold yellow]![/]" if record.lacks else "[bold green]✓[/]"
    came = f"{len(record.fetched)} fetched in {record.seconds:.1f} s" if record.fetched else "all were there"
    return Group(
        f"{mark} [bold]{escape(record.folder)}[/]  {len(record.wheels)} wheels, {_size(record.size_bytes)}, {came}",
        f"  for {escape(record.variant)}, Python {record.python}; each is what was locked",
        f"  {len(record.debs)} Debian packages in debs: a build needs no network, with its base image in the engine"
        if record.debs
        else "  [yellow]no Debian packages: a build still asks a mirror[/]",
        *([f"  [yellow]Debian packages were not fetched:[/] {escape(record.lacks)}"] if record.lacks else []),
    )


def _moved(record: ArchiveRecord) -> str:
    proof = "verified" if record.verified else "[yellow]not verified[/]"
    return f"[bold]{escape(record.tag or _id(record.image_id))}[/] {_id(record.image_id)}, {proof}"


def _verified(each: StoredImage) -> str:
    if each.verified is None:
        return "no"
    if each.verified.get("status") != "passed":
        return "failed"
    gpus = each.verified.get("gpus", {}).get("tensorflow")
    return f"{gpus} {'simulated ' if each.verified.get('simulated') else ''}GPUs" if gpus else "yes"


def _id(name: str) -> str:
    """Return an image id as people know it; a name as it is."""
    return name.removeprefix("sha256:")[:12] if name.startswith("sha256:") else name


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
