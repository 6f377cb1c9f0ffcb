"""Rung module on native Windows: NVIDIA's driver, the first of the five steps to TensorFlow 2.10."""

from __future__ import annotations

from toolkit.compat import driver_fit, family_driver
from toolkit.facts import Facts, driver, windows
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence

RUNG: RungName = "module"

DRIVERS = "https://www.nvidia.com/drivers"


def windows_driver(facts: Facts) -> Finding | None:
    """Windows has a working NVIDIA driver"""
    smi, nvml = facts(windows.driver), facts.maybe(driver.nvml)
    if smi.version or (nvml and nvml.gpus):
        return None
    evidence = [Evidence("nvidia-smi", smi.text or "no GPU")]
    if facts.maybe(windows.on_bus) is False:
        return finding(
            "no-nvidia-gpu",
            "Windows knows no PCI device of NVIDIA, now or earlier, and has no NVIDIA driver.",
            [
                Sentence("The Device Manager shows what graphics there is, under Display adapters"),
                Sentence("Without an NVIDIA GPU TensorFlow works on the CPU: pip install tensorflow-cpu"),
            ],
            [*evidence, Evidence(windows.ON_BUS, "no key with VEN_10DE")],
        )
    return finding(
        "driver-not-loaded",
        "Windows has no working NVIDIA driver, which every way to the GPU needs, WSL2 and Docker Desktop too.",
        [Sentence(f"Install the current driver for this card: {DRIVERS}"), Sentence("Restart Windows")],
        evidence,
    )


def windows_driver_version(facts: Facts) -> Finding | None:
    """The driver is new enough for the CUDA 11.2 of TensorFlow 2.10"""
    smi = facts(windows.driver)
    if smi.version is None or driver_fit(smi.version, windows.CUDA, windows=True) != "no":
        return None
    oldest = family_driver(windows.CUDA, windows=True)
    return finding(
        "driver-too-old-for-cuda",
        f"The driver {smi.version} is older than {oldest}, the oldest that runs CUDA 11, and too old for WSL2.",
        [Sentence(f"Install the current driver for this card: {DRIVERS}"), Sentence("Restart Windows")],
        [Evidence("nvidia-smi", smi.text)],
    )
