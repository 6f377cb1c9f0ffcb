"""Rung libraries: do the CUDA libraries and cuDNN of TensorFlow's build load, and are they fit for it?"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.facts import Facts, container
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence, Step
from toolkit.versions import numbers

# The cuDNN of each TensorFlow's build: its own build information tells the major version alone.
BUILDS: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("cudnn_builds.json").read_text(encoding="utf-8")
)
NOT_FOUND = "cannot open shared object file"


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
    others = [file for name in missing for file in (inside.others or {}).get(name, [])]
    evidence = [Evidence("dlopen in the container", error) for error in missing.values()]
    cause = f"TensorFlow {inside.tensorflow_version} in {inside.image} cannot load {', '.join(missing)}"
    if others:
        cause += f", and another version is there: {', '.join(others)}"
        evidence.append(Evidence("the container's library folders", ", ".join(others)))
    elif any(NOT_FOUND not in error for error in missing.values()):
        cause += ", which is there and broken"
    fault = (
        "cudnn-version-mismatch" if only_cudnn and others else "cudnn-missing" if only_cudnn else "cuda-libs-missing"
    )
    return finding(fault, f"{cause}.", _fix(inside), [*evidence, *_path_evidence(inside)])


def cudnn_fits_the_build(facts: Facts) -> Finding | None:
    """cuDNN is of the build's major version, and not older than it"""
    inside = facts(container.inside)
    loaded = (inside.loaded_versions or {}).get("cudnn")
    built = _built_cudnn(inside)
    if loaded is None or built is None or _fits(loaded, built):
        return None
    file = (inside.loaded or {}).get("libcudnn", "cuDNN")
    return finding(
        "cudnn-version-mismatch",
        f"{file} is cuDNN {loaded}, and TensorFlow {inside.tensorflow_version} is built for {built}: it needs the same "
        "major version, and at least that minor one, and refuses at its first convolution.",
        _fix(inside),
        [Evidence("cudnnGetVersion in the container", loaded), *_path_evidence(inside)],
    )


def _built_cudnn(inside: container.Inside) -> str | None:
    """Return the cuDNN version of TensorFlow's build, its major version alone where the table does not know more."""
    row = BUILDS.get(".".join(inside.tensorflow_version.split(".")[:2]))
    return row["cudnn"] if row else inside.versions.get("cudnn")


def _fits(loaded: str, built: str) -> bool:
    """Return TensorFlow's own judgement. Source: xla, cuda_dnn.cc (IsSourceCompatibleWithCudnnLibrary)."""
    have, want = numbers(loaded), numbers(built)
    return have[:1] == want[:1] and have[1:2] >= want[1:2]


def library_path_shadows_wheels(facts: Facts) -> Finding | None:
    """The libraries that load are those that came with TensorFlow"""
    inside = facts(container.inside)
    if inside.wheels is None or not inside.library_path or any(inside.libraries.values()):
        return None
    built, cudnn = _built_cudnn(inside), (inside.loaded_versions or {}).get("cudnn")
    if built and cudnn and not _fits(cudnn, built):
        return None  # the finding before this one names the path
    folders = [folder.rstrip("/") for folder in inside.library_path.split(":") if folder]
    shadows = [
        file
        for name, file in (inside.loaded or {}).items()
        if name not in ("libcuda", "libnvidia-ml")
        and not file.startswith(inside.wheels)
        and any(file.startswith(f"{folder}/") for folder in folders)
    ]
    if not shadows:
        return None
    return finding(
        "cuda-library-shadowed",
        f"LD_LIBRARY_PATH puts {', '.join(shadows)} before the libraries that TensorFlow came with in {inside.wheels}: "
        "it works as long as the two are of one kind.",
        _fix(inside),
        [Evidence("/proc/self/maps in the container", ", ".join(shadows)), *_path_evidence(inside)],
        "warning",
    )


def _path_evidence(inside: container.Inside) -> list[Evidence]:
    path = inside.library_path
    return [Evidence("the container's environment", f"LD_LIBRARY_PATH={path}")] if path else []


def _fix(inside: container.Inside) -> list[Step]:
    """Return the image's own libraries back: without the path that comes before them, or in an image built anew."""
    if inside.library_path:
        return [Sentence("Take LD_LIBRARY_PATH out of the image or of the command that starts the container")]
    return [Command("kit build --variant gpu")]
