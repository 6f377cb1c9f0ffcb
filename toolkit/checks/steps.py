"""Steps of a fix that fit the machine: sudo or not, its package manager, its init system."""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.facts import Facts, engine, platform
from toolkit.model import Command, Sentence, Step

TOOLKIT_GUIDE = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
DRIVER_GUIDE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
DOCKER_GUIDE = "https://docs.docker.com/engine/install/"
FLAVOUR_GUIDE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/kernel-modules.html"


def _platform(facts: Facts) -> platform.Platform | None:
    return facts.maybe(platform.machine)


def _family(facts: Facts) -> str:
    """Return debian, fedora, or the distribution's own name."""
    machine = _platform(facts)
    if machine is None:
        return ""
    names = (machine.distribution, *machine.distribution_like)
    return next((name for name in ("debian", "fedora", "suse", "arch") if name in names), machine.distribution)


def as_root(facts: Facts, command: str) -> Command:
    """Return a command that needs root, with sudo where the user is not root."""
    machine = _platform(facts)
    return Command(command if machine and machine.root else f"sudo {command}")


def restart(facts: Facts, service: str) -> Command:
    """Return the command that restarts a service."""
    machine = _platform(facts)
    return as_root(
        facts, f"systemctl restart {service}" if machine is None or machine.systemd else f"service {service} restart"
    )


def install_driver(facts: Facts) -> list[Step]:
    """Return how this distribution installs the NVIDIA driver."""
    machine = _platform(facts)
    if machine and machine.distribution == "ubuntu":
        return [as_root(facts, "ubuntu-drivers install --gpgpu"), as_root(facts, "reboot")]
    if machine and machine.distribution == "debian":
        return [
            Sentence("Add contrib and non-free-firmware non-free to the components in /etc/apt/sources.list"),
            as_root(facts, "apt-get update"),
            as_root(facts, "apt-get install linux-headers-amd64 nvidia-driver"),
            as_root(facts, "reboot"),
        ]
    if _family(facts) == "fedora":
        return [
            Sentence(f"Add NVIDIA's repository as {DRIVER_GUIDE} shows"),
            as_root(facts, "dnf install nvidia-open"),
            as_root(facts, "reboot"),
        ]
    return [Sentence(f"Install the NVIDIA driver as {DRIVER_GUIDE} shows, then reboot")]


def configure_toolkit(facts: Facts) -> list[Step]:
    """Return how the NVIDIA Container Toolkit is made known to Docker."""
    return [as_root(facts, "nvidia-ctk runtime configure --runtime=docker"), restart(facts, "docker")]


def install_toolkit(facts: Facts) -> list[Step]:
    """Return how the NVIDIA Container Toolkit is installed and made known to Docker."""
    manager = {"debian": "apt-get", "fedora": "dnf", "suse": "zypper"}.get(_family(facts))
    if manager is None:
        return [Sentence(f"Install nvidia-container-toolkit as {TOOLKIT_GUIDE} shows"), *configure_toolkit(facts)]
    return [
        Sentence(f"Add NVIDIA's package repository as {TOOLKIT_GUIDE} shows"),
        as_root(facts, f"{manager} install nvidia-container-toolkit"),
        *configure_toolkit(facts),
    ]


def reset_gpu(facts: Facts, indexes: Iterable[int]) -> list[Step]:
    """Return how GPUs are reset, by NVML's indexes, and what helps where that is refused."""
    chosen = ",".join(str(index) for index in indexes)
    return [
        Sentence(f"End the programs on GPU {chosen}" if chosen else "End the programs on the GPU"),
        as_root(facts, f"nvidia-smi --gpu-reset{f' -i {chosen}' if chosen else ''}"),
        Sentence("Where there is no nvidia-smi, or it refuses (a display, NVLink): reboot"),
    ]


def install(facts: Facts, package: str) -> Step:
    """Return the command that installs a package of the distribution, a sentence where its manager is not known."""
    command = {
        "debian": "apt-get install",
        "fedora": "dnf install",
        "suse": "zypper install",
        "arch": "pacman -S",
    }.get(_family(facts))
    return as_root(facts, f"{command} {package}") if command else Sentence(f"Install the package {package}")


def install_headers(facts: Facts, release: str) -> Step:
    """Return how the headers of a kernel are installed, which a module is built with."""
    package = {
        "debian": f"linux-headers-{release}",
        "fedora": f"kernel-devel-{release}",
        "suse": f"kernel-{release.rpartition('-')[2]}-devel",
        "arch": "linux-headers",
    }.get(_family(facts))
    return install(facts, package) if package else Sentence(f"Install the headers of the kernel {release}")


def rebuild_initramfs(facts: Facts) -> Step:
    """Return how the initial RAM disk is rebuilt, which holds modules and blacklists of its own."""
    command = {
        "debian": "update-initramfs -u",
        "fedora": "dracut --force",
        "suse": "dracut --force",
        "arch": "mkinitcpio -P",
    }.get(_family(facts))
    return as_root(facts, command) if command else Sentence("Rebuild the initial RAM disk (initramfs)")


def switch_driver(facts: Facts, branch: int, flavour: str) -> list[Step]:
    """Return how another branch or module flavour (open, proprietary) of the driver takes the place of this one."""
    machine, reboot = _platform(facts), as_root(facts, "reboot")
    if machine and machine.distribution == "ubuntu":
        package = f"nvidia-driver-{branch}{'-open' if flavour == 'open' else ''}"
        return [as_root(facts, f"apt-get install {package}"), reboot]
    return [
        Sentence(f"Install the {flavour} modules of a driver of branch {branch} as {FLAVOUR_GUIDE} shows, then reboot")
    ]


def enrol_key(facts: Facts, key: str | None, mokutil: bool) -> list[Step]:
    """Return how the key that modules are signed with here becomes one that the firmware trusts (MOK)."""
    steps = [] if mokutil else [install(facts, "mokutil")]
    if key is None:
        return [
            Sentence(
                "Reinstall the driver from the distribution's packages: they sign its module, and ask for a password"
            ),
            Sentence("Or switch Secure Boot off in the firmware's setup"),
        ]
    return [
        *steps,
        Sentence("The next command asks for a password of your own, which is needed once at the next start:"),
        as_root(facts, f"mokutil --import {key}"),
        as_root(facts, "reboot"),
        Sentence("On the blue screen at the start: Enroll MOK, Continue, Yes, the password, Reboot"),
    ]


def generate_cdi(facts: Facts, path: str = "/etc/cdi/nvidia.yaml") -> list[Step]:
    """Return how a CDI spec is written anew, after the toolkit's installation where it is known to be absent."""
    shape = " --format=json" if path.endswith(".json") else ""
    first = install_toolkit(facts) if facts.maybe(engine.toolkit_installed) is False else []
    return [*first, as_root(facts, f"nvidia-ctk cdi generate{shape} --output={path}")]
