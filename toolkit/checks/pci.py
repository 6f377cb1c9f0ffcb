"""Rung pci: is there an NVIDIA GPU on the bus, and is it the host's to use?"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.checks.beside import granted, left_alone
from toolkit.facts import Facts, pci, platform
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, NotApplicableError, Sentence

BUS = "/sys/bus/pci/devices"
ADVICE = json.loads(Path(__file__).with_name("hypervisors.json").read_text(encoding="utf-8"))
JETSON_GUIDE = "https://docs.nvidia.com/deeplearning/frameworks/install-tf-jetson-platform/"
ON_CPU = Sentence("Meanwhile kit works on the CPU: kit run workload")


def gpus(facts: Facts) -> int:
    """Return the NVIDIA display and 3D controllers on the bus that this machine may use: without those that cannot be
    driven beside the others, and in a container those that it was granted.
    """
    usable = sum(gpu.config_readable and gpu.driver != "vfio-pci" for gpu in _on_bus(facts))
    return min(usable - len(left_alone(facts)), granted(facts) or usable)


def _on_bus(facts: Facts) -> tuple[pci.PciGpu, ...]:
    machine = facts.maybe(platform.machine)
    if machine and machine.wsl:
        raise NotApplicableError("WSL gets its GPUs from Windows by /dev/dxg, not by the bus")
    if machine and machine.system == "windows":
        raise NotApplicableError("Windows keeps its bus to itself; kit counts from NVML on")
    return () if machine and machine.system == "darwin" else facts(pci.gpus)


def detail(facts: Facts) -> str:
    found, inside = _on_bus(facts), granted(facts)
    listed = ", ".join(f"{gpu.address} [10de:{gpu.device_id}]" for gpu in found)
    part = f"; this container was granted {inside} of {len(found)}" if inside else ""
    return listed + part if listed else "no controller of NVIDIA (10de) on the bus"


def jetson_unsupported(facts: Facts) -> Finding | None:
    """The machine is no Jetson, whose GPU has a driver and CUDA of its own"""
    machine = facts(platform.machine)
    if machine.jetson is None:
        return None
    return finding(
        "jetson-unsupported",
        f"This machine ({machine.jetson}) is a Jetson: its GPU is part of the Tegra chip, with the driver, CUDA and TensorFlow of JetPack "
        "alone; the official TensorFlow and kit's images have no code for it.",
        [
            Sentence(f"Use NVIDIA's TensorFlow for this JetPack: {JETSON_GUIDE}"),
            Sentence("For kit use a machine with a PCI Express GPU of NVIDIA and an x86-64 CPU"),
        ],
        [Evidence("/proc/device-tree/model", machine.jetson), Evidence("/proc/sys/kernel/osrelease", machine.kernel)],
    )


def macos_unsupported(facts: Facts) -> Finding | None:
    """The machine is no Mac, for which there is no CUDA"""
    machine = facts(platform.machine)
    if machine.system != "darwin":
        return None
    return finding(
        "macos-unsupported",
        "This is macOS: NVIDIA has made no driver and no CUDA for it since 10.13, so no NVIDIA GPU can be used here.",
        [
            Sentence("For GPUs use a Linux machine, or Windows with WSL2"),
            Sentence("On this Mac kit works on the CPU: kit run workload --device cpu"),
        ],
        [Evidence("platform.system()", f"Darwin, {machine.architecture or 'architecture unknown'}")],
    )


def no_nvidia_gpu(facts: Facts) -> Finding | None:
    """An NVIDIA GPU is on the PCI bus"""
    machine = facts.maybe(platform.machine)
    if _on_bus(facts) or (machine and (machine.jetson or machine.system == "darwin")):
        return None
    evidence = [Evidence(BUS, "no device with vendor 0x10de and class 0x03xxxx")]
    hypervisor = machine.hypervisor if machine else None
    if hypervisor is None:
        reseat = Sentence(
            "Switch the machine off, reseat the card and its power cables, and look for it in the BIOS setup"
        )
        return finding("no-nvidia-gpu", "No NVIDIA card answers on this machine's PCI bus.", [reseat, ON_CPU], evidence)
    kind = "a virtual machine" if hypervisor == "unnamed" else f"a virtual machine ({hypervisor})"
    evidence.append(Evidence("/proc/cpuinfo, /sys/class/dmi/id", f"this is {kind}"))
    advice = [
        Sentence(
            "If its host has a GPU: pass it through to this machine (PCI passthrough or vGPU), then start it again"
        ),
        Sentence("If it is a cloud machine: choose a type with a GPU"),
    ]
    if hypervisor in ADVICE:
        advice = [Sentence(ADVICE[hypervisor]["advice"])]
    cause = f"This is {kind}, and no NVIDIA card is passed through to it."
    return finding("no-nvidia-gpu", cause, [*advice, ON_CPU], evidence)


def gpu_fell_off_bus(facts: Facts) -> Finding | None:
    """Every GPU on the bus answers"""
    lost = [gpu.address for gpu in _on_bus(facts) if not gpu.config_readable]
    if not lost:
        return None
    return finding(
        "gpu-fell-off-bus",
        f"{', '.join(lost)} no longer answers: its config space reads all ones.",
        [
            Sentence("Switch the machine off and on again (a warm reboot may not do)"),
            Sentence("If it comes back: check power supply, cables, seating and heat, then the BIOS version"),
        ],
        [Evidence(f"{BUS}/{address}/config", "ffffffff") for address in lost],
    )


def gpu_bound_to_vfio(facts: Facts) -> Finding | None:
    """No GPU is set aside for a virtual machine"""
    bound = [gpu.address for gpu in _on_bus(facts) if gpu.driver == "vfio-pci"]
    if not bound or len(bound) < len(_on_bus(facts)):
        return None
    return finding(
        "gpu-bound-to-vfio",
        f"{', '.join(bound)} is bound to vfio-pci, so that only virtual machines can use it.",
        [
            Command("grep -rn vfio /etc/modprobe.d /etc/default/grub"),
            Sentence("Remove the card's ids from these lines, rebuild the initramfs, reboot"),
        ],
        [Evidence(f"{BUS}/{address}/driver", "vfio-pci") for address in bound],
    )
