"""kit explain."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, show, table
from toolkit.model import Finding, UsageError


def explain(
    log: Annotated[
        str | None,
        typer.Argument(
            metavar="[LOG]", help="A log, a run folder, or - for stdin. None: what failed last.", show_default=False
        ),
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="The log is of this machine: its facts decide.")] = False,
    capture: Annotated[
        Path | None, typer.Option(help="The log is of the machine that kit doctor --capture wrote this file on.")
    ] = None,
    fault: Annotated[str | None, typer.Option("--id", help="Show the page of a fault.")] = None,
    list_faults: Annotated[bool, typer.Option("--list", help="List every fault that kit knows.")] = False,
    json: Json = False,
) -> None:
    """Name the root cause in a log of anything between the driver and Keras, and what mends it.

    Text, gzip, UTF-16, notebooks and Docker's JSON are read; 0 means that the log shows no fault, 1 that it names one.
    """
    with failing("explain", json):
        if sum(map(bool, (log, fault, list_faults))) > 1:
            raise UsageError("give a log, --id FAULT or --list: they are three questions")
        if here and capture:
            raise UsageError("--here and --capture are two machines: give one")
        if list_faults:
            _list(json)
        elif fault:
            _page(fault, json)
        else:
            raise typer.Exit(_explain(log, here, capture, json))


def _explain(name: str | None, here: bool, capture: Path | None, json: bool) -> int:
    from toolkit.explain import explain as explained
    from toolkit.explain.reading import blocks
    from toolkit.model import document
    from toolkit.show import explain as view

    machine = _machine(capture) if here or capture else ()
    with _opened(name) as (file, named):
        record = explained(blocks(file), named, machine)
    show(json, lambda: document("explain", record), lambda: view.explanation(record, named))
    return PROBLEM if record.verdict == "fault" else HEALTHY


@contextmanager
def _opened(name: str | None) -> Iterator[tuple[BinaryIO, str]]:
    """Give a log and its name; UsageError where it is a folder of no run, OSError where it cannot be read."""
    from toolkit import failed

    if name == "-":
        yield sys.stdin.buffer, "stdin"
        return
    path = Path(name) if name else failed.last()
    if path.is_dir():
        path /= "log.txt"
        if not path.exists():
            raise UsageError(f"{path.parent} is no run folder: it has no log.txt")
    with path.open("rb") as file:
        yield file, str(path)


def _machine(capture: Path | None) -> tuple[Finding, ...]:
    from toolkit.doctor import examine

    return examine(capture).findings


def _list(json: bool) -> None:
    from toolkit.faults import vocabulary

    table(json, "faults", ("fault", "title"), [(name, row["title"]) for name, row in sorted(vocabulary().items())])


def _page(fault: str, json: bool) -> None:
    from toolkit import pages
    from toolkit.model import document
    from toolkit.show import explain as view

    page = pages.page(fault)
    show(json, lambda: document("fault", page), lambda: view.page(page))
