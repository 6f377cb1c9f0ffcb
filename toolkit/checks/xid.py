"""Checks of the rung nvml: what do the driver's Xid messages in the kernel's log say?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from toolkit.checks import log_evidence
from toolkit.checks.steps import as_root, reset_gpu
from toolkit.facts import Facts, container, driver, health, kernel_log, pci
from toolkit.facts.kernel_log import Xid
from toolkit.facts.pcie import address
from toolkit.faults import finding
from toolkit.model import Finding, RungName, Sentence, Severity, Step

RUNG: RungName = "nvml"

# number -> meaning, kind, action (NVIDIA's resolution bucket), source
XIDS = json.loads(Path(__file__).with_name("xids.json").read_text(encoding="utf-8"))
UNDOCUMENTED = {"meaning": "kit does not know this Xid: no catalog that it holds documents it", "kind": "undocumented"}

# Of the messages on one GPU the first of these kinds is the cause, and the rest mostly follow from it.
KINDS = ("bus", "power", "memory", "hardware", "link", "memory-note", "driver", "undocumented", "application")
FAULTS = {
    "bus": "gpu-fell-off-bus",
    "power": "gpu-power-cable-missing",
    "memory": "ecc-error",
    "memory-note": "ecc-error",
}
UNUSABLE = ("memory", "hardware", "link")  # until the GPU is reset
RESETS = ("RESET_GPU", "COLD_RESET")
CATALOG = "https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """The cause among one GPU's messages."""

    fault: str
    severity: Severity
    cause: Xid
    messages: tuple[Xid, ...]


def xid_messages(facts: Facts) -> list[Finding]:
    """The kernel's log of this boot holds no Xid message of the driver"""
    messages = facts(kernel_log.xids)
    troubles = [
        trouble
        for where in dict.fromkeys(message.address for message in messages)
        if (trouble := _trouble(facts, where, [each for each in messages if each.address == where]))
    ]
    return [
        _finding(facts, fault, [trouble for trouble in troubles if trouble.fault == fault])
        for fault in dict.fromkeys(trouble.fault for trouble in troubles)
    ]


def _trouble(facts: Facts, where: str, messages: list[Xid]) -> _Trouble | None:
    """Return what one GPU's messages come from, None where another check names it or there is nothing to name."""
    kinds = {message.number: _row(message)["kind"] for message in messages}
    worst = next((kind for kind in KINDS if kind in kinds.values()), None)
    if worst is None:
        return None
    cause = next(message for message in messages if kinds[message.number] == worst)
    fault = FAULTS.get(worst, "xid-error")
    nvml, on_bus = facts.maybe(driver.nvml), {gpu.address for gpu in facts.maybe(pci.gpus) or ()}
    gone = worst == "bus" and bool(on_bus) and where not in on_bus
    if not gone and (nvml is None or where not in {address(gpu.pci_address) for gpu in nvml.gpus}):
        return None  # NVML does not open it: its own checks name the fault, with these messages as evidence
    read = next((gpu for gpu in facts.maybe(health.gpus) or () if gpu.address == where), None)
    if read and (read.lost or (fault == "ecc-error" and read.memory_fault)):
        return None
    stands = worst in UNUSABLE and _row(cause).get("action") in RESETS and not _recovered(facts, messages, read)
    return _Trouble(fault, "error" if gone or stands else "warning", cause, tuple(messages))


def _recovered(facts: Facts, messages: list[Xid], read: health.GpuHealth | None) -> bool:
    """Return whether the GPU has been reset since: NVML or the log says so, or CUDA opens every GPU in a container."""
    if read and read.recovery_action is not None:
        return read.recovery_action == 0
    told = [message.text for message in messages if message.number == 154]
    if told:
        return told[-1].rstrip(". ").endswith("(None)")
    nvml, inside = facts.maybe(driver.nvml), facts.maybe(container.inside)
    return bool(nvml and inside and inside.cuda_gpus >= len(nvml.gpus) > 0)


def _finding(facts: Facts, fault: str, troubles: list[_Trouble]) -> Finding:
    worst = next((trouble for trouble in troubles if trouble.severity == "error"), troubles[0])
    row = _row(worst.cause)
    where = ", ".join(trouble.cause.address for trouble in troubles)
    cause = f"The driver reported Xid {worst.cause.number} of {where} since boot: {row['meaning']}."
    if row["kind"] == "application":
        who = f" ({worst.cause.process}, process {worst.cause.pid})" if worst.cause.process else ""
        cause += f" That is mostly a fault of the program that ran{who}; the GPU works."
    elif worst.severity == "error":
        cause += " Nothing shows that the card has recovered."
    else:
        cause += " The GPU answers now."
    messages = log_evidence.of(message for trouble in troubles for message in trouble.messages)
    return finding(fault, cause, _steps(facts, worst), messages, worst.severity)


def _steps(facts: Facts, trouble: _Trouble) -> list[Step]:
    row = _row(trouble.cause)
    gpus = [gpu.index for gpu in facts(driver.nvml).gpus if address(gpu.pci_address) == trouble.cause.address]
    look = Sentence(f"If it comes back, look Xid {trouble.cause.number} up: {CATALOG}")
    if row["kind"] == "application":
        return [
            Sentence("Run the program under compute-sanitizer (of the CUDA Toolkit) to find the faulting line"),
            look,
        ]
    if row["kind"] in ("bus", "power"):
        return [
            Sentence(
                "Switch the machine off and check the card's seating and power cables, the supply and the cooling"
            ),
            look,
        ]
    if trouble.severity == "error":
        return [*reset_gpu(facts, gpus), look]
    steps: dict[str, Step] = {
        "RESET_WHEN_CONVENIENT": Sentence("Reset the GPU or reboot when no program runs on it"),
        "RESTART_APP": Sentence("Start the program again"),
        "UPDATE_SWFW": Sentence("Update the driver and the firmware"),
        "CONTACT_SUPPORT": Sentence("Ask the maker of the card or the machine, with this message"),
        "RESTART_VM": Sentence("Restart the virtual machine"),
    }
    first = steps.get(str(row.get("action")))
    return [*([first] if first else []), as_root(facts, "dmesg | grep NVRM"), look]


def _row(message: Xid) -> dict[str, str]:
    row: dict[str, str] = XIDS.get(str(message.number), UNDOCUMENTED)
    return row
