"""Rung nvml: the driver's two halves, kernel module and user-space library, are of one version."""

from __future__ import annotations

from toolkit.checks.steps import as_root
from toolkit.facts import Facts, driver, kernel
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step, UnknownFactError

RUNG: RungName = "nvml"
MISMATCH = "NVML_ERROR_LIB_RM_VERSION_MISMATCH"


def driver_library_mismatch(facts: Facts) -> Finding | None:
    """The kernel module and the driver's libraries have one version"""
    nvml, module, library = facts.maybe(driver.nvml), facts(driver.module), facts.maybe(kernel.library)
    differ = bool(module.version and library and module.version != library.version)
    if nvml is None and library is None:
        raise UnknownFactError("neither NVML nor its library's version is known")
    if not (nvml.error == MISMATCH if nvml else differ):
        return None
    evidence = [Evidence("NVML", MISMATCH)] if nvml else []
    cause = "The driver was updated, and the kernel module of the older version is still loaded"
    if module.version and library and differ:
        cause += f": the module is {module.version}, the libraries are {library.version}"
        evidence += [Evidence("/proc/driver/nvidia/version", module.version), Evidence(library.path, library.version)]
    steps: list[Step] = [
        as_root(facts, "reboot"),
        Sentence("Or, where no program uses the GPUs: stop them, unload the nvidia modules and load them again"),
    ]
    return finding("driver-library-mismatch", f"{cause}. No new program finds a GPU.", steps, evidence)
