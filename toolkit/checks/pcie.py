"""Checks of the rung pci: are the links as wide and fast as card and slot can, and the cards of one kind?"""

from __future__ import annotations

from toolkit.facts import Facts, health, pci, pcie, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence

RUNG: RungName = "pci"

BUSY_PERCENT = 50  # below this a slow link is the power saving of an idle card
RESEAT = Sentence(
    "Switch the machine off, clean and reseat the card and its riser, then compare the slot with the manual"
)


def pcie_link_narrow(facts: Facts) -> Finding | None:
    """Every PCIe link has all the lanes that card and slot have"""
    narrow = [link for link in facts(pcie.links) if _narrow(link)]
    if not narrow or _virtual(facts):
        return None
    return finding(
        "pcie-link-narrow",
        f"{', '.join(f'{link.address} runs on {link.width} of {_lanes(link)} lanes' for link in narrow)}: data get to"
        " the card that much slower, and lost lanes are a sign of a bad contact.",
        [
            RESEAT,
            Sentence("If the slot shares its lanes with another one, or the BIOS splits it, this is by design"),
        ],
        [
            Evidence(
                f"{pci.DEVICES}/{link.address}",
                f"current_link_width {link.width}, max_link_width {link.card_width}, the slot's {link.port_width or '?'}",
            )
            for link in narrow
        ],
        "warning",
    )


def pcie_link_slow(facts: Facts) -> Finding | None:
    """Every busy GPU's PCIe link is as fast as card and slot can"""
    slow = [link for link in facts(pcie.links) if _slow(link)]
    if not slow or _virtual(facts):
        return None
    busy = {
        gpu.address
        for gpu in facts(health.gpus)
        if (gpu.utilization_percent or 0) >= BUSY_PERCENT and gpu.performance_state == 0
    }
    slow = [link for link in slow if link.address in busy]
    if not slow:
        return None
    return finding(
        "pcie-link-slow",
        f"{', '.join(f'{link.address} runs at {link.speed_gts:g} of {_fastest(link):g} GT/s' for link in slow)} under"
        " load: the link was trained down, which a bad contact or a weak riser does.",
        [RESEAT, Sentence("In the BIOS setup set the slot's link speed to Auto or its highest generation")],
        [
            Evidence(
                f"{pci.DEVICES}/{link.address}",
                f"current_link_speed {link.speed_gts:g} GT/s, max_link_speed {link.card_speed_gts:g} GT/s, the slot's"
                f" {f'{link.port_speed_gts:g} GT/s' if link.port_speed_gts else '?'}",
            )
            for link in slow
        ],
        "warning",
    )


def mixed_gpus(facts: Facts) -> Finding | None:
    """The GPUs are of one kind"""
    usable = [gpu for gpu in facts(pci.gpus) if gpu.driver == "nvidia" and gpu.config_readable]
    if len({gpu.device_id for gpu in usable}) < 2:
        return None
    names = {gpu.address: gpu.name for gpu in facts.maybe(health.gpus) or ()}
    listed = ", ".join(names.get(gpu.address, f"{gpu.address} [10de:{gpu.device_id}]") for gpu in usable)
    return finding(
        "mixed-gpus",
        f"These cards differ: {listed}. One program over all of them goes at the pace of the slowest, and CUDA's order"
        " of them (fastest first) is not the bus's.",
        [Sentence("Give a program cards of one kind, kit run --gpus 0 say, and set CUDA_DEVICE_ORDER=PCI_BUS_ID")],
        [Evidence(f"{pci.DEVICES}/{gpu.address}", f"10de:{gpu.device_id}") for gpu in usable],
        "info",
    )


def _lanes(link: pcie.Link) -> int:
    """Return the lanes that card and slot both have, 0 where that is unknown."""
    return min((width for width in (link.card_width, link.port_width) if width), default=0)


def _fastest(link: pcie.Link) -> float:
    return min((speed for speed in (link.card_speed_gts, link.port_speed_gts) if speed), default=0.0)


def _virtual(facts: Facts) -> bool:
    """Return whether this is a virtual machine, whose slots and links are made up."""
    machine = facts.maybe(platform.machine)
    return bool(machine and machine.hypervisor)


def _narrow(link: pcie.Link) -> bool:
    return link.width is not None and link.card_width is not None and link.width < _lanes(link)


def _slow(link: pcie.Link) -> bool:
    return link.speed_gts is not None and link.card_speed_gts is not None and link.speed_gts < _fastest(link)
