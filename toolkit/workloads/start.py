"""The start of a run: its engine, and its image or environment, built or installed where that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from toolkit import doctor
from toolkit.engine import local
from toolkit.engine.docker import Docker, EngineError
from toolkit.facts import driver
from toolkit.images.build import build, current
from toolkit.images.choice import choose
from toolkit.images.variants import Variant, variant
from toolkit.images.verify import verified
from toolkit.model import BuildRecord, KitError, RunRecord, UsageError
from toolkit.workloads.outcome import METRICS, PHASES, Event
from toolkit.workloads.packaged import Workload
from toolkit.workloads.plan import Options, Place, chosen_gpus, gpu_indices, gpu_request
from toolkit.workloads.run import run

EngineChoice = Literal["auto", "docker", "local"]


def start(
    work: Workload,
    options: Options,
    choice: EngineChoice,
    out: Path | None,
    on_event: Callable[[Event], None],
    on_progress: Callable[[str], None],
) -> RunRecord:
    """Run a workload in the chosen engine, with its image built or its environment installed where that is missing.

    `auto` is Docker where it answers, else the local engine, and then the record's notes say so; `docker` never falls
    back. Raises EngineError where Docker was asked for and does not answer.
    """
    facts = doctor.this_machine()
    gpus = chosen_gpus(options.gpus, gpu_indices(facts))
    if options.device == "gpu" and not gpus:
        raise UsageError("--device gpu: there is no GPU to train on; kit doctor tells why")
    engine, notes = connect(choice)
    nvml = facts.maybe(driver.nvml)
    if nvml and nvml.error and not nvml.library_missing:
        notes = (*notes, f"the GPU driver does not answer ({nvml.error}); kit doctor tells why")
    for note in notes:
        on_event({"event": "note", "text": note})
    if engine is None:
        each = variant("gpu" if gpus else "cpu")
        on_progress(f"local engine: the packages of {each.lock}")
        python = local.environment(each.lock_file, on_progress)
        return run(work, options, out, facts, Place(python=python), on_event, notes)
    request = gpu_request(options.gpus, facts)
    if options.device == "gpu" and request is None:
        raise KitError("--device gpu: the container engine has no way to hand GPUs over; kit doctor tells why")
    each = choose(facts, "gpu" if request else "cpu")
    if not current(engine, each):
        on_progress(f"building {each.tag} first: it is missing, or its inputs changed")
        built = build(engine, each, facts, on_progress)
        if built.tag is None:
            return _not_built(work, each, built)
    if unproven := _unproven(engine, each):
        notes = (*notes, unproven)
        on_event({"event": "note", "text": unproven})
    return run(work, options, out, facts, Place(engine, each), on_event, notes)


def _unproven(engine: Docker, each: Variant) -> str | None:
    """Return that an image was not proven here, or is not good, None where it is: one that was loaded has no record."""
    image = engine.image(each.tag)
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


def _not_built(work: Workload, each: Variant, built: BuildRecord) -> RunRecord:
    """Return the record of a run that never started, since its image could not be built or proven."""
    nothing: dict[str, Any] = dict.fromkeys(METRICS)
    gpus: dict[str, int | None] = {"host": None, "container": None, "tensorflow": None}
    seconds: dict[str, float | None] = dict.fromkeys(("total", "start", *PHASES))
    return RunRecord(
        "",
        work.name,
        "docker",
        each.tag,
        gpus,
        None,
        nothing,
        {},
        seconds,
        {"log": built.log},
        "failed",
        built.findings,
    )
