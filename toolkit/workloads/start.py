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
from toolkit.images.build import NotBuiltError
from toolkit.images.variants import Variant, extras, variant, with_extra
from toolkit.images.verify import verified
from toolkit.model import RunRecord
from toolkit.workloads import data
from toolkit.workloads.again import difference
from toolkit.workloads.image import check_there, chosen, placed
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
    notes: list[str] = []

    def note(text: str | None) -> None:
        if text:
            notes.append(text)
            on_event({"event": "note", "text": text})

    engine, why_local = connect(choice)
    for text in why_local:
        note(text)
    nvml = facts.maybe(driver.nvml)
    if nvml and nvml.error and not nvml.library_missing:
        note(f"the GPU driver does not answer ({nvml.error}); kit doctor tells why")
    if engine is None:
        data.readable_locally(options.data)
        each = with_backend(variant("gpu" if chosen_gpus(options.gpus, gpu_indices(facts)) else "cpu"), options.backend)
        on_progress(f"local engine: the packages of {' and '.join(f'locks/{lock.name}' for lock in each.locks)}")
        place = Place(python=local.environment(each.locks, on_progress))
        note(difference(again, None) if again else None)
    else:
        each, _, on_cpu = chosen(options.gpus, options.device, facts)
        each = with_backend(each, options.backend)
        note(on_cpu)
        if on_cpu:
            options = replace(options, gpus="none")
        try:
            place = placed(engine, each, options.data, facts, on_progress)
        except NotBuiltError as error:
            return _not_built(work, error)
        note(_unproven(each, engine.image(each.tag)))
        note(difference(again, engine.image(place.tag or each.tag)) if again else None)
    folder = records.reopen(again) if again and resume else records.new_run(work.name, out)
    return run(work, options, folder, facts, place, on_event, tuple(notes))


def with_backend(each: Variant, backend: str) -> Variant:
    """Return a variant with a backend of Keras: on GPUs, or where it is for them alone, with the CUDA libraries that this
    takes."""
    if backend == "tensorflow":
        return each
    extra = extras()[backend]
    if extra.gpu_flavour and (each.hardware == "gpu" or not extra.packages):
        each = variant("gpu", each.tensorflow, extra.gpu_flavour)
    return with_extra(each, backend)


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


def _not_built(work: Workload, error: NotBuiltError) -> RunRecord:
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
