"""The command line: parses, calls one verb, shows what it returns, and exits. Nothing else exits."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from toolkit.cli import compat, doctor, images, run
from toolkit.cli.frame import HEALTHY

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Finds where a GPU machine loses its GPUs, builds TensorFlow images that have them, and trains in those.",
)
app.command()(doctor.doctor)
app.command()(doctor.explain)
app.command()(compat.compat)
app.command()(images.build)
run_app = typer.Typer(no_args_is_help=True, help="Run a packaged workload in a container.")
run_app.command()(run.workload)
app.add_typer(run_app, name="run")


def main() -> NoReturn:
    """Run the command line."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app()
    sys.exit(HEALTHY)
