"""What the probe (workloads/probe) saw inside a container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value


@dataclass(frozen=True, slots=True)
class Inside:
    """What the probe saw in one container: the upper rungs."""

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


def parse(image: str, event: dict[str, Any]) -> Inside:
    """Return the facts of a `probe` event.

    Sample: {"cuda": {"gpus": 2, "error": null}, "nvml_library": true, "libraries": {"libcudnn.so.9": null},
    "tensorflow": {"version": "2.21.0", "gpus": 2, "names": […], "cuda_build": true, "error": null},
    "visible_devices": null, "versions": {"cuda": "12.5.1", …}}.
    """
    cuda, tensorflow = event["cuda"], event["tensorflow"]
    return Inside(
        image=image,
        cuda_gpus=int(cuda["gpus"]),
        cuda_error=cuda["error"],
        nvml_library=bool(event["nvml_library"]),
        libraries=dict(event["libraries"]),
        tensorflow_version=tensorflow["version"],
        tensorflow_gpus=int(tensorflow["gpus"]),
        tensorflow_names=tuple(tensorflow["names"]),
        tensorflow_cuda_build=bool(tensorflow["cuda_build"]),
        tensorflow_error=tensorflow["error"],
        visible_devices=event["visible_devices"],
        versions=dict(event["versions"]),
    )
