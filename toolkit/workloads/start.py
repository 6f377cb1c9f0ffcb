"""The start of a run: its engine, and its image or environment, built or installed where that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from toolkit import doctor, records
from toolkit.engine import local
from toolkit.engine.docker import Docker, EngineError
from toolkit.facts import driver
from toolkit.images import build
from toolkit.images.variants import Variant, extras, variant, with_extra
from toolkit.images.verify import verified
from toolkit.model import RunRecord
from toolkit.own import layer
from toolkit.workloads import data
from toolkit.workloads.again import difference
from toolkit.workloads.image import check_there, chosen
from toolkit.workloads.outcome import METRICS, PHASES, Event
from toolkit.workloads.packaged import Workload
from toolkit.workloads.plan import Options, Place, chosen_gpus, gpu_indices
from toolkit.workloads.run import run

EngineChoice = Literal["auto", "docker", "local"]


def start(
    work: Workload,
    options: Options,
    choice: EngineChoice,
    out: Path | None,
    on_event: Callable[[Event], None],
    on_progress: Callable[[str], None],
    *,
    again: Path | None = None,
    resume: bool = False,
) -> RunRecord:
    """Run a workload in the chosen engine, with its image built or its environment installed where that is missing.

    `auto` is Docker where it answers, else the local engine, and then the record's notes say so; `docker` never falls
    back. Its folder is a new one in `out` or kit's own; with `again`, the folder of an earlier run, it repeats that, and
    with `resume` it goes on in it. Raises EngineError where Docker was asked for and does not answer.
    """
    facts = doctor.this_machine()
    check_there(options.gpus, options.device, facts)
    engine, notes = connect(choice)
    nvml = facts.maybe(driver.nvml)
    if nvml and nvml.error and not nvml.library_missing:
        notes = (*notes, f"the GPU driver does not answer ({nvml.error}); kit doctor tells why")
    for note in notes:
        on_event({"event": "note", "text": note})
    if engine is None:
        data.readable_locally(options.data)
        each = with_backend(variant("gpu" if chosen_gpus(options.gpus, gpu_indices(facts)) else "cpu"), options.backend)
        on_progress(f"local engine: the packages of {' and '.join(f'locks/{lock.name}' for lock in each.locks)}")
        python = local.environment(each.locks, on_progress)
        if again and (other := difference(again, None)):
            notes = (*notes, other)
            on_event({"event": "note", "text": other})
        return run(
            work, options, _folder(work, out, again if resume else None), facts, Place(python=python), on_event, notes
        )
    each, _, on_cpu = chosen(options.gpus, options.device, facts)
    each = with_backend(each, options.backend)
    if on_cpu:
        options = replace(options, gpus="none")
        notes = (*notes, on_cpu)
        on_event({"event": "note", "text": on_cpu})
    layered = None
    try:
        build.ready(engine, each, facts, on_progress)
        if data.needs_reader(options.data):
            layered = layer.image(engine, each, data.PARQUET_READER, on_progress)
    except build.NotBuiltError as error:
        return _not_built(work, error)
    said = (
        _unproven(each, engine.image(each.tag)),
        difference(again, engine.image(layered or each.tag)) if again else None,
    )
    for note in filter(None, said):
        notes = (*notes, note)
        on_event({"event": "note", "text": note})
    return run(
        work,
        options,
        _folder(work, out, again if resume else None),
        facts,
        Place(engine, each, layer=layered),
        on_event,
        notes,
    )


def with_backend(each: Variant, backend: str) -> Variant:
    """Return a variant with a backend of Keras: on GPUs, or where it is for them alone, with the CUDA libraries that this
    takes."""
    if backend == "tensorflow":
        return each
    extra = extras()[backend]
    if extra.gpu_flavour and (each.hardware == "gpu" or not extra.packages):
        each = variant("gpu", each.tensorflow, extra.gpu_flavour)
    return with_extra(each, backend)


def _folder(work: Workload, out: Path | None, resume: Path | None) -> records.RunFolder:
    return records.reopen(resume) if resume else records.new_run(work.name, out)


def _unproven(each: Variant, image: dict[str, Any] | None) -> str | None:
    """Return that an image was not proven here, or is not good, None where it is: one that was loaded has no record."""
    if image is None or verified(image["Id"]):
        return None
    return f"the image {each.tag} is not verified; do it: kit verify {each.tag}"


def connect(choice: EngineChoice) -> tuple[Docker | None, tuple[str, ...]]:
    """Return the Docker engine, or None for the local one with the notes that say why and what would give a container."""
    if choice == "local":
        return None, ("no container was used: --engine local",)
    try:
        return Docker(), ()
    except EngineError as error:
        if choice == "docker":
            raise
        return None, (f"no container was used: {error}",)


def _not_built(work: Workload, error: build.NotBuiltError) -> RunRecord:
    """Return the record of a run that never started, since its image could not be built or proven."""
    nothing: dict[str, Any] = dict.fromkeys(METRICS)
    gpus: dict[str, int | None] = {"host": None, "container": None, "tensorflow": None}
    seconds: dict[str, float | None] = dict.fromkeys(("total", "start", *PHASES))
    return RunRecord(
        "",
        work.name,
        "docker",
        error.image,
        gpus,
        None,
        nothing,
        {},
        seconds,
        {"log": error.log},
        "failed",
        error.findings,
    )
