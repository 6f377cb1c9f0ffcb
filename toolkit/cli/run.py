"""kit run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, one_of, show


def workload(
    name: Annotated[str, typer.Argument(help="A folder of workloads/.")] = "side_effects",
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    batch_size: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Runs of one seed see the same data and start.")] = 0,
    gpus: Annotated[str, typer.Option(help="auto, all, none, a number, or indices as in 0,2.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or gpu: what to train on.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, docker or local; docker never falls back.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder that the run's folder is made in.")] = None,
    json: Json = False,
) -> None:
    """Run a packaged workload: count the GPUs on every rung, process the data, train, and keep the results."""
    with failing("run", json):
        from toolkit.model import document
        from toolkit.show import run as view
        from toolkit.show import terminal
        from toolkit.workloads import packaged
        from toolkit.workloads.plan import Options
        from toolkit.workloads.start import start

        work = packaged.workload(name)
        options = Options(epochs, batch_size, seed, one_of("--device", device, "auto", "cpu", "gpu"), gpus)
        choice: Any = one_of("--engine", engine, "auto", "docker", "local")
        with view.running(terminal.console(stderr=json)) as (on_event, on_progress):
            record = start(work, options, choice, out, on_event, on_progress)
        show(json, lambda: document("run", record), lambda: view.ran(record, work.best_accuracy))
        raise typer.Exit(HEALTHY if record.status == "succeeded" else PROBLEM)
