"""Rung container: the host's driver is new enough for the CUDA that the image is built with."""

from __future__ import annotations

from toolkit import compat
from toolkit.checks.steps import install_driver
from toolkit.facts import Facts, container, driver, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step
from toolkit.versions import numbers

RUNG: RungName = "container"


def driver_too_old_for_cuda(facts: Facts) -> Finding | None:
    """The driver is new enough for the image's CUDA"""
    inside, nvml = facts(container.inside), facts(driver.nvml)
    cuda, version = inside.versions.get("cuda"), nvml.driver_version
    if not cuda or not version or inside.tensorflow_gpus:  # forward-compatibility libraries make older drivers do
        return None
    machine = facts.maybe(platform.machine)
    windows = bool(machine and (machine.wsl or machine.system == "windows"))  # there the driver is Windows'
    if compat.driver_fit(version, cuda, windows) != "no":
        return None
    oldest = compat.family_driver(cuda, windows)
    major = numbers(cuda)[0]
    update: list[Step] = (
        [Sentence(f"Install an NVIDIA driver of {oldest} or newer on Windows, then: wsl --shutdown")]
        if windows
        else [Sentence(f"Install a driver of {oldest} or newer:"), *install_driver(facts)]
    )
    return finding(
        "driver-too-old-for-cuda",
        f"The driver {version} (CUDA {nvml.cuda_version}) is too old for CUDA {cuda} in {inside.image}: "
        f"every CUDA {major}.x needs a driver of {oldest} or newer.",
        [
            *update,
            Sentence(f"Or use an image whose CUDA this driver runs: {str(nvml.cuda_version).split('.')[0]}.x or older"),
        ],
        [Evidence("NVML", f"driver {version}, CUDA {nvml.cuda_version}"), Evidence(inside.image, f"CUDA {cuda}")],
    )
