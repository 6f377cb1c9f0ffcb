"""Evidence from the kernel's log: the Xid messages of some GPUs, each kind once with how often it came."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from toolkit.facts import Facts, kernel_log
from toolkit.facts.kernel_log import Xid
from toolkit.model import Evidence

MOST = 5


def of(messages: Iterable[Xid]) -> list[Evidence]:
    """Return the messages as evidence, those of one number on one GPU as one, at most MOST."""
    groups: dict[tuple[str, int], list[Xid]] = {}
    for message in messages:
        groups.setdefault((message.address, message.number), []).append(message)
    found = []
    for (where, _), same in list(groups.items())[:MOST]:
        times = f", {len(same)} times" if len(same) > 1 else ""
        when = f", first {same[0].seconds:.0f} s after boot" if same[0].seconds is not None else ""
        found.append(Evidence(f"kernel log, {where}", f"{same[0].text}{times}{when}"))
    return found


def at(facts: Facts, addresses: Collection[str]) -> list[Evidence]:
    """Return the evidence of the messages on some GPUs, none where the log is unknown."""
    return of(message for message in facts.maybe(kernel_log.xids) or () if message.address in addresses)
