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


def fitting(
    facts: Facts,
    hardware: Hardware | None = None,
    tensorflow: str | None = None,
    flavour: Flavour | None = None,
    *,
    force: bool = False,
) -> tuple[Variant, str | None]:
    """Return the variant that fits a machine, as far as it is not named, and a note where its GPUs are not used: why.

    Raises UsageError as `choose` does: what is named and cannot work is refused.
    """
    if hardware is not None or not host_gpus(facts):
        return choose(facts, hardware or "cpu", tensorflow, flavour, force=force), None
    named = tensorflow is not None or flavour == "newest" or force
    if why := _unusable(facts, named=named):
        note = f"for the CPU, since this machine's GPUs cannot be used: {why}; kit doctor tells what mends that"
        return choose(facts, "cpu", tensorflow, flavour), note
    return choose(facts, "gpu", tensorflow, flavour, force=force), None


def choose(
    facts: Facts,
    hardware: Hardware,
    tensorflow: str | None = None,
    flavour: Flavour | None = None,
    *,
    force: bool = False,
) -> Variant:
    """Return the variant for hardware that fits a machine, as far as it is not named: TensorFlow and CUDA libraries.

    Raises UsageError with the rule where it cannot work on the machine's GPUs, unless it is forced.
    """
    asked = _question(facts) if hardware == "gpu" else None
    if asked is None:
        return variant(hardware, tensorflow, flavour or "tested")
    newest = _newest(asked)
    if tensorflow is None and newest is None and not force:
        raise UsageError(
            f"the GPUs of this machine cannot be used: {_none_runs(asked)}; kit doctor tells what mends that"
        )
    row = variant("gpu", newest if tensorflow is None else tensorflow)
    if tensorflow is not None and not force and solver.runs(row.tensorflow, asked) == "no":
        other = f"--tf {newest}" if newest else "--variant cpu"
        raise UsageError(f"--tf {tensorflow} cannot work here: {_why(row.tensorflow, asked)}; take {other}, or --force")
    return variant("gpu", row.tensorflow, flavour or _flavour(row, asked))


def _unusable(facts: Facts, *, named: bool) -> str | None:
    """Return why no container can use the machine's GPUs, None where one can, or where what it shall have is `named`."""
    if all_gpus(facts) is None:
        return "the container engine has no way to hand them over"
    asked = None if named else _question(facts)
    return _none_runs(asked) if asked and _newest(asked) is None else None


def _newest(asked: solver.Question) -> str | None:
    """Return the newest TensorFlow of image.toml that runs natively, or where none does by JIT or as far as is known."""
    there = _built_for_gpus()
    return solver.newest_for(asked, there) or next(
        (each for each in there if solver.runs(each, asked) in ("jit", "unknown")), None
    )


def _built_for_gpus() -> list[str]:
    return [row.tensorflow for row in variants() if row.hardware == "gpu" and row.flavour == "tested"]


def _none_runs(asked: solver.Question) -> str:
    return f"no TensorFlow that kit builds runs on them ({_why(_built_for_gpus()[0], asked)})"


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
