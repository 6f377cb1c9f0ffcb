"""The image of a run, chosen for the machine and for the GPUs that the run asks for."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.engine.docker import Docker
from toolkit.engine.plan import GpuRequest
from toolkit.facts import Facts
from toolkit.images import build
from toolkit.images.choice import fitting
from toolkit.images.variants import Variant
from toolkit.model import KitError, UsageError
from toolkit.own import layer
from toolkit.workloads import data
from toolkit.workloads.plan import Place, chosen_gpus, gpu_indices, gpu_request


def chosen(
    gpus: str, device: str, facts: Facts, tensorflow: str | None = None
) -> tuple[Variant, GpuRequest | None, str | None]:
    """Return the variant, what to ask the engine for, and a note where the machine's GPUs are not used: why.

    Raises UsageError and KitError where a GPU was asked for that is not there, or that the engine cannot hand over.
    """
    check_there(gpus, device, facts)
    request = gpu_request(gpus, facts)
    on_gpu = device.startswith("gpu")
    if on_gpu and request is None:
        raise KitError(f"--device {device}: the container engine has no way to hand GPUs over; kit doctor tells why")
    asked = on_gpu or gpus != "auto"
    each, on_cpu = fitting(facts, "cpu" if request is None else "gpu" if asked else None, tensorflow)
    return each, None if on_cpu else request, on_cpu


def placed(engine: Docker, each: Variant, table: str | None, facts: Facts, on_progress: Callable[[str], None]) -> Place:
    """Return where to run in a variant, built where it is missing, with what reads a table that the images cannot.

    Raises NotBuiltError.
    """
    build.ready(engine, each, facts, on_progress)
    reader = layer.image(engine, each, data.PARQUET_READER, on_progress) if data.needs_reader(table) else None
    return Place(engine, each, layer=reader)


def check_there(gpus: str, device: str, facts: Facts) -> None:
    """Raise UsageError where a device is a GPU that is not one of those to run on."""
    there = len(chosen_gpus(gpus, gpu_indices(facts)))
    kind, _, number = device.partition(":")
    if kind == "gpu" and there <= int(number or 0):
        raise UsageError(f"--device {device}: there are {there} GPUs to run on; kit doctor tells why")
