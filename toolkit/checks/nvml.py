"""Rung nvml: does the user-space driver talk to the module?"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.checks import log_evidence
from toolkit.checks.beside import granted
from toolkit.checks.driver_versions import MISMATCH
from toolkit.checks.steps import as_root, install_driver, reset_gpu
from toolkit.facts import Facts, driver, health, kernel_log, pci, platform
from toolkit.facts.pcie import address
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, Sentence, Step

ERRORS = json.loads(Path(__file__).with_name("nvml_errors.json").read_text(encoding="utf-8"))
POWER_OFF = Sentence("Switch the machine off and on again (a warm reboot may not do)")
CABLES = Sentence("If it comes back: check power supply, cables, seating and heat, then the BIOS version")
XID_LOST = 79  # source: xids.json


def gpus(facts: Facts) -> int:
    """Return the GPUs that NVML can open."""
    return len(facts(driver.nvml).gpus)


def detail(facts: Facts) -> str:
    nvml = facts(driver.nvml)
    if nvml.error:
        return nvml.error
    names = sorted({gpu.name for gpu in nvml.gpus})
    return f"driver {nvml.driver_version}, CUDA {nvml.cuda_version}: {', '.join(names)}"


def nvml_error(facts: Facts) -> Finding | None:
    """NVML starts and opens every GPU"""
    error = facts(driver.nvml).error or next((gpu.lost for gpu in facts.maybe(health.gpus) or () if gpu.lost), None)
    if error is None or error == MISMATCH:  # driver_library_mismatch tells the two versions
        return None
    row = ERRORS.get(error.split(":")[0], ERRORS["NVML_ERROR_UNKNOWN"])
    fix: dict[str, list[Step]] = {
        "driver-library-missing": install_driver(facts),
        "driver-not-loaded": [as_root(facts, "modprobe nvidia")],
        "gpu-device-access-denied": [as_root(facts, "chmod 0666 /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia[0-9]*")],
        "gpu-fell-off-bus": [POWER_OFF, CABLES],
        "gpu-power-cable-missing": [Sentence("Switch the machine off and attach every power cable of the card")],
        "gpu-reset-required": reset_gpu(facts, ()),
        "inforom-corrupted": [
            POWER_OFF,
            Sentence("If it stays: the maker of the card can write the infoROM anew, or replaces the card"),
        ],
        "host-out-of-memory": [Sentence("End programs that hold much memory, or add swap")],
        "nvml-error": [
            as_root(facts, "dmesg | grep -E 'NVRM|Xid'"),
            Sentence("Reboot; if it stays, install the driver again, of one version throughout"),
        ],
    }
    steps = fix.get(row["fault"], [as_root(facts, "dmesg | grep -E 'NVRM|Xid'")])
    evidence = [Evidence("NVML", error), *log_evidence.at(facts, _not_opened(facts))]
    return finding(row["fault"], row["cause"], steps, evidence)


def gpu_missing_from_nvml(facts: Facts) -> Finding | None:
    """NVML has every GPU that the driver has on the bus"""
    machine = facts.maybe(platform.machine)
    if facts(driver.nvml).error or (machine and machine.wsl):
        return None
    missing = _not_opened(facts)
    if not missing or len(facts(driver.nvml).gpus) >= (granted(facts) or len(facts(pci.gpus))):
        return None
    count, where = f"{len(facts(driver.nvml).gpus)} of {len(facts(pci.gpus))} GPUs", ", ".join(missing)
    evidence = [Evidence("NVML", count), *log_evidence.at(facts, missing)]
    if lost := {xid.address for xid in facts.maybe(kernel_log.xids) or () if xid.number == XID_LOST} & set(missing):
        cause = f"{', '.join(sorted(lost))} fell off the bus (Xid {XID_LOST}), and NVML has {count}."
        return finding("gpu-fell-off-bus", cause, [POWER_OFF, CABLES], evidence)
    if excluded := set(facts.maybe(health.excluded) or ()) & set(missing):
        cause = f"The driver was told to leave {', '.join(sorted(excluded))} alone, so that NVML has {count}."
        steps: list[Step] = [
            as_root(facts, "grep -rn NVreg_ExcludedGpus /etc/modprobe.d"),
            Sentence("Take the card's UUID out of that line, rebuild the initramfs, reboot"),
        ]
        return finding("gpu-missing-from-nvml", cause, steps, evidence)
    cause = f"NVML has {count}: {where} is on the bus, and NVML leaves it out."
    steps = [
        as_root(facts, "dmesg | grep -E 'NVRM|Xid'"),
        Sentence(
            "The lines name the reason. A GPU in drain state comes back by a reboot, as one that failed to start may"
        ),
    ]
    return finding("gpu-missing-from-nvml", cause, steps, evidence)


def _not_opened(facts: Facts) -> list[str]:
    """Return the addresses of the driver's cards on the bus that NVML does not open."""
    opened = {address(gpu.pci_address) for gpu in facts(driver.nvml).gpus}
    on_bus = [gpu for gpu in facts.maybe(pci.gpus) or () if gpu.driver == "nvidia" and gpu.config_readable]
    return [gpu.address for gpu in on_bus if gpu.address not in opened] if len(on_bus) > len(opened) else []
