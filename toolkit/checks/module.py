"""Rung module: is NVIDIA's kernel module loaded, and does it drive every card?"""

from __future__ import annotations

from toolkit.checks.steps import as_root, install_driver
from toolkit.facts import Facts, driver, pci, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, NotApplicableError, Sentence

GPUS = "/proc/driver/nvidia/gpus"


def gpus(facts: Facts) -> int:
    """Return the GPUs that the module has in /proc/driver/nvidia/gpus."""
    return _module(facts).gpus


def _module(facts: Facts) -> driver.Module:
    machine = facts.maybe(platform.machine)
    if machine and machine.wsl:
        raise NotApplicableError("WSL2 has no NVIDIA kernel module: the driver is Windows'")
    return facts(driver.module)


def detail(facts: Facts) -> str:
    module = _module(facts)
    return f"nvidia {module.version or '?'} ({module.flavour})" if module.loaded else "the nvidia module is not loaded"


def nouveau_active(facts: Facts) -> Finding | None:
    """The nouveau driver does not own a card"""
    bound = [gpu.address for gpu in facts(pci.gpus) if gpu.driver == "nouveau"]
    if not bound:
        return None
    return finding(
        "nouveau-active",
        f"{', '.join(bound)} is driven by nouveau, which cannot run CUDA, and NVIDIA's module cannot take it.",
        [
            as_root(
                facts,
                "sh -c 'printf \"blacklist nouveau\\noptions nouveau modeset=0\\n\" >/etc/modprobe.d/blacklist-nouveau.conf'",
            ),
            *install_driver(facts),
        ],
        [Evidence(f"/sys/bus/pci/devices/{address}/driver", "nouveau") for address in bound],
    )


def driver_not_loaded(facts: Facts) -> Finding | None:
    """NVIDIA's kernel module is loaded"""
    if _module(facts).loaded or any(gpu.driver == "nouveau" for gpu in facts(pci.gpus)):
        return None
    return finding(
        "driver-not-loaded",
        "The card is on the bus and no nvidia module is loaded: the driver is not installed, or not for this kernel.",
        [
            as_root(facts, "modprobe nvidia"),
            Sentence("If there is no such module, install the driver:"),
            *install_driver(facts),
        ],
        [Evidence("/proc/modules", "no module nvidia"), Evidence("/proc/driver/nvidia/version", "absent")],
    )


def gpu_init_failed(facts: Facts) -> Finding | None:
    """The module drives every card on the bus"""
    module, on_bus = _module(facts), len(facts(pci.gpus))
    if not module.loaded or module.gpus >= on_bus:
        return None
    return finding(
        "gpu-init-failed",
        f"The nvidia module {module.version} drives {module.gpus} of {on_bus} cards.",
        [
            as_root(facts, "dmesg | grep -E 'NVRM|Xid'"),
            Sentence("The lines name the card and the reason: wrong module flavour, BIOS settings, power"),
        ],
        [Evidence(GPUS, f"{module.gpus} entries"), Evidence("/sys/bus/pci/devices", f"{on_bus} cards")],
    )
