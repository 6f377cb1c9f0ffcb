"""How each GPU is, as NVML reads it: heat, fans, clocks, memory errors, modes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from toolkit.facts import driver, pci
from toolkit.facts.pcie import address
from toolkit.host import Host
from toolkit.model import Absent, NotAsked, Unknown, Value

LOST = ("NVML_ERROR_GPU_IS_LOST", "NVML_ERROR_RESET_REQUIRED")
PERSISTENCED = "file:/run/nvidia-persistenced/nvidia-persistenced.pid"


@dataclass(frozen=True, slots=True)
class GpuHealth:
    """The readings of one GPU; None where the card or the driver has no such reading, and `errors` where it failed."""

    index: int
    name: str
    address: str
    memory_bytes: int
    temperature_celsius: int | None = None
    slowdown_celsius: int | None = None
    shutdown_celsius: int | None = None
    fan_percent: int | None = None
    power_milliwatts: int | None = None
    power_limit_milliwatts: int | None = None
    utilization_percent: int | None = None
    performance_state: int | None = None
    clocks_event_reasons: int | None = None  # a bit mask
    persistence_mode: int | None = None
    compute_mode: int | None = None  # 0 default, 2 prohibited, 3 exclusive process
    mig_mode: int | None = None
    mig_devices: int | None = None
    ecc_uncorrected: int | None = None  # since the driver was loaded or the GPU was reset
    ecc_uncorrected_ever: int | None = None
    remapped_rows: int | None = None  # for uncorrectable errors
    remap_pending: int | None = None
    remap_failed: int | None = None
    retirement_pending: int | None = None  # pages, on cards before Ampere
    recovery_action: int | None = None  # 0: none is needed
    memory_used_bytes: int | None = None
    errors: tuple[tuple[str, str], ...] = ()  # reading -> NVML's name of why it failed

    @property
    def title(self) -> str:
        """GPU 0 (NVIDIA A100-SXM4-40GB, 0000:07:00.0)."""
        return f"GPU {self.index} ({self.name}, {self.address})"

    @property
    def memory_fault(self) -> bool:
        """Whether NVML counts memory errors that still need something done."""
        return bool(self.ecc_uncorrected or self.remap_pending or self.remap_failed or self.retirement_pending)

    @property
    def lost(self) -> str | None:
        """NVML's name of why nothing more can be read of this GPU, if so."""
        return next((text for _, text in self.errors if text in LOST), None)


READINGS = tuple(each.name for each in fields(GpuHealth) if each.type == "int | None")


def gpus(host: Host) -> tuple[GpuHealth, ...] | Unknown:
    """Return the readings of the GPUs that NVML opens.

    Sample, beside what driver.nvml reads of a GPU: "health": {"temperature_celsius": 33, "fan_percent": null,
    "clocks_event_reasons": 1, "ecc_uncorrected": 0, …, "errors": {"fan_percent": "NVML_ERROR_UNKNOWN"}}.
    """
    match host.ask("nvml"):
        case Value({"gpus": list(described)}):
            readings = [gpu for gpu in described if isinstance(gpu, dict) and isinstance(gpu.get("health"), dict)]
            if described and not readings:
                return Unknown("NVML was not asked how the GPUs are")
            return tuple(_health(gpu) for gpu in readings)
    known = driver.nvml(host)
    return known if isinstance(known, Unknown) else Unknown("NVML describes no GPU")


def persistence_daemon(host: Host) -> bool | Unknown:
    """Return whether nvidia-persistenced runs; sample of its file: '1432'."""
    match host.ask(PERSISTENCED):
        case Value():
            return True
        case Absent():
            return False
        case NotAsked(reason):
            return Unknown(reason)
    return Unknown("/run cannot be read")


def excluded(host: Host) -> tuple[str, ...] | Unknown:
    """Return the addresses of the cards that the driver was told to leave alone, asked only where NVML has fewer than the bus.

    Sample of /proc/driver/nvidia/gpus/0000:07:00.0/information: 'Model: \\t\\t NVIDIA A100 …\\nGPU Excluded:\\t No\\n'.
    """
    on_bus, nvml = pci.gpus(host), driver.nvml(host)
    if isinstance(on_bus, Unknown) or isinstance(nvml, Unknown):
        return Unknown("the bus or NVML is unknown")
    missing = {gpu.address for gpu in on_bus} - {address(gpu.pci_address) for gpu in nvml.gpus}
    texts = {each: host.text(f"file:/proc/driver/nvidia/gpus/{each}/information") or "" for each in sorted(missing)}
    return tuple(each for each, text in texts.items() if "GPU Excluded:\t Yes" in text)


def _health(gpu: dict[str, Any]) -> GpuHealth:
    health, errors = gpu["health"], gpu["health"].get("errors")
    return GpuHealth(
        index=int(gpu["index"]),
        name=str(gpu["name"]),
        address=address(str(gpu["pci_address"])),
        memory_bytes=int(gpu["memory_bytes"]),
        errors=tuple((str(name), str(text)) for name, text in errors.items()) if isinstance(errors, dict) else (),
        **{name: _number(health.get(name)) for name in READINGS},
    )


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and value >= 0 else None
