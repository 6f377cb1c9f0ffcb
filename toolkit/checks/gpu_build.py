"""Rung tensorflow: the image's TensorFlow has code for the cards of this machine."""

from __future__ import annotations

from toolkit import compat
from toolkit.facts import Facts, container, driver
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, UnknownFactError

RUNG: RungName = "tensorflow"
NGC = "https://catalog.ngc.nvidia.com/orgs/nvidia/containers/tensorflow"


def gpu_too_old_for_build(facts: Facts) -> Finding | None:
    """No card is too old for TensorFlow's build"""
    old = _cards(facts, "too-old")
    if not old:
        return None
    return finding(
        "gpu-too-old-for-build",
        f"{_named(old)} is older than what TensorFlow {facts(container.inside).tensorflow_version} is compiled for "
        f"({_first(facts)} and later): it ignores the card.",
        [
            Sentence(_covering(old)),
            Sentence("Or compute on another GPU, or on the CPU: kit run workload --device cpu"),
        ],
        _evidence(facts, old),
    )


def gpu_too_new_for_build(facts: Facts) -> Finding | None:
    """No card is too new for TensorFlow's build"""
    new = _cards(facts, "too-new")
    if not new:
        return None
    return finding(
        "gpu-too-new-for-build",
        f"TensorFlow {facts(container.inside).tensorflow_version} has neither code for the {_named(new)} nor PTX that the "
        "driver could compile for it.",
        [Sentence(f"Use a newer TensorFlow, or NVIDIA's own build: {NGC}")],
        _evidence(facts, new),
    )


def gpu_code_compiled_at_start(facts: Facts) -> Finding | None:
    """Every card has compiled code in TensorFlow's build"""
    new = _cards(facts, "jit")
    if not new:
        return None
    return finding(
        "gpu-code-compiled-at-start",
        f"TensorFlow {facts(container.inside).tensorflow_version} has no code for the {_named(new)}, only PTX: the driver "
        "compiles every kernel at its first use, which takes minutes (TensorFlow warns of 30 or more), and some may fail.",
        [
            Sentence("Let the first run end: the result is kept in ~/.nv/ComputeCache, and later runs start at once"),
            Sentence("In containers set CUDA_CACHE_PATH to a mounted folder, or every new container compiles anew"),
            Sentence(
                f"If a kernel fails (CUDA_ERROR_INVALID_HANDLE): use a newer TensorFlow, or NVIDIA's build: {NGC}"
            ),
        ],
        _evidence(facts, new),
        "warning",
    )


def _build(facts: Facts) -> tuple[str, ...]:
    """Return what this TensorFlow is compiled for, by its own word or else by kit's table of the official wheels."""
    inside = facts(container.inside)
    built = inside.compiled_for or compat.tensorflow_build(inside.tensorflow_version)
    if built is None:
        raise UnknownFactError(f"what TensorFlow {inside.tensorflow_version} is compiled for is not known")
    return built


def _covering(gpus: list[driver.NvmlGpu]) -> str:
    """Return the sentence that names the newest TensorFlow with code for some cards."""
    for build in compat.builds():
        if build.gpu and all(compat.coverage(gpu.compute_capability, build.capabilities) == "compiled" for gpu in gpus):
            return f"Use TensorFlow {build.tensorflow}, the newest that has code for the card, in an image of your own"
    return "No TensorFlow from 2.10 on has code for the card"


def _cards(facts: Facts, wanted: compat.Coverage) -> list[driver.NvmlGpu]:
    inside = facts(container.inside)
    if inside.tensorflow_error or not inside.tensorflow_cuda_build:
        return []
    built = _build(facts)
    return [gpu for gpu in facts(driver.nvml).gpus if compat.coverage(gpu.compute_capability, built) == wanted]


def _named(gpus: list[driver.NvmlGpu]) -> str:
    return ", ".join(dict.fromkeys(f"{gpu.name} (compute capability {gpu.compute_capability})" for gpu in gpus))


def _first(facts: Facts) -> str:
    major, minor = min(compat.capability(name) for name in _build(facts))
    return f"{major}.{minor}"


def _evidence(facts: Facts, gpus: list[driver.NvmlGpu]) -> list[Evidence]:
    inside = facts(container.inside)
    return [
        *(
            Evidence("NVML", f"GPU {gpu.index}: {gpu.name}, compute capability {gpu.compute_capability}")
            for gpu in gpus
        ),
        Evidence(f"build of TensorFlow {inside.tensorflow_version}", ", ".join(_build(facts))),
    ]
