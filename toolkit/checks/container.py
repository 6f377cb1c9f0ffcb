"""Rung container: does a container that asked for GPUs get them?"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.checks.steps import as_root, install_toolkit
from toolkit.facts import Facts, container, engine
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence

ERRORS = json.loads(Path(__file__).with_name("cuda_errors.json").read_text(encoding="utf-8"))
REGENERATE = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


def gpus(facts: Facts) -> int:
    """Return the GPUs that the CUDA driver API gives a container with all GPUs."""
    return facts(container.inside).cuda_gpus


def detail(facts: Facts) -> str:
    inside = facts(container.inside)
    return f"in {inside.image}: {inside.cuda_error or 'the CUDA driver starts'}"


def driver_libraries_in_container(facts: Facts) -> Finding | None:
    """The driver's libcuda.so.1 and libnvidia-ml.so.1 are in the container"""
    inside = facts(container.inside)
    libcuda = not (inside.cuda_error or "").startswith("libcuda.so.1:")
    if libcuda and inside.nvml_library:
        return None
    evidence = [
        Evidence("dlopen in the container", f"libcuda.so.1: {'loads' if libcuda else inside.cuda_error}"),
        Evidence("dlopen in the container", f"libnvidia-ml.so.1 {'loads' if inside.nvml_library else 'does not load'}"),
    ]
    if libcuda or inside.nvml_library:
        lacking = "compute" if inside.nvml_library else "utility"
        return finding(
            "driver-capabilities-missing",
            f"The container got only a part of the driver: the capability {lacking} is lacking.",
            [Sentence(f"Ask for both: NVIDIA_DRIVER_CAPABILITIES=compute,utility; with CDI: {REGENERATE}")],
            evidence,
        )
    if facts(engine.state).cdi_devices:
        cause = "The CDI spec hands the devices over without the driver's libraries: it is stale or incomplete."
        return finding("cdi-not-set-up", cause, [as_root(facts, REGENERATE)], evidence)
    cause = "The container was started with GPUs and got no driver library."
    return finding("nvidia-runtime-not-installed", cause, install_toolkit(facts), evidence)


def cuda_driver_error(facts: Facts) -> Finding | None:
    """The CUDA driver starts in the container"""
    inside = facts(container.inside)
    if inside.cuda_error is None or inside.cuda_error.startswith("libcuda.so.1:"):
        return None
    evidence = [Evidence("cuInit in the container", inside.cuda_error)]
    if inside.visible_devices is not None:
        cause = f"CUDA_VISIBLE_DEVICES is {inside.visible_devices!r} in the container."
        return finding("cuda-visible-devices-hides-gpu", cause, [Command("unset CUDA_VISIBLE_DEVICES")], evidence)
    row = ERRORS.get(inside.cuda_error.split(" ")[0], ERRORS["CUDA_ERROR_UNKNOWN"])
    return finding(row["fault"], row["cause"], [as_root(facts, "dmesg | grep -E 'NVRM|Xid'")], evidence)
