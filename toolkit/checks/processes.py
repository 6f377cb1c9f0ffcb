"""Checks of the rung nvml: who holds the GPUs' memory?"""

from __future__ import annotations

from toolkit.facts import Facts, health, platform, processes
from toolkit.facts.health import GpuHealth
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step

RUNG: RungName = "nvml"

MOST = 0.8  # of a card's memory: TensorFlow takes nearly all that is free, and starts badly on the rest


def gpu_memory_held(facts: Facts) -> list[Finding]:
    """Most of every GPU's memory is free, or at work"""
    running = facts(processes.by_gpu)
    full = [gpu for gpu in facts(health.gpus) if running.get(gpu.index) and _used(gpu) >= MOST]
    busy = [gpu for gpu in full if gpu.utilization_percent]
    idle = [gpu for gpu in full if gpu not in busy]
    free = [gpu.index for gpu in facts(health.gpus) if _used(gpu) < MOST]
    meanwhile: list[Step] = [Sentence(f"Meanwhile take a free GPU: kit run --gpus {free[0]}")] if free else []
    found = []
    if idle:
        end = Sentence("If it is yours and no longer needed, end it; else wait for it, or ask its user")
        cause = f"{_held(idle, running)}. A new program there soon runs out of memory."
        found.append(finding("gpu-memory-held", cause, [end, *meanwhile], _holding(idle, running), "warning"))
    if busy:
        wait = Sentence("Wait until it is done")
        cause = f"{_held(busy, running)}, and it computes. A new program there soon runs out of memory."
        found.append(finding("gpu-memory-held", cause, [wait, *meanwhile], _holding(busy, running), "info"))
    return found


def gpu_memory_orphaned(facts: Facts) -> Finding | None:
    """NVML knows who holds each GPU's memory"""
    machine = facts.maybe(platform.machine)
    gpus = facts(processes.unaccounted)
    if not gpus or (machine and machine.wsl):  # WSL2's NVML knows no processes
        return None
    evidence = [Evidence(f"NVML, GPU {gpu.index}", f"{_share(gpu)}, no process") for gpu in gpus]
    used = "; ".join(f"{gpu.title}: {_share(gpu)}" for gpu in gpus)
    holders = facts.maybe(processes.holders)
    steps: list[Step]
    if holders and holders.found:
        named = [each.title for each in holders.found]
        cause = f"{used}, and NVML names no process; these have its device files open: {'; '.join(named)}."
        pids = " ".join(str(each.pid) for each in holders.found)
        steps = [Sentence(f"Ask their users, or end what was left behind: kill {pids} (as root, -9 if it stays)")]
        evidence += [Evidence(f"/proc/{each.pid}/fd", f"/dev/nvidia-uvm: {each.title}") for each in holders.found]
    elif holders is None or holders.partial:
        cause = f"{used}, and NVML names no process: whoever holds it is another user's or another container's."
        steps = [Sentence("Look as root who it is: sudo kit doctor")]
    else:
        cause = f"{used}, and no process has its device files open: the driver did not free what a dead program held."
        steps = [Sentence("Reset the GPU (nvidia-smi --gpu-reset as root, no program on it) or reboot")]
    return finding("gpu-memory-orphaned", cause, steps, evidence, "warning")


def _held(gpus: list[GpuHealth], running: dict[int, tuple[processes.Process, ...]]) -> str:
    return "; ".join(f"{gpu.title}: {_share(gpu)}, most of it by {running[gpu.index][0].title}" for gpu in gpus)


def _holding(gpus: list[GpuHealth], running: dict[int, tuple[processes.Process, ...]]) -> list[Evidence]:
    return [
        Evidence(f"NVML, GPU {gpu.index}", f"{_mib(each.memory_bytes)}, the GPU {_activity(gpu)}: {each.title}")
        for gpu in gpus
        for each in running[gpu.index][:4]
    ]


def _activity(gpu: GpuHealth) -> str:
    return f"{gpu.utilization_percent} % busy" if gpu.utilization_percent is not None else "of unknown activity"


def _used(gpu: GpuHealth) -> float:
    return (gpu.memory_used_bytes or 0) / max(gpu.memory_bytes, 1)


def _share(gpu: GpuHealth) -> str:
    return f"{_mib(gpu.memory_used_bytes)} of {_mib(gpu.memory_bytes)} are used"


def _mib(size_bytes: int | None) -> str:
    return "an unknown amount" if size_bytes is None else f"{size_bytes >> 20} MiB"
