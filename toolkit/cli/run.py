"""kit run workload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, one_of, show, table

OF_THE_RUN = (
    "name",
    "epochs",
    "batch_size",
    "seed",
    "gpus",
    "device",
    "input_",
    "mixed_precision",
    "deterministic",
    "backend",
    "data",
    "target",
    "features",
    "impute",
    "stream",
)


def workload(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A folder of workloads/; --list shows them.")] = "side_effects",
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    batch_size: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Runs of one seed see the same data and start.")] = 0,
    gpus: Annotated[str, typer.Option(help="auto, all, none, a number, or indices as in 0,2.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, gpu, or one GPU as in gpu:1: what to train on.")] = "auto",
    input_: Annotated[str, typer.Option("--input", help="The form that the data comes in, as tf-data.")] = "numpy",
    mixed_precision: Annotated[bool, typer.Option(help="Compute in 16 bits, keep weights in 32.")] = False,
    deterministic: Annotated[bool, typer.Option(help="The same numbers on every run, on GPUs too; slower.")] = False,
    backend: Annotated[str, typer.Option(help="What Keras computes with: tensorflow, jax or torch.")] = "tensorflow",
    data: Annotated[
        Path | None, typer.Option(help="A table of your own to train on: .csv, .tsv, .npz or .parquet.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Its column of classes, numbers or words.")] = None,
    features: Annotated[
        str | None, typer.Option(help="Its columns to learn from, as age,dose; all others if not said.")
    ] = None,
    impute: Annotated[str | None, typer.Option(help="median: what to take for missing values.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read it from disk while training, as where it is larger than memory.")
    ] = False,
    engine: Annotated[str, typer.Option(help="auto, docker or local; docker never falls back.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder that the run's folder is made in.")] = None,
    repeat: Annotated[str | None, typer.Option(metavar="RUN", help="Run what an earlier run was asked.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")] = None,
    workloads: Annotated[Path | None, typer.Option(help="A folder of workloads of your own.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the workloads that there are.")] = False,
    json: Json = False,
) -> None:
    """Run a workload: count the GPUs on every rung, process the data, train, and keep the results."""
    with failing("run", json):
        from toolkit.model import UsageError, document
        from toolkit.runs import folders
        from toolkit.show import report, terminal
        from toolkit.show import run as view
        from toolkit.workloads import again, packaged
        from toolkit.workloads import data as own
        from toolkit.workloads.plan import Options, checked
        from toolkit.workloads.start import start

        if list_:
            rows = [(each.name, each.title, str(each.folder)) for each in packaged.workloads(workloads).values()]
            table(json, "workloads", ("name", "title", "folder"), rows)
            return
        options = Options(epochs, batch_size, seed, device, gpus, input_, mixed_precision, deterministic, backend)
        if data or target or features or impute or stream:
            file = str(data) if data else None
            options = replace(options, data=file, target=target, features=features, impute=impute, stream=stream)
        earlier = None
        if option := "--repeat" if repeat else "--resume" if resume else None:
            given = [each for each in OF_THE_RUN if _given(context, each)]
            if given or (repeat and resume):
                other = "--resume" if repeat and resume else f"--{given[0].strip('_').replace('_', '-')}"
                other = "the workload's name" if other == "--name" else other
                raise UsageError(f"{option} takes what that run was asked: leave out {other}")
            earlier = again.found(repeat or resume or "", out, unfinished=bool(resume))
            name, options = again.asked(earlier)
            workloads = workloads or again.workloads(earlier)
            engine = engine if _given(context, "engine") else again.engine(earlier)
        work = packaged.workload(name, workloads)
        options = own.checked(checked(options, work), work)
        best_accuracy = None if options.data else work.best_accuracy
        choice: Any = one_of("--engine", engine, "auto", "docker", "local")
        with view.running(terminal.console(stderr=json)) as (on_event, on_progress):
            record = start(work, options, choice, out, on_event, on_progress, again=earlier, resume=bool(resume))
        events = []
        if result := record.artifacts.get("result.json"):
            events = folders.events(Path(result).parent)
            report.write(Path(result).parent, best_accuracy)
        show(json, lambda: document("run", record), lambda: view.ran(record, best_accuracy, events, noted=True))
        raise typer.Exit(HEALTHY if record.status == "succeeded" else PROBLEM)


def _given(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name != "DEFAULT"
