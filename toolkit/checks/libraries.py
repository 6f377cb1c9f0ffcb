"""Rung libraries: do the CUDA libraries and cuDNN of TensorFlow's build load, and are they fit for it?"""

from __future__ import annotations

import re

from toolkit import compat
from toolkit.checks.steps import install_driver
from toolkit.facts import Facts, container, driver
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence, Step
from toolkit.versions import numbers

NOT_FOUND = "cannot open shared object file"
# A function of the driver's own interface (cuMemAlloc, not cudaMalloc or cublasCreate), which libcuda.so.1 has to have.
OF_THE_DRIVER = re.compile(r"undefined symbol: (cu[A-Z]\w+)")


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
    lacking = sorted({asked[1] for error in missing.values() if (asked := OF_THE_DRIVER.search(error))})
    if lacking:
        return finding(
            "driver-too-old-for-cuda",
            f"{', '.join(missing)} in {inside.image} cannot load: {', '.join(lacking)} is a function of newer drivers "
            f"than {facts(driver.nvml).driver_version or 'the one here'}.",
            [*install_driver(facts), Sentence("Or use an image with older CUDA libraries")],
            evidence,
        )
    cause = f"TensorFlow {inside.tensorflow_version} in {inside.image} cannot load {', '.join(missing)}"
    if others:
        cause += f", and another version is there: {', '.join(others)}"
        evidence.append(Evidence("the container's library folders", ", ".join(others)))
    elif any(NOT_FOUND not in error for error in missing.values()):
        cause += ", which is there and broken"
    fault = (
        "cudnn-version-mismatch" if only_cudnn and others else "cudnn-missing" if only_cudnn else "cuda-libs-missing"
    )
    fix = _fix(inside, "cudnn") if only_cudnn else _fix(inside)
    return finding(fault, f"{cause}.", fix, [*evidence, *_path_evidence(inside)])


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
        _fix(inside, "cudnn"),
        [Evidence("cudnnGetVersion in the container", loaded), *_path_evidence(inside)],
    )


def cuda_libraries_fit_the_build(facts: Facts) -> Finding | None:
    """The CUDA libraries are of the build's major versions, and not older than it"""
    inside = facts(container.inside)
    loaded, build = inside.loaded_versions or {}, _build(inside)
    built = {name: lowest for name in loaded if (lowest := _lowest(build, name)) and name != "cudnn"}
    built.setdefault("cudart", inside.versions.get("cuda") or "")
    unfit = {name: want for name, want in built.items() if want and name in loaded and not _fits(loaded[name], want)}
    if not unfit:
        return None
    said = ", ".join(f"lib{name} is {loaded[name]} and not {want}" for name, want in unfit.items())
    return finding(
        "cuda-version-mismatch",
        f"Libraries in {inside.image} are not those that TensorFlow {inside.tensorflow_version} is built for: {said}. It "
        "needs the same major version, and at least that minor one.",
        _fix(inside, *unfit),
        [*(Evidence(f"lib{name} in the container", loaded[name]) for name in unfit), *_path_evidence(inside)],
    )


def _build(inside: container.Inside) -> compat.Build | None:
    """Return the table's row of TensorFlow's build, None for one that somebody else made with another CUDA or cuDNN."""
    build = compat.build(inside.tensorflow_version)
    if build is None:
        return None
    told = {name: numbers(inside.versions.get(name)) for name in ("cuda", "cudnn")}
    row = {"cuda": numbers(build.cuda)[:2], "cudnn": numbers(build.cudnn)[:1]}
    other = any(told[name] and told[name][: len(row[name])] != row[name] for name in row)
    return None if other else build


def _built_cudnn(inside: container.Inside) -> str | None:
    """Return the cuDNN version of TensorFlow's build, its major version alone where the table does not know more."""
    build = _build(inside)
    return build.cudnn if build and build.cudnn else inside.versions.get("cudnn")


def _package(build: compat.Build | None, library: str) -> str | None:
    """Return the Python package of a library among a build's pins: nvidia-cublas-cu12 for cublas."""
    name = f"nvidia-{'cuda-runtime' if library == 'cudart' else library}-cu"
    return next((package for package in build.pins if package.startswith(name)), None) if build else None


def _lowest(build: compat.Build | None, library: str) -> str | None:
    """Return the version of a library that a build was tested with: its pin, or the lowest of its range."""
    package = _package(build, library)
    pin = build.pins[package] if build and package else ""
    return next((each.lstrip(">=") for each in pin.split(",") if each.startswith((">=", "=="))), None)


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
    shadows = [
        file
        for name, file in (inside.loaded or {}).items()
        if name not in ("libcuda", "libnvidia-ml")
        and not file.startswith(inside.wheels)
        and any(file.startswith(f"{folder}/") for folder in _folders(inside))
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


def _folders(inside: container.Inside) -> list[str]:
    return [folder.rstrip("/") for folder in (inside.library_path or "").split(":") if folder]


def _path_evidence(inside: container.Inside) -> list[Evidence]:
    path = inside.library_path
    return [Evidence("the container's environment", f"LD_LIBRARY_PATH={path}")] if path else []


def _fix(inside: container.Inside, *libraries: str) -> list[Step]:
    """Return the libraries back that TensorFlow was tested with: without the path that comes before them, in the image's
    own recipe, or in an image of kit's."""
    files = [(inside.loaded or {}).get(f"lib{name}", "") for name in libraries] + [
        error or "" for error in inside.libraries.values()
    ]
    if any(f"{folder}/" in file for folder in _folders(inside) for file in files):
        return [Sentence("Take LD_LIBRARY_PATH out of the image or of the command that starts the container")]
    build = _build(inside)
    packages = {each: build.pins[each] for each in (_package(build, name) for name in libraries) if build and each}
    if not inside.wheels or not packages:
        return [Command("kit build --variant gpu")]
    wanted = " ".join(f"'{name}{pin}'" for name, pin in packages.items())
    return [
        Sentence(f"In the image's recipe: pip install {wanted}; or take kit's:"),
        Command("kit build --variant gpu"),
    ]
