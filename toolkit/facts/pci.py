"""NVIDIA's display and 3D controllers on the PCI bus."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown

DEVICES = "/sys/bus/pci/devices"
NVIDIA = "0x10de"
DISPLAY = "0x03"  # class 03xx: VGA, 3D and display controllers


@dataclass(frozen=True, slots=True)
class PciGpu:
    """One NVIDIA display or 3D controller on the bus."""

    address: str
    device_id: str
    driver: str | None
    config_readable: bool  # False: config space reads all ones, the card no longer answers


def gpus(host: Host) -> tuple[PciGpu, ...] | Unknown:
    """Return the NVIDIA GPUs on the bus, in the order of their addresses.

    Samples: vendor '0x10de', class '0x030200', device '0x20b0', driver link 'nvidia', config 'de10b020…' (64 bytes).
    """
    match host.ask(f"list:{DEVICES}"):
        case NotAsked(reason) | Failed(reason):
            return Unknown(f"the PCI bus cannot be read: {reason}")
        case Absent():  # no PCI at all, as in small virtual machines
            return ()
    found = []
    for address in host.names(f"list:{DEVICES}"):
        place = f"{DEVICES}/{address}"
        if host.text(f"file:{place}/vendor") != NVIDIA:
            continue
        if not (host.text(f"file:{place}/class") or "").startswith(DISPLAY):
            continue
        config = host.text(f"hex:{place}/config")
        found.append(
            PciGpu(
                address=address,
                device_id=(host.text(f"file:{place}/device") or "").removeprefix("0x"),
                driver=host.text(f"link:{place}/driver"),
                config_readable=not (config or "").startswith("ffffffff"),
            )
        )
    return tuple(found)
