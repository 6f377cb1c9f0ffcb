"""What the probe (workloads/probe) saw inside a container, with GPUs and without, and why none started."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value

CAPABILITY = re.compile(r"(sm|compute)_\d{2,3}[a-z]?", re.A)


@dataclass(frozen=True, slots=True)
class Inside:
    """What the probe saw in one container: the upper rungs. What an older probe did not tell is None."""

    image: str
    cuda_gpus: int
    cuda_error: str | None
    nvml_library: bool
    libraries: dict[str, str | None]  # soname -> why it does not load, None where it does
    tensorflow_version: str
    tensorflow_gpus: int
    tensorflow_names: tuple[str, ...]
    tensorflow_cuda_build: bool
    tensorflow_error: str | None
    visible_devices: str | None  # CUDA_VISIBLE_DEVICES
    versions: dict[str, str | None]
    nodes: dict[str, str] | None = None  # nvidia0 -> "open", or the name of the error that opening it gave: EPERM
    compiled_for: tuple[str, ...] = ()  # TensorFlow's CUDA code: sm_80, …, compute_90; empty where it does not tell
    capabilities: str | None = None  # NVIDIA_DRIVER_CAPABILITIES
    library_path: str | None = None  # LD_LIBRARY_PATH
    wheels: str | None = None  # the folder of NVIDIA's Python packages, where the image has them
    loaded: dict[str, str] | None = None  # libcudnn -> the file that it was loaded from
    loaded_versions: dict[str, str] | None = None  # cudnn, cudart -> the version that the library says of itself
    simulated: bool = False  # the GPUs are kit's own stand-ins, which count and never compute
    others: dict[str, list[str]] | None = None  # soname that does not load -> files of another version of it


def inside(host: Host) -> Inside | Unknown:
    """Return what a container with all GPUs sees, unknown where none was started."""
    match host.ask("container:probe"):
        case Value({"image": str(image), "event": dict(event)}):
            return parse(image, event)
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case Absent():
            return Unknown("the image is not built: kit build --variant gpu")
    return Unknown("the probe's answer is not understood")


def start_error(host: Host) -> str | Unknown:
    """Return the engine's words where a container with GPUs did not run, "" where one did.

    Samples: 'the engine refused the container: could not select device driver "" with capabilities: [[gpu]]', 'the probe
    ended with code 132 and no answer: …'.
    """
    match host.ask("container:probe"):
        case Failed(text) if any(
            words in text for words in ("refused the container", "ended with code", "gave no answer")
        ):
            return text
        case Value():
            return ""
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
    return Unknown("no container was started")


def own_driver_libraries(host: Host) -> dict[str, str] | Unknown:
    """Return the driver's libraries that the image has of its own, seen in a container without GPUs: name -> file.

    Sample: {"image": "…", "event": {"driver_libraries": {"libcuda.so.1": "/usr/local/cuda/lib64/stubs/libcuda.so"}}}.
    """
    match host.ask("container:probe-without-gpus"):
        case Value({"event": {"driver_libraries": dict(libraries)}}):
            return {str(name): str(file) for name, file in libraries.items() if file}
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
    return Unknown("no container without GPUs was started")


def image_missing(host: Host) -> bool | Unknown:
    """Return whether the image of the probe is not built, unknown where none was looked for."""
    answer = host.ask("container:probe")
    return Unknown(answer.reason) if isinstance(answer, NotAsked) else isinstance(answer, Absent)


def parse(image: str, event: dict[str, Any]) -> Inside:
    """Return the facts of a `probe` event.

    Sample: {"cuda": {"gpus": 2, "error": null}, "nvml_library": true, "libraries": {"libcudnn.so.9": null},
    "tensorflow": {"version": "2.21.0", "gpus": 2, "names": […], "cuda_build": true, "error": null,
    "compiled_for": ["sm_80", "compute_90"]}, "visible_devices": null, "versions": {"cuda": "12.5.1", …}, "nodes": {"nvidiactl": "open", "nvidia0": "EPERM"},
    "loaded": {"libcudnn": "/opt/venv/…/nvidia/cudnn/lib/libcudnn.so.9"}, "loaded_versions": {"cudnn": "9.3.0"}, …}.
    """
    cuda, tensorflow = event["cuda"], event["tensorflow"]
    return Inside(
        image=image,
        cuda_gpus=int(cuda["gpus"]),
        cuda_error=_text(cuda["error"]),
        nvml_library=bool(event["nvml_library"]),
        libraries={str(name): _text(reason) for name, reason in event["libraries"].items()},
        tensorflow_version=str(tensorflow["version"]),
        tensorflow_gpus=int(tensorflow["gpus"]),
        tensorflow_names=tuple(map(str, tensorflow["names"])),
        tensorflow_cuda_build=bool(tensorflow["cuda_build"]),
        tensorflow_error=_text(tensorflow["error"]),
        visible_devices=_text(event["visible_devices"]),
        compiled_for=tuple(name for name in tensorflow.get("compiled_for") or () if CAPABILITY.fullmatch(str(name))),
        versions={str(name): _text(version) for name, version in event["versions"].items()},
        simulated=bool(event.get("simulated")),
        nodes=_texts(event.get("nodes")),
        capabilities=_text(event.get("capabilities")),
        library_path=_text(event.get("library_path")),
        wheels=_text(event.get("wheels")),
        loaded=_texts(event.get("loaded")),
        loaded_versions=_texts(event.get("loaded_versions")),
        others={str(name): [str(file) for file in files] for name, files in (event.get("others") or {}).items()},
    )


def _text(told: Any) -> str | None:
    return None if told is None else str(told)


def _texts(told: Any) -> dict[str, str] | None:
    return None if told is None else {str(name): str(text) for name, text in dict(told).items()}
