"""NVIDIA's Xid messages in the kernel's log of this boot."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.facts import pci
from toolkit.facts.pcie import address
from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value

LOG = "kernel-log:NVRM: Xid"

# 'NVRM: Xid (PCI:0000:07:00): 13, pid=4242, name=python3, Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0): …',
# before driver 367 without PCI:, and pid='<unknown>' where the driver knows none.
# Source: https://docs.nvidia.com/deploy/xid-errors/working-with-xid-errors.html and logs in users' reports.
_XID = re.compile(r"NVRM: Xid \(([^)]+)\): (\d{1,4}),\s*(.*)", re.A)
_PROCESS = re.compile(r"pid='?(<unknown>|\d+)'?, name='?([^,']*)'?, ?", re.A)
_SECONDS = re.compile(r"^\[\s*(\d{1,12}\.\d{1,9})\]", re.A)


@dataclass(frozen=True, slots=True)
class Xid:
    """One Xid message."""

    number: int
    address: str  # as sysfs writes it
    pid: int | None
    process: str | None
    seconds: float | None  # since boot
    text: str  # as the driver wrote it, from the number on


def xids(host: Host) -> tuple[Xid, ...] | Unknown:
    """Return the Xid messages since boot, oldest first.

    Sample: '[  812.402311] NVRM: Xid (PCI:0000:07:00): 79, pid=2311, name=python3, GPU has fallen off the bus.'
    """
    if pci.gpus(host) == ():
        return Unknown("no NVIDIA card is on the bus, so that no driver here would write of one")
    match host.ask(LOG):
        case Value(str(text)):
            return tuple(found for line in text.splitlines() if (found := _xid(line)))
        case NotAsked(reason) | Failed(reason):
            return Unknown(f"the kernel's log cannot be read: {reason}")
        case Absent():
            return Unknown("this machine shows no kernel log")
    return Unknown("the kernel's log is not understood")


def _xid(line: str) -> Xid | None:
    message = _XID.search(line)
    if message is None:
        return None
    seconds, process = _SECONDS.match(line), _PROCESS.match(message[3])
    known = process is not None and process[1].isdigit()
    return Xid(
        number=int(message[2]),
        address=address(message[1]),
        pid=int(process[1]) if process and known else None,
        process=process[2] if process and known and process[2] else None,
        seconds=float(seconds[1]) if seconds else None,
        text=f"Xid {message[2]}: {message[3][process.end() :] if process else message[3]}"[:200],
    )
