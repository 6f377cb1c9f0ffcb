"""Which cards on the bus are out of reach by no fault: not granted to this container, or not drivable beside the others."""

from __future__ import annotations

from toolkit import compat
from toolkit.facts import Facts, driver, kernel, pci, platform
from toolkit.versions import numbers


def granted(facts: Facts) -> int | None:
    """Return how many of the bus's cards the container that kit runs in was granted, by their nodes; None where it is
    no container, or was granted none or all.
    """
    nodes = facts.maybe(driver.nodes) if facts.maybe(platform.in_container) else None
    return len(nodes.gpus) if nodes and 0 < len(nodes.gpus) < len(facts.maybe(pci.gpus) or ()) else None


def driven(facts: Facts) -> list[pci.PciGpu]:
    """Return the cards that the loaded module drives."""
    module = facts.maybe(driver.module)
    taken = facts.maybe(kernel.driven) if module and module.loaded else None
    return [
        gpu
        for gpu in facts.maybe(pci.gpus) or ()
        if gpu.address.lower() in (taken or ()) and fits(facts, gpu) is not False
    ]


def fits(facts: Facts, gpu: pci.PciGpu) -> bool | None:
    """Return whether the loaded module is of a branch and a flavour that drive a card; None where that is not known."""
    card, module = compat.card(gpu.device_id), facts.maybe(driver.module)
    if card is None or module is None or module.version is None or module.flavour is None:
        return None
    return _serves(card.architecture, numbers(module.version)[0], module.flavour)


def may_switch(facts: Facts, branch: int, flavour: str) -> bool:
    """Return whether a switch to a branch and flavour takes the driver from no card that it drives, nor makes it older."""
    module = facts.maybe(driver.module)
    if not driven(facts):
        return True
    older = module is None or module.version is None or branch < numbers(module.version)[0]
    return not older and serves_driven(facts, branch, flavour)


def serves_driven(facts: Facts, branch: int, flavour: str) -> bool:
    """Return whether a branch and flavour drive every card that is driven now, as far as is known."""
    cards = [compat.card(gpu.device_id) for gpu in driven(facts)]
    return all(card is not None and _serves(card.architecture, branch, flavour) for card in cards)


def wanted(card: compat.Card, branch: int) -> tuple[int, str]:
    """Return the branch nearest to a given one, and the flavour, that drive a card."""
    first, last = card.architecture.first_branch or branch, card.architecture.last_branch or branch
    return (last if branch > last else max(branch, first)), card.architecture.modules[0]


def left_alone(facts: Facts) -> list[pci.PciGpu]:
    """Return the cards that the driver cannot drive, and for which it must not be switched, as others work with it."""
    module, working = facts.maybe(driver.module), driven(facts)
    if not working or module is None or module.version is None:
        return []
    branch = numbers(module.version)[0]
    return [
        gpu
        for gpu in facts.maybe(pci.gpus) or ()
        if gpu.config_readable
        and gpu.driver not in ("vfio-pci", "nouveau")
        and gpu not in working
        and _out_of_reach(facts, gpu, branch)
    ]


def _out_of_reach(facts: Facts, gpu: pci.PciGpu, branch: int) -> bool:
    card = compat.card(gpu.device_id)
    if card is None:  # the driver's own words tell of one that is left to an older branch
        return any(each.kind == "dropped" for each in facts.maybe(kernel.complaints) or ())
    return fits(facts, gpu) is False and not may_switch(facts, *wanted(card, branch))


def _serves(architecture: compat.Architecture, branch: int, flavour: str) -> bool:
    return compat.drives(architecture, branch) and flavour in architecture.modules
