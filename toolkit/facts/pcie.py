"""The PCIe links of the GPUs: what they are, and what card and slot can."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.facts import pci
from toolkit.host import Host
from toolkit.model import Unknown

MAX_WIDTH = 32  # lanes; a sleeping card reads 63 or 255. Source: PCIe specification, Negotiated Link Width


@dataclass(frozen=True, slots=True)
class Link:
    """One GPU's link; None where it cannot be read. `port_…` are the upstream port's, that is the slot's."""

    address: str
    device_id: str
    width: int | None
    card_width: int | None
    port_width: int | None
    speed_gts: float | None
    card_speed_gts: float | None
    port_speed_gts: float | None


def links(host: Host) -> tuple[Link, ...] | Unknown:
    """Return the links of the GPUs that NVIDIA's driver has and that are awake.

    Samples: current_link_width '8', max_link_width '16', current_link_speed '2.5 GT/s PCIe', the port's by
    /sys/bus/pci/devices/0000:07:00.0/../max_link_width. Source: Linux, drivers/pci/pci-sysfs.c.
    """
    gpus = pci.gpus(host)
    if isinstance(gpus, Unknown):
        return gpus
    awake = [gpu for gpu in gpus if gpu.driver == "nvidia" and gpu.config_readable]
    return tuple(_link(host, gpu) for gpu in awake if _status(host, gpu) != "suspended")


def address(text: str) -> str:
    """Return a PCI address as sysfs writes it: 0000:0f:00.0 for NVML's 00000000:0F:00.0 and for an Xid's PCI:0000:0f:00.

    A text that is no address comes back as it is.
    """
    parts = re.fullmatch(
        r"(?:PCI:)?(?:([0-9a-f]+):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.([0-7]))?", text.lower().strip(), re.I
    )
    if parts is None:
        return text
    return f"{int(parts[1] or '0', 16):04x}:{parts[2]}:{parts[3]}.{parts[4] or '0'}"


def _status(host: Host, gpu: pci.PciGpu) -> str | None:
    return host.text(f"file:{pci.DEVICES}/{gpu.address}/power/runtime_status")


def _link(host: Host, gpu: pci.PciGpu) -> Link:
    card = f"file:{pci.DEVICES}/{gpu.address}"
    return Link(
        address=gpu.address,
        device_id=gpu.device_id,
        width=_width(host, f"{card}/current_link_width"),
        card_width=_width(host, f"{card}/max_link_width"),
        port_width=_width(host, f"{card}/../max_link_width"),
        speed_gts=_speed(host, f"{card}/current_link_speed"),
        card_speed_gts=_speed(host, f"{card}/max_link_speed"),
        port_speed_gts=_speed(host, f"{card}/../max_link_speed"),
    )


def _width(host: Host, key: str) -> int | None:
    text = host.text(key) or ""
    return int(text) if re.fullmatch(r"\d{1,3}", text, re.A) and 0 < int(text) <= MAX_WIDTH else None


def _speed(host: Host, key: str) -> float | None:
    found = re.match(r"(\d{1,3}(?:\.\d)?) GT/s", host.text(key) or "", re.A)
    return float(found[1]) if found else None
