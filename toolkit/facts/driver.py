"""The NVIDIA driver on the host: kernel module, device nodes, NVML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value

VERSION_FILE = "/proc/driver/nvidia/version"


@dataclass(frozen=True, slots=True)
class Module:
    """The nvidia kernel module, as the running kernel has it."""

    loaded: bool
    version: str | None
    flavour: Literal["open", "proprietary"] | None
    gpus: int


@dataclass(frozen=True, slots=True)
class Nodes:
    """NVIDIA's device nodes, and which of them this user may open."""

    gpus: tuple[str, ...]
    control: bool
    dxg: bool
    denied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NvmlGpu:
    """One GPU as NVML describes it."""

    index: int
    name: str
    uuid: str
    pci_address: str
    compute_capability: str
    memory_bytes: int | None  # None: it shares the system's


@dataclass(frozen=True, slots=True)
class Nvml:
    """What the user-space driver says; `error` is NVML's own name for why it says nothing."""

    error: str | None = None
    library_missing: bool = False
    driver_version: str | None = None
    cuda_version: str | None = None
    gpus: tuple[NvmlGpu, ...] = ()


def module(host: Host) -> Module | Unknown:
    """Return the state of the nvidia kernel module.

    Samples of /proc/driver/nvidia/version:
    'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\\nGCC version: …'
    'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (…)'
    """
    if isinstance(answer := host.ask("file:/proc/modules"), NotAsked | Failed):
        return Unknown("the list of kernel modules cannot be read")
    loaded = {line.split()[0] for line in str(answer.data).splitlines() if line} if isinstance(answer, Value) else set()
    text = host.text(f"file:{VERSION_FILE}")
    version = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text) if text else None
    return Module(
        loaded=text is not None or "nvidia" in loaded,
        version=version[1] if version else None,
        flavour=None if text is None else "open" if "Open Kernel Module" in text else "proprietary",
        gpus=len(host.names("list:/proc/driver/nvidia/gpus")),
    )


def nodes(host: Host) -> Nodes | Unknown:
    """Return NVIDIA's nodes in /dev: nvidia0, nvidia1, … one a GPU, nvidiactl, and dxg on WSL2."""
    names = host.ask("list:/dev")
    if not isinstance(names, Value):
        return Unknown("/dev cannot be listed")
    listed = host.names("list:/dev")
    gpus = tuple(sorted((name for name in listed if re.fullmatch(r"nvidia\d+", name)), key=lambda name: int(name[6:])))
    control = "nvidiactl" in listed
    wanted = [*gpus, *(["nvidiactl"] if control else []), *(["dxg"] if "dxg" in listed else [])]
    denied = tuple(name for name in wanted if host.text(f"access:/dev/{name}") == "denied")
    return Nodes(gpus=gpus, control=control, dxg="dxg" in listed, denied=denied)


def nvml(host: Host) -> Nvml | Unknown:
    """Return what NVML reports.

    Sample: {"driver_version": "550.54.15", "cuda_version": "12.4", "gpus": [{"index": 0, "name": "NVIDIA A100-SXM4-40GB",
    "uuid": "GPU-…", "pci_address": "00000000:07:00.0", "compute_capability": "8.0", "memory_bytes": 42949672960}]}
    or {"error": "NVML_ERROR_LIBRARY_NOT_FOUND"}.
    """
    match host.ask("nvml"):
        case Value({"error": str(error)}):
            return Nvml(error=error, library_missing=error == "NVML_ERROR_LIBRARY_NOT_FOUND")
        case Value({"driver_version": str(version), "cuda_version": str(cuda), "gpus": list(gpus)}):
            broken = next((str(gpu["error"]) for gpu in gpus if "error" in gpu), None)
            sound = tuple(_gpu(gpu) for gpu in gpus if "error" not in gpu)
            return Nvml(error=broken, driver_version=version, cuda_version=cuda, gpus=sound)
        case Failed(text):
            return Nvml(error=f"probe: {text}")
        case NotAsked(reason):
            return Unknown(reason)
        case Absent():
            return Unknown("NVML was not asked")
    return Unknown("the NVML answer is not understood")


def cuda(host: Host) -> tuple[int, str | None] | Unknown:
    """Return how many GPUs the CUDA driver API gives a process on the host, and its error where it gives none; asked only
    where NVML has GPUs. Sample: {"gpus": 2, "error": null}."""
    seen = nvml(host)
    if isinstance(seen, Unknown) or not seen.gpus:
        return Unknown("the driver has no GPU")
    match host.ask("cuda"):
        case Value({"gpus": int(count), "error": str() | None as error}):
            return count, error
        case Failed(text):
            return 0, f"probe: {text}"
    return Unknown("CUDA was not asked on the host")


def _gpu(told: dict[str, object]) -> NvmlGpu:
    texts = {name: str(told[name]) for name in ("name", "uuid", "pci_address", "compute_capability")}
    if not re.fullmatch(r"\d{1,2}\.\d", texts["compute_capability"]):
        raise ValueError(f"compute capability {texts['compute_capability'][:20]}")
    memory = told["memory_bytes"]
    return NvmlGpu(int(str(told["index"])), **texts, memory_bytes=None if memory is None else int(str(memory)))
