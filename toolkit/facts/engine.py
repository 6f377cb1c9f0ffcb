"""The container engine and the GPUs that it can hand over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from toolkit.host import Host
from toolkit.model import Absent, EngineFault, Failed, NotAsked, Unknown, Value

KIND = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Engine:
    """The container engine and what it can hand over."""

    fault: EngineFault | None = None
    fault_text: str = ""
    version: str = ""
    runtimes: tuple[str, ...] = ()
    cdi_devices: tuple[str, ...] = ()  # device names of kind nvidia.com/gpu, in folders that the daemon reads
    cdi_enabled: bool = False
    rootless: bool = False
    snap: bool = False
    security: tuple[str, ...] = ()


def state(host: Host) -> Engine | Unknown:
    """Return the engine's state.

    Samples: {"fault": "down", "text": "the Docker engine does not answer …"} or {"ServerVersion": "26.1.5",
    "Runtimes": ["nvidia", "runc"], "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"], "SecurityOptions": ["name=rootless"]}.
    """
    match host.ask("docker:info"):
        case Value({"fault": str(fault), "text": str(text)}):
            return Engine(fault=fault, fault_text=text)  # type: ignore[arg-type]
        case Value({"ServerVersion": str(version)} as info):
            folders = [str(folder) for folder in info.get("CDISpecDirs") or []]
            security = tuple(str(option) for option in info.get("SecurityOptions") or [])
            return Engine(
                version=version,
                runtimes=tuple(sorted(str(name) for name in info.get("Runtimes") or [])),
                cdi_devices=tuple(device for folder in folders for device in _devices(host, folder)),
                cdi_enabled=bool(folders),
                rootless=any("rootless" in option for option in security),
                snap=str(info.get("DockerRootDir", "")).startswith("/var/snap/"),
                security=security,
            )
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case Absent():
            return Engine(fault="not-installed", fault_text="no container engine")
    return Unknown("the engine's description is not understood")


def toolkit_installed(host: Host) -> bool | Unknown:
    """Return whether the NVIDIA Container Toolkit's programs are on the host."""
    answers = [host.ask(f"access:/usr/bin/{name}") for name in ("nvidia-ctk", "nvidia-container-runtime")]
    if any(isinstance(answer, Value) for answer in answers):
        return True
    return False if all(isinstance(answer, Absent) for answer in answers) else Unknown("/usr/bin cannot be read")


def _devices(host: Host, folder: str) -> list[str]:
    """Return the device names of NVIDIA's kind in a folder of CDI specs (YAML or JSON). Source: CDI SPEC.md."""
    devices = []
    for name in host.names(f"list:{folder}"):
        if not name.endswith((".yaml", ".yml", ".json")):
            continue
        try:
            spec: Any = yaml.safe_load(host.text(f"file:{folder}/{name}") or "")
        except yaml.YAMLError:
            continue
        if isinstance(spec, dict) and spec.get("kind") == KIND:
            devices += [str(device["name"]) for device in spec.get("devices") or [] if "name" in device]
    return devices
