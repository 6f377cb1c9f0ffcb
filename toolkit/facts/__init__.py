"""Pure parsers: the answers of a host to Facts. Nothing here touches a machine but through `host.ask`."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.facts.driver import module, nodes, nvml
from toolkit.facts.engine import engine, toolkit_installed
from toolkit.facts.inside import inside
from toolkit.facts.pci import pci
from toolkit.facts.platform import platform
from toolkit.host import Host
from toolkit.model import Facts, T, Unknown


def collect(host: Host) -> Facts:
    """Return all facts of a machine. What could not be read or understood is Unknown with the reason."""
    return Facts(
        platform=_sound(platform, host),
        pci=_sound(pci, host),
        module=_sound(module, host),
        nodes=_sound(nodes, host),
        nvml=_sound(nvml, host),
        engine=_sound(engine, host),
        toolkit_installed=_sound(toolkit_installed, host),
        inside=_sound(inside, host),
    )


def _sound(parse: Callable[[Host], T | Unknown], host: Host) -> T | Unknown:
    """Return a parser's fact; an answer of a shape that no machine gives (a damaged capture) is unknown, not a crash."""
    try:
        return parse(host)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return Unknown(f"the answer is not understood ({type(error).__name__}: {error})")
