"""Rung libraries: do the CUDA libraries and cuDNN of TensorFlow's build load?"""

from __future__ import annotations

from toolkit.facts import Facts, container
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding


def gpus(facts: Facts) -> int:
    """Return the container's GPUs where every library loads, else none: TensorFlow then registers no GPU at all."""
    inside = facts(container.inside)
    return 0 if any(inside.libraries.values()) else inside.cuda_gpus


def detail(facts: Facts) -> str:
    libraries = facts(container.inside).libraries
    missing = [name for name, error in libraries.items() if error]
    return f"missing: {', '.join(missing)}" if missing else f"{len(libraries)} libraries load"


def cuda_libraries_load(facts: Facts) -> Finding | None:
    """The CUDA libraries and cuDNN load in the container"""
    inside = facts(container.inside)
    missing = {name: error for name, error in inside.libraries.items() if error}
    if not missing:
        return None
    only_cudnn = all(name.startswith("libcudnn") for name in missing)
    return finding(
        "cudnn-missing" if only_cudnn else "cuda-libs-missing",
        f"TensorFlow {inside.tensorflow_version} in {inside.image} cannot load {', '.join(missing)}.",
        [Command("kit build --variant gpu")],
        [Evidence("dlopen in the container", error) for error in missing.values()],
    )
