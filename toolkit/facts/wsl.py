"""Windows Subsystem for Linux: its version, the driver that Windows mounts into it, and what stands in that one's way."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from typing import Literal

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value

MOUNTED = "/usr/lib/wsl/lib"
STORE = "/usr/lib/wsl/drivers"
CONFIGURATION = "/etc/wsl.conf"
DOCKER_DESKTOP = "/mnt/c/Program Files/Docker/Docker/Docker Desktop.exe"
PACKAGES = (
    r"dpkg-query -W -f=${binary:Package}\t${Version}\t${db:Status-Abbrev}\n libnvidia-compute* nvidia-driver-* libcuda1"
)
SHADOWS = tuple(
    f"{folder}/{library}"
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64")
    for library in ("libcuda.so.1", "libnvidia-ml.so.1")
)


@dataclass(frozen=True, slots=True)
class Subsystem:
    """One distribution in WSL."""

    version: Literal[1, 2]
    distribution: str  # as wsl.exe names it
    mounted: tuple[str, ...]  # the names of the libraries that Windows mounts
    nvidia_in_windows: bool | None  # None: not told by this Windows
    switched_off: bool  # the GPU, in wsl.conf
    linux_driver: tuple[str, ...]  # libraries of a Linux driver in this distribution
    docker_desktop: bool  # on the Windows around it


def state(host: Host) -> Subsystem | Unknown:
    """Return the WSL that this is; unknown outside WSL.

    Samples of a kernel's release: '5.15.153.1-microsoft-standard-WSL2', and on WSL 1 '4.4.0-19041-Microsoft'.
    Samples of /usr/lib/wsl/lib: libcuda.so, libcuda.so.1, libcuda.so.1.1, libnvidia-ml.so.1, nvidia-smi, libdxcore.so; of
    /usr/lib/wsl/drivers: nv_dispi.inf_amd64_c4cd0ea1c5ac5ea3, iigd_dch.inf_amd64_6ad6a7cc4b5d9d9e.
    """
    kernel = host.text("file:/proc/sys/kernel/osrelease")
    if kernel is None:
        return Unknown("the kernel's release cannot be read")
    if "microsoft" not in kernel.lower():
        return Unknown("this is not WSL")
    if isinstance(mounted := host.ask(f"list:{MOUNTED}"), NotAsked | Failed):
        return Unknown(f"{MOUNTED} cannot be read: {getattr(mounted, 'reason', None) or getattr(mounted, 'text', '')}")
    store = host.ask(f"list:{STORE}")
    return Subsystem(
        version=1 if re.match(r"4\.4\.\d+-\d+-Microsoft", kernel) else 2,
        distribution=host.text("env:WSL_DISTRO_NAME") or "",
        mounted=tuple(host.names(f"list:{MOUNTED}")),
        nvidia_in_windows=any(name.startswith("nv") for name in store.data) if isinstance(store, Value) else None,
        switched_off=_switched_off(host.text(f"file:{CONFIGURATION}") or ""),
        linux_driver=tuple(path for path in SHADOWS if _belongs_to_a_driver(host, path)),
        docker_desktop="docker-desktop" in host.names("list:/mnt/wsl")
        or not isinstance(host.ask(f"access:{DOCKER_DESKTOP}"), Absent | NotAsked | Failed),
    )


def linux_driver_packages(host: Host) -> tuple[str, ...] | Unknown:
    """Return the installed packages of a Linux driver in a Debian-like WSL; asked only where its libraries are there.

    Sample: 'libnvidia-compute-535:amd64\\t535.183.01-0ubuntu0.22.04.1\\tii \\n'.
    """
    subsystem = state(host)
    if isinstance(subsystem, Unknown):
        return subsystem
    if not subsystem.linux_driver:
        return ()
    match host.ask(f"run:{PACKAGES}"):
        case Value({"stdout": str(out)}):
            rows = [line.split("\t") for line in out.splitlines()]
            return tuple(row[0] for row in rows if len(row) == 3 and row[2].startswith("ii"))
    return Unknown("the packages cannot be listed")


def _belongs_to_a_driver(host: Host, path: str) -> bool:
    """Return whether a library is a Linux driver's own: a link to a file of the driver's version (libcuda.so.535.183.01).

    A link to the mounted library (libcuda.so.1 -> /usr/lib/wsl/lib/libcuda.so.1), as people make them, is none.
    """
    target = host.text(f"link:{path}")
    if target is not None:
        return re.search(r"\.so\.\d{3}\.\d+", target) is not None
    return isinstance(host.ask(f"access:{path}"), Value)


def _switched_off(text: str) -> bool:
    """Return whether wsl.conf takes the GPU away. Sample: '[gpu]\\nenabled=false'. Source: Microsoft Learn, wsl-config."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text)
        return not parser.getboolean("gpu", "enabled", fallback=True)
    except (configparser.Error, ValueError):
        return False
