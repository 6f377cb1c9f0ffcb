"""The machine's kernel, distribution, hypervisor and user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolkit.host import Host
from toolkit.model import Absent, Unknown, Value


@dataclass(frozen=True, slots=True)
class Platform:
    """The machine that everything else stands on."""

    system: Literal["linux", "windows", "darwin"]
    kernel: str  # empty on other systems than Linux
    architecture: str
    distribution: str
    distribution_like: tuple[str, ...]
    hypervisor: str | None  # None: a physical machine, as far as it tells
    wsl: bool
    root: bool
    systemd: bool
    jetson: str | None  # the board's name
    avx: bool | None  # None: not told, or no x86


# DMI vendor or product names of virtual machines. Source: systemd, src/basic/virt.c (detect_vm_dmi_vendor).
HYPERVISORS = {
    "KVM": "KVM",
    "QEMU": "QEMU",
    "Amazon EC2": "Amazon EC2",
    "Google Compute Engine": "Google Compute Engine",
    "VMware": "VMware",
    "VMW": "VMware",
    "innotek GmbH": "VirtualBox",
    "VirtualBox": "VirtualBox",
    "Xen": "Xen",
    "Bochs": "Bochs",
    "Parallels": "Parallels",
    "BHYVE": "bhyve",
    "Hyper-V": "Hyper-V",
    "Virtual Machine": "Hyper-V",
    "Apple Virtualization": "Apple Virtualization",
}


def machine(host: Host) -> Platform | Unknown:
    """Return the platform; unknown where not even the kernel's release can be read.

    Sample of /etc/os-release: 'ID=ubuntu\\nID_LIKE=debian\\nVERSION_ID="24.04"'. The system is platform.system()'s:
    Linux, Windows or Darwin; captures of before it was asked are of Linux.
    """
    system = _system(host)
    kernel = host.text("file:/proc/sys/kernel/osrelease") if system == "linux" else ""
    if kernel is None:
        return Unknown("the kernel's release cannot be read")
    release = dict(line.split("=", 1) for line in (host.text("file:/etc/os-release") or "").splitlines() if "=" in line)
    return Platform(
        system=system,
        kernel=kernel,
        architecture=host.text("machine:") or "",
        distribution=release.get("ID", "").strip('"'),
        distribution_like=tuple(release.get("ID_LIKE", "").strip('"').split()),
        hypervisor=_hypervisor(host),
        wsl="microsoft" in kernel.lower(),
        root=host.text("uid:") == "0",
        systemd=isinstance(host.ask("list:/run/systemd/system"), Value),
        jetson=_jetson(host, kernel),
        avx=_avx(host),
    )


def in_container(host: Host) -> bool | Unknown:
    """Return whether kit runs in a container: Docker's, Podman's, Kubernetes', or one of systemd or LXC ("lxc").

    Sources: systemd, Container Interface (/run/systemd/container); podman-run(1) (/run/.containerenv); Kubernetes,
    Accessing the API from a Pod. WSL has "wsl" in systemd's file, and is a machine of its own here.
    """
    if (host.text("file:/run/systemd/container") or "").strip() == "wsl":
        return False
    signs = (
        "file:/run/systemd/container",
        "access:/.dockerenv",
        "access:/run/.containerenv",
        "env:KUBERNETES_SERVICE_HOST",
    )
    answers = [host.ask(sign) for sign in signs]
    if any(isinstance(answer, Value) for answer in answers):
        return True
    return (
        False if any(isinstance(answer, Absent) for answer in answers) else Unknown("no sign of a container was read")
    )


def _system(host: Host) -> Literal["linux", "windows", "darwin"]:
    match host.text("system:"):
        case "Windows":
            return "windows"
        case "Darwin":
            return "darwin"
    return "linux"


def _jetson(host: Host, kernel: str) -> str | None:
    """Return the Jetson's name. Samples: model 'NVIDIA Jetson Orin Nano Developer Kit\\0', kernel '5.15.148-tegra'."""
    model = (host.text("file:/proc/device-tree/model") or "").rstrip("\0")
    if "jetson" in model.lower():
        return model
    return "NVIDIA Jetson" if "tegra" in kernel else None


def _avx(host: Host) -> bool | None:
    flags = host.ask("first-line:/proc/cpuinfo:flags")
    known = host.text("machine:") == "x86_64" and isinstance(flags, Value) and str(flags.data).startswith("flags")
    return "avx" in str(flags.data).split() if known and isinstance(flags, Value) else None


def _hypervisor(host: Host) -> str | None:
    """Return the hypervisor's name, "unnamed" where only the CPU tells of one, None on a physical machine."""
    dmi = " ".join(host.text(f"file:/sys/class/dmi/id/{name}") or "" for name in ("sys_vendor", "product_name"))
    for sign, name in HYPERVISORS.items():
        if sign in dmi:
            return name
    flags = host.ask("first-line:/proc/cpuinfo:flags")
    if isinstance(flags, Value) and "hypervisor" in str(flags.data).split():
        # Without DMI tables: Firecracker and other small KVM machines.
        return "KVM" if isinstance(host.ask("file:/sys/class/dmi/id/sys_vendor"), Absent) else "unnamed"
    return None


def unanswered(host: Host) -> tuple[str, ...] | Unknown:
    """Return the keys of the questions that did not come back in time. Sample: ["file:/proc/driver/nvidia/version"]."""
    answer = host.ask("unanswered:")
    return (
        tuple(map(str, answer.data)) if isinstance(answer, Value) else Unknown("kit was not waiting for this machine")
    )
