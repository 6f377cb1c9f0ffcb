"""kit runs."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolkit.runs.folders import Run

SCHEMA = "kit.runs/1"
Name = Annotated[str, typer.Argument(help="An id or its unique beginning, last, or a path.")]


def list_(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of runs, as --out made it; kit's own if not said.")
    ] = None,
    json: Json = False,
) -> None:
    """List the runs that were made, the newest first."""
    with failing("runs", json):
        from toolkit import paths
        from toolkit.runs import folders
        from toolkit.show import runs as view

        found = folders.runs(folder or paths.runs())
        show(
            json,
            lambda: {"schema": SCHEMA, "runs": [folders.summary(run) for run in found]},
            lambda: view.listing(found),
        )


def show_(run: Name, json: Json = False) -> None:
    """Show one run: its results, what it ran on, and how it ended."""
    with failing("runs", json):
        from toolkit import paths, records
        from toolkit.runs import folders, training
        from toolkit.show import runs as view

        folder = folders.find(run, paths.runs())
        found, events = folders.read(folder), folders.events(folder)
        show(
            json,
            lambda: {
                "schema": SCHEMA,
                "run": folders.summary(found),
                "record": records.read_json(folder / "result.json"),
                "epochs": training.epochs(events),
            },
            lambda: view.run(found, events, _best_accuracy(found)),
        )


def compare(a: Name, b: Name, json: Json = False) -> None:
    """Compare two runs: what differs of data, versions, GPUs, speed and results."""
    with failing("runs", json):
        from toolkit import paths
        from toolkit.runs import folders
        from toolkit.runs.compare import compare as compared
        from toolkit.show import runs as view

        first, second = (folders.find(name, paths.runs()) for name in (a, b))
        result = compared((folders.read(first), folders.events(first)), (folders.read(second), folders.events(second)))
        show(json, lambda: {"schema": SCHEMA, **asdict(result)}, lambda: view.compared(result))


def open_(run: Name, json: Json = False) -> None:
    """Open the report of a run in a browser, made again where it is missing; with --json or no display say where it is."""
    with failing("runs", json):
        import webbrowser

        from toolkit import paths
        from toolkit.runs import folders
        from toolkit.show import report
        from toolkit.show import runs as view

        folder = folders.find(run, paths.runs())
        found, file = folders.read(folder), folder / "report.html"
        if found.status == "running" or not file.exists():
            report.write(folder, _best_accuracy(found))
        opened = not json and _has_display() and webbrowser.open(file.as_uri())
        show(
            json,
            lambda: {"schema": SCHEMA, "run_id": folder.name, "report": str(file)},
            lambda: view.opened(file, opened),
        )


def rm(
    runs: Annotated[list[str], typer.Argument(help="Ids or their unique beginnings, last, or paths.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Remove runs, each after asking; nothing that is not a run's folder, and none that is running."""
    with failing("runs", json):
        from toolkit import paths
        from toolkit.runs import folders
        from toolkit.show import runs as view

        chosen = tuple(folders.find(name, paths.runs()) for name in runs)
        record = folders.remove(chosen, _ask(yes))
        show(json, lambda: {"schema": SCHEMA, **asdict(record)}, lambda: view.removed(record))
        raise typer.Exit(PROBLEM if record.kept else HEALTHY)


def _best_accuracy(run: Run) -> float | None:
    """Return the best accuracy possible on a run's data, where that is a packaged workload's own, which says so."""
    from toolkit.model import UsageError
    from toolkit.workloads import packaged

    if run.record.options.get("data"):
        return None
    try:
        return packaged.workload(run.record.workload).best_accuracy
    except UsageError:
        return None


def _has_display() -> bool:
    return sys.platform != "linux" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _ask(yes: bool) -> Callable[[Run, int], bool]:
    """Return what asks before a run is removed; where nobody can answer, the answer is no."""

    def ask(run: Run, size_bytes: int) -> bool:
        if yes or not sys.stdin.isatty():
            return yes
        try:
            return typer.confirm(f"{run.folder} ({run.status}, {size_bytes / 1e6:.1f} MB). Remove it?", err=True)
        except typer.Abort:
            raise KeyboardInterrupt from None

    return ask
