"""The command line: parses, calls one verb, shows what it returns, and exits. Nothing else exits."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from toolkit.cli import check, compat, doctor, explain, image, images, own, predict, run, runs, verify
from toolkit.cli.frame import HEALTHY

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Finds where a GPU machine loses its GPUs, builds TensorFlow images that have them, and trains in those.",
)
app.command()(doctor.doctor)
app.command()(explain.explain)
app.command()(compat.compat)
app.command()(check.check)
app.command()(images.build)
app.command()(images.lock)
app.command()(verify.verify)
run_app = typer.Typer(no_args_is_help=True, help="Run a packaged workload or code of your own in a container.")
run_app.command()(run.workload)
run_app.command()(predict.predict)
run_app.command(cls=own.ScriptCommand)(own.script)
run_app.command()(own.notebook)
run_app.command()(own.shell)
app.add_typer(run_app, name="run")
runs_app = typer.Typer(no_args_is_help=True, help="Look at the runs that were made: list, show, compare, open, remove.")
runs_app.command("list")(runs.list_)
runs_app.command("show")(runs.show_)
runs_app.command("compare")(runs.compare)
runs_app.command("open")(runs.open_)
runs_app.command("rm")(runs.rm)
app.add_typer(runs_app, name="runs")
image_app = typer.Typer(
    no_args_is_help=True, help="Look after kit's images: list, remove, move, and feed offline builds."
)
image_app.command("list")(image.list_)
image_app.command("show")(image.show_)
image_app.command("rm")(image.rm)
image_app.command("prune")(image.prune)
image_app.command("save")(image.save)
image_app.command("load")(image.load)
image_app.command("fetch-wheels")(image.fetch_wheels)
app.add_typer(image_app, name="image")


def main() -> NoReturn:
    """Run the command line."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGHUP comes where a terminal is closed; nohup has it ignored, and Windows has none.
    for each in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, each, None)) and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    app()
    sys.exit(HEALTHY)
