"""Steps of a fix that fit the machine: sudo or not, its package manager, its init system."""

from __future__ import annotations

from toolkit.facts import Facts, platform
from toolkit.model import Command, Sentence, Step

TOOLKIT_GUIDE = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
DRIVER_GUIDE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
DOCKER_GUIDE = "https://docs.docker.com/engine/install/"


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
