"""The processes that hold a GPU's memory or its device files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.facts import health
from toolkit.host import Host
from toolkit.model import Absent, NotAsked, Unknown, Value

MAX_PROCESSES = 16  # asked about one by one
# Memory that nobody accounts for is looked into from here on: less is the driver's own and a dying program's.
UNACCOUNTED_BYTES = 1 << 30
UNACCOUNTED_PART = 0.1


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a GPU; user, command and seconds are None where the kernel shows no such process (a container's)."""

    pid: int
    memory_bytes: int | None
    user: str | None = None
    command: str | None = None
    seconds: int | None = None

    @property
    def title(self) -> str:
        """python3 of alice, process 4242, for 3 h."""
        if self.command is None:
            return f"process {self.pid}, not to be seen from here"
        return f"{self.command} of {self.user or 'an unknown user'}, process {self.pid}, for {_age(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Holders:
    """Processes that have the CUDA driver's device files open, and whether some could not be looked into."""

    found: tuple[Process, ...]
    partial: bool


def by_gpu(host: Host) -> dict[int, tuple[Process, ...]] | Unknown:
    """Return the processes of each GPU's index, the largest first; GPUs that NVML does not tell of are left out.

    Samples: "processes": [{"pid": 4242, "memory_bytes": 39728447488}] within "health";
    process:4242 {"user": "alice", "command": "python3", "seconds": 11100}.
    """
    match host.ask("nvml"):
        case Value({"gpus": list(described)}):
            pass
        case NotAsked(reason):
            return Unknown(reason)
        case _:
            return Unknown("NVML describes no GPU")
    found: dict[int, tuple[Process, ...]] = {}
    for gpu in described:
        readings = gpu.get("health") or {}
        if isinstance(listed := readings.get("processes"), list):
            processes = [
                _described(host, int(each["pid"]), each.get("memory_bytes")) for each in listed[:MAX_PROCESSES]
            ]
            found[int(gpu["index"])] = tuple(sorted(processes, key=lambda each: -(each.memory_bytes or 0)))
    return found if found or not described else Unknown("NVML was not asked for processes")


def unaccounted(host: Host) -> tuple[health.GpuHealth, ...] | Unknown:
    """Return the GPUs of which memory is used and NVML names no process."""
    gpus, processes = health.gpus(host), by_gpu(host)
    if isinstance(gpus, Unknown):
        return gpus
    if isinstance(processes, Unknown):
        return processes
    return tuple(
        gpu
        for gpu in gpus
        if gpu.memory_used_bytes is not None
        and processes.get(gpu.index) == ()
        and not gpu.mig_mode
        and gpu.memory_used_bytes >= max(UNACCOUNTED_BYTES, UNACCOUNTED_PART * gpu.memory_bytes)
    )


def holders(host: Host) -> Holders | Unknown:
    """Return the processes with CUDA's device files open, searched for only where memory is unaccounted for.

    Sample: {"holders": [{"pid": 4242, "user": "alice", "command": "python3", "seconds": 86400,
    "files": ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]}], "unseen": 3, "stopped": false}.
    """
    gpus = unaccounted(host)
    if isinstance(gpus, Unknown):
        return gpus
    if not gpus:
        return Unknown("every GPU's memory is accounted for")
    match host.ask("holders:/dev/nvidia"):
        case Value({"holders": list(listed), "unseen": int(unseen), "stopped": bool(stopped)}):
            # Whoever runs CUDA has /dev/nvidia-uvm open; monitors, the persistence daemon and X have not.
            using = [each for each in listed if "/dev/nvidia-uvm" in each["files"]]
            return Holders(tuple(_process(each, None) for each in using), bool(unseen or stopped))
        case NotAsked(reason):
            return Unknown(reason)
        case Absent():
            return Unknown("there is no /proc")
    return Unknown("the search for holders is not understood")


def _described(host: Host, pid: int, memory_bytes: Any) -> Process:
    answer = host.ask(f"process:{pid}")
    known = answer.data if isinstance(answer, Value) and isinstance(answer.data, dict) else {}
    return _process({"pid": pid, **known}, memory_bytes if isinstance(memory_bytes, int) else None)


def _process(described: dict[str, Any], memory_bytes: int | None) -> Process:
    user, command, seconds = (described.get(name) for name in ("user", "command", "seconds"))
    return Process(
        pid=int(described["pid"]),
        memory_bytes=memory_bytes,
        user=user if isinstance(user, str) else None,
        command=command if isinstance(command, str) else None,
        seconds=seconds if isinstance(seconds, int) else None,
    )


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "an unknown time"
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} days"
