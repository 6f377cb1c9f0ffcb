"""What a machine's facts say to the solver: its cards, its driver, its system."""

from __future__ import annotations

from dataclasses import replace

from toolkit.compat.products import Gpu, gpu
from toolkit.compat.solver import Os, Question
from toolkit.compat.tables import card
from toolkit.facts import Facts, driver, pci, platform, windows
from toolkit.model import KitError


def question(facts: Facts) -> Question:
    """Return the question that a machine puts; Python and NumPy stay open, since images bring their own.

    Raises KitError where TensorFlow has no wheels for its system, or the system is not known.
    """
    return Question(driver=_driver(facts), gpus=_gpus(facts), os=_system(facts))


def filled(given: Question, facts: Facts) -> Question:
    """Return what is given, and of a machine what is not."""
    said = {
        name: value
        for name in ("tensorflow", "driver", "gpus", "python", "numpy")
        if (value := getattr(given, name)) is not None
    }
    return replace(question(facts), **said)


def _system(facts: Facts) -> Os:
    machine = facts.maybe(platform.machine)
    if machine is None or machine.system == "darwin":
        where = "macOS" if machine else "this system, which cannot be read,"
        raise KitError(f"kit knows no TensorFlow wheels for {where}: name another with --os")
    if machine.system == "windows":
        return "windows"
    if machine.wsl:
        return "wsl2"
    return "linux-aarch64" if machine.architecture in ("aarch64", "arm64") else "linux"


def _driver(facts: Facts) -> str | None:
    """Return the driver's version, empty where none works, None where that is not known."""
    nvml, module, smi = facts.maybe(driver.nvml), facts.maybe(driver.module), facts.maybe(windows.driver)
    versions = [nvml and nvml.driver_version, module and module.version, smi and smi.version]
    none_works = (nvml and nvml.error) or (module and not module.loaded) or smi
    return next((version for version in versions if version), "" if none_works else None)


def _gpus(facts: Facts) -> tuple[Gpu, ...] | None:
    """Return the cards that the driver has, or where it has none those on the bus; None where neither can be seen."""
    nvml, smi, bus = facts.maybe(driver.nvml), facts.maybe(windows.driver), facts.maybe(pci.gpus)
    machine = facts.maybe(platform.machine)
    if nvml and nvml.gpus:
        return tuple(Gpu(each.name, each.compute_capability) for each in nvml.gpus)
    if smi is not None:
        return tuple(map(gpu, smi.gpus)) or (() if facts.maybe(windows.on_bus) is False else None)
    if bus is None or (machine and machine.wsl):  # Windows keeps the bus to itself
        return None
    return tuple(_on_bus(each) for each in bus)


def _on_bus(each: pci.PciGpu) -> Gpu:
    known = card(each.device_id)
    return Gpu(known.product if known else f"10de:{each.device_id}", known.compute_capability if known else None)
