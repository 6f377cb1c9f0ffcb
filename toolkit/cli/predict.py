"""kit run predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, one_of, show


def predict(
    run: Annotated[str, typer.Argument(help="An id or its unique beginning, last, or a path.")],
    data: Annotated[Path, typer.Option(help="The new samples: .csv, .tsv, .npz or .parquet, with the run's columns.")],
    output: Annotated[
        Path | None, typer.Option(help="The file to write; predictions.csv in the run's folder, if not said.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, docker or local; docker never falls back.")] = "auto",
    json: Json = False,
) -> None:
    """Predict the classes of new samples with the model of a run, scaled as its own were."""
    with failing("predict", json):
        from toolkit import paths
        from toolkit.model import document
        from toolkit.runs import folders
        from toolkit.show import predict as view
        from toolkit.show import run as progress
        from toolkit.show import terminal
        from toolkit.workloads import predict as verb

        choice: Any = one_of("--engine", engine, "auto", "docker", "local")
        folder = folders.find(run, paths.runs())
        with progress.running(terminal.console(stderr=True)) as (on_event, on_progress):
            record = verb.predict(folder, data, output, choice, on_event, on_progress)
        show(json, lambda: document("predict", record), lambda: view.predicted(record))
        raise typer.Exit(HEALTHY if record.status == "succeeded" else PROBLEM)
