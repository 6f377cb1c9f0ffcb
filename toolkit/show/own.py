"""What people see of their own code in a container: what it writes as it comes, and how it ended."""

from __future__ import annotations

import sys

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from toolkit.engine.plan import OnBytes, Stream
from toolkit.model import Finding, RunRecord
from toolkit.own.notebook import Served
from toolkit.show.terminal import finding


def streamed(*, to_stderr: bool) -> OnBytes:
    """Return what writes a script's own bytes where they belong, or all of them to stderr."""
    streams = {"stdout": sys.stderr.buffer if to_stderr else sys.stdout.buffer, "stderr": sys.stderr.buffer}

    def write(stream: Stream, piece: bytes) -> None:
        streams[stream].write(piece)
        streams[stream].flush()

    return write


def note(output: Console, text: str) -> None:
    """Print a note."""
    output.print(f"[yellow]note[/]  {escape(text)}")


def not_built(image: str, findings: tuple[Finding, ...], log: str) -> RenderableType:
    """Return why an image that is needed could not be built."""
    boxes = [finding(each, each.severity.capitalize()) for each in findings]
    return Group(f"[bold red]✗[/] {escape(image)} could not be built", *boxes, f"[dim]log: {escape(log)}[/]")


def ran(record: RunRecord) -> RenderableType:
    """Return how a script ended, why it failed where it did, its GPUs by rung, and where what it left is."""
    code, seconds = record.results["exit_code"], record.seconds["total"] or 0.0
    name = escape(record.workload)
    heads = {
        "succeeded": f"[bold green]✓[/] [bold]{name}[/]  {seconds:.1f} s",
        "failed": f"[bold red]✗[/] [bold]{name}[/] ended with exit code {code}  {seconds:.1f} s",
        "interrupted": f"[yellow]interrupted[/] [bold]{name}[/]  {seconds:.1f} s",
    }
    counts = "  →  ".join(f"{rung} {count}" for rung, count in record.gpus.items() if count is not None)
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("[dim]GPUs[/]", f"{counts}   [dim]in[/] {escape(record.image or '')}")
    table.add_row("[dim]folder[/]", escape(record.artifacts["result.json"].removesuffix("/result.json")))
    return Group(
        heads[record.status],
        *(f"[yellow]note[/]  {escape(text)}" for text in record.notes),
        *(finding(found, found.severity.capitalize()) for found in record.findings),
        table,
    )


def served(record: Served) -> RenderableType:
    """Return where notebooks are, the link on a line of its own, to be copied or clicked."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("[dim]TensorBoard[/]", f"{record.tensorboard}   [dim]of[/] {escape(f'{record.folder}/runs')}")
    table.add_row("[dim]in[/]", escape(record.image))
    return Group(Text(record.link, style="bold cyan", no_wrap=True, overflow="ignore"), table, "[dim]Ctrl-C ends it[/]")
