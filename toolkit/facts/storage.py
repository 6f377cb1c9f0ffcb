"""The storage that the container engine keeps its images on."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.host import Host
from toolkit.model import Failed, NotAsked, Unknown, Value

CONTAINERD = "/var/lib/containerd"  # containerd's default root, where images are kept by containerd itself


@dataclass(frozen=True, slots=True)
class Storage:
    """The file system of the engine's images."""

    folder: str
    total_bytes: int
    free_bytes: int


def images(host: Host) -> Storage | Unknown:
    """Return what is free where the engine keeps its images. Sample: {"total_bytes": 1967317618688, "free_bytes": 7421}."""
    folder = _folder(host)
    if isinstance(folder, Unknown):
        return folder
    match host.ask(f"disk:{folder}"):
        case Value({"total_bytes": int(total), "free_bytes": int(free)}):
            return Storage(folder, total, free)
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
    return Unknown(f"{folder} is not on this machine")


def _folder(host: Host) -> str | Unknown:
    match host.ask("docker:info"):
        case Value({"OperatingSystem": "Docker Desktop"}):
            return Unknown("Docker Desktop keeps its images in a virtual machine")
        case Value({"DockerRootDir": str(root)} as info):
            # A rootless daemon starts a containerd of its own, under its own root.
            rootless = "name=rootless" in str(info.get("SecurityOptions"))
            return CONTAINERD if "io.containerd.snapshotter" in str(info.get("DriverStatus")) and not rootless else root
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
    return Unknown("no engine says where it keeps its images")
