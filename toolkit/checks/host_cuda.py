"""Checks of the CUDA driver on the host: where it fails there already, no container is to blame."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.checks.driver_fixes import fix
from toolkit.checks.steps import install_driver
from toolkit.facts import Facts, driver
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName

RUNG: RungName = "nvml"

ERRORS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("cuda_errors.json").read_text(encoding="utf-8"))
# NVML has the GPUs and CUDA none: by MIG, compute mode or a limit of the card, which have findings of their own.
OTHERS_TELL = ("CUDA_ERROR_NO_DEVICE", "probe:")


def cuda_starts_on_host(facts: Facts) -> Finding | None:
    """The CUDA driver starts on the host"""
    _, error = facts(driver.cuda)
    if error is None or error.startswith(OTHERS_TELL):
        return None
    evidence = [Evidence("cuInit on the host", error), Evidence("NVML", f"{len(facts(driver.nvml).gpus)} GPU(s)")]
    if error.startswith("libcuda.so.1:"):
        cause = "NVML is there and libcuda.so.1 is not: the compute half of the driver is not installed."
        return finding("driver-library-missing", cause, install_driver(facts), evidence)
    row = ERRORS.get(error.split(" ")[0], ERRORS["CUDA_ERROR_UNKNOWN"])
    return finding(row["fault"], f"{row['cause']} It is so on the host already.", fix(facts, row["fault"]), evidence)
