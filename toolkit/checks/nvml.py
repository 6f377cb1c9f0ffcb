"""Rung nvml: does the user-space driver talk to the module?"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.checks.steps import as_root, install_driver
from toolkit.facts import Facts, driver
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, Step

ERRORS = json.loads(Path(__file__).with_name("nvml_errors.json").read_text(encoding="utf-8"))


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
    nvml = facts(driver.nvml)
    if nvml.error is None:
        return None
    row = ERRORS.get(nvml.error.split(":")[0], ERRORS["NVML_ERROR_UNKNOWN"])
    fix: dict[str, list[Step]] = {
        "driver-library-mismatch": [as_root(facts, "reboot")],
        "driver-library-missing": install_driver(facts),
        "driver-not-loaded": [as_root(facts, "modprobe nvidia")],
        "gpu-device-access-denied": [as_root(facts, "chmod 0666 /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia[0-9]*")],
    }
    steps = fix.get(row["fault"], [as_root(facts, "dmesg | grep -E 'NVRM|Xid'")])
    return finding(row["fault"], row["cause"], steps, [Evidence("NVML", nvml.error)])
