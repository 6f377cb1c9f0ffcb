"""Rung module: is NVIDIA's kernel module loaded, and does it drive every card?"""

from __future__ import annotations

from toolkit.checks.beside import granted
from toolkit.checks.steps import as_root, install_driver, rebuild_initramfs
from toolkit.facts import Facts, driver, kernel, pci, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, NotApplicableError, Step


def gpus(facts: Facts) -> int:
    """Return the GPUs that the module has in /proc/driver/nvidia/gpus, in a container those that it was granted."""
    count = _module(facts).gpus
    return min(count, granted(facts) or count)


def _module(facts: Facts) -> driver.Module:
    machine = facts.maybe(platform.machine)
    if machine and machine.wsl:
        raise NotApplicableError("WSL2 has no NVIDIA kernel module: the driver is Windows'")
    if machine and machine.system != "linux":
        raise NotApplicableError("only Linux has the driver as a kernel module of its own")
    return facts(driver.module)


def detail(facts: Facts) -> str:
    module = _module(facts)
    return f"nvidia {module.version or '?'} ({module.flavour})" if module.loaded else "the nvidia module is not loaded"


def nouveau_active(facts: Facts) -> Finding | None:
    """The nouveau driver does not own a card"""
    bound = [gpu.address for gpu in facts(pci.gpus) if gpu.driver == "nouveau"]
    if not bound:
        return None
    listed = facts.maybe(kernel.blacklist)
    evidence = [Evidence(f"/sys/bus/pci/devices/{address}/driver", "nouveau") for address in bound]
    cause = f"{', '.join(bound)} is driven by nouveau, which cannot run CUDA, and NVIDIA's module cannot take it."
    on_disk = facts.maybe(kernel.installed)
    missing = on_disk is None or on_disk.running.file is None
    driver_steps = install_driver(facts) if missing else [as_root(facts, "reboot")]
    steps: list[Step] = [rebuild_initramfs(facts), *driver_steps]
    if listed and listed.nouveau:
        cause += (
            " It is blacklisted already, which takes effect once the initramfs is rebuilt and the machine rebooted."
        )
        return finding("nouveau-active", cause, steps, [*evidence, Evidence("modprobe.d", "; ".join(listed.nouveau))])
    blacklist = (
        "sh -c 'printf \"blacklist nouveau\\noptions nouveau modeset=0\\n\" >/etc/modprobe.d/blacklist-nouveau.conf'"
    )
    return finding("nouveau-active", cause, [as_root(facts, blacklist), *steps], evidence)
