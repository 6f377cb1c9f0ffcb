"""Which variant a machine should have: the newest TensorFlow that runs natively on all of its cards and its driver."""

from __future__ import annotations

from dataclasses import replace

from toolkit.compat import machine, solver
from toolkit.compat.flavour import library_flavour
from toolkit.compat.tables import build as wheel
from toolkit.facts import Facts
from toolkit.images.machine import all_gpus, host_gpus
from toolkit.images.variants import Flavour, Hardware, Variant, variant, variants
from toolkit.model import KitError, UsageError


def choose(
    facts: Facts,
    hardware: Hardware | None = None,
    tensorflow: str | None = None,
    flavour: Flavour | None = None,
    *,
    force: bool = False,
) -> Variant:
    """Return the variant that fits a machine, as far as it is not named: hardware, TensorFlow and CUDA libraries.

    Raises UsageError with the rule where what is named cannot work on the machine's GPUs, unless it is forced.
    """
    hardware = hardware or ("gpu" if host_gpus(facts) and all_gpus(facts) else "cpu")
    asked = _question(facts) if hardware == "gpu" else None
    if asked is None:
        return variant(hardware, tensorflow, flavour or "tested")
    if tensorflow is None:
        among = [row.tensorflow for row in variants() if row.hardware == "gpu" and row.flavour == "tested"]
        tensorflow = solver.newest_for(asked, among) or next(
            (each for each in among if solver.runs(each, asked) in ("jit", "unknown")), None
        )
        if tensorflow is None and not force:
            raise UsageError(f"no TensorFlow that kit builds runs on this machine's GPUs: {_why(among[0], asked)}")
    elif not force and solver.runs(variant("gpu", tensorflow).tensorflow, asked) == "no":
        raise UsageError(
            f"--tf {tensorflow} cannot work here: {_why(variant('gpu', tensorflow).tensorflow, asked)}; "
            f"take {solver.recommend(asked).tensorflow}, or --force"
        )
    row = variant("gpu", tensorflow)
    return variant("gpu", tensorflow, flavour or _flavour(row, asked))


def _question(facts: Facts) -> solver.Question | None:
    """Return what the machine's GPUs ask, None where it has none: then an image is for another machine."""
    if not host_gpus(facts):
        return None
    try:
        asked = machine.question(facts)
    except KitError:
        return None
    # Containers are Linux's, whatever the machine is.
    return replace(asked, os="linux") if asked.os == "windows" else asked


def _flavour(row: Variant, asked: solver.Question) -> Flavour:
    build = wheel(row.tensorflow)
    capabilities = [each.compute_capability for each in asked.gpus or () if each.compute_capability]
    there = {each.flavour for each in variants() if each.tensorflow == row.tensorflow}
    wanted = library_flavour(build, capabilities) if build else "tested"
    return wanted if wanted in there else "tested"


def _why(tensorflow: str, asked: solver.Question) -> str:
    return solver.judge(tensorflow, asked).reasons[0].rule
