"""Rung engine: can the container engine hand GPUs over?"""

from __future__ import annotations

from toolkit.checks import independent
from toolkit.checks.steps import DOCKER_GUIDE, as_root, configure_toolkit, install_toolkit, restart
from toolkit.facts import Facts, driver, engine
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence


def gpus(facts: Facts) -> int:
    """Return the GPUs that CDI names, or NVML's where the nvidia runtime hands over whatever there is."""
    docker = facts(engine.state)
    named = [name for name in docker.cdi_devices if name.isdigit()]
    if named:
        return len(named)
    return len(facts(driver.nvml).gpus) if "nvidia" in docker.runtimes else 0


def detail(facts: Facts) -> str:
    docker = facts(engine.state)
    if docker.fault:
        return docker.fault_text
    way = (
        "CDI"
        if docker.cdi_devices
        else "the nvidia runtime"
        if "nvidia" in docker.runtimes
        else "no way to hand GPUs over"
    )
    return f"Docker {docker.version}, {way}"


def _answering(facts: Facts) -> engine.Engine | None:
    docker = facts(engine.state)
    return None if docker.fault else docker


@independent
def docker_not_installed(facts: Facts) -> Finding | None:
    """A container engine is installed"""
    docker = facts(engine.state)
    if docker.fault != "not-installed":
        return None
    return finding(
        "docker-not-installed",
        "There is no Docker on this machine.",
        [Sentence(f"Install Docker Engine: {DOCKER_GUIDE}, or in a checkout of kit: sudo make engine")],
        [Evidence("Docker API", docker.fault_text)],
    )


@independent
def docker_daemon_down(facts: Facts) -> Finding | None:
    """The Docker daemon answers"""
    docker = facts(engine.state)
    if docker.fault != "down":
        return None
    return finding(
        "docker-daemon-down",
        "Docker is installed and its daemon does not answer.",
        [restart(facts, "docker"), Command("journalctl -u docker -n 30 --no-pager")],
        [Evidence("Docker API", docker.fault_text)],
    )


@independent
def docker_permission_denied(facts: Facts) -> Finding | None:
    """This user may use the Docker daemon"""
    docker = facts(engine.state)
    if docker.fault != "permission-denied":
        return None
    return finding(
        "docker-permission-denied",
        "The daemon runs and this user may not open its socket.",
        [as_root(facts, "usermod -aG docker $USER"), Sentence("Log out and in again, so that the group takes effect")],
        [Evidence("/var/run/docker.sock", "permission denied")],
    )


def snap_docker(facts: Facts) -> Finding | None:
    """Docker is not the snap, which cannot see the host's driver"""
    docker = _answering(facts)
    if docker is None or not docker.snap:
        return None
    return finding(
        "snap-docker",
        "Docker runs from snap, confined away from the host's driver libraries.",
        [as_root(facts, "snap remove docker"), Sentence(f"Install Docker Engine: {DOCKER_GUIDE}")],
        [Evidence("docker info", "DockerRootDir under /var/snap")],
    )


def nvidia_runtime_not_configured(facts: Facts) -> Finding | None:
    """The engine has a way to hand GPUs over: CDI devices or the nvidia runtime"""
    docker = _answering(facts)
    if docker is None or docker.cdi_devices or "nvidia" in docker.runtimes:
        return None
    evidence = [
        Evidence("docker info", f"runtimes: {', '.join(docker.runtimes)}"),
        Evidence(
            "CDI folders of the daemon", "no device of kind nvidia.com/gpu" if docker.cdi_enabled else "CDI is off"
        ),
    ]
    if facts(engine.toolkit_installed):
        cause = "The NVIDIA Container Toolkit is installed and Docker does not know it."
        return finding("nvidia-runtime-not-configured", cause, configure_toolkit(facts), evidence)
    cause = "The NVIDIA Container Toolkit is not installed, so Docker cannot hand GPUs to containers."
    return finding("nvidia-runtime-not-installed", cause, install_toolkit(facts), evidence)
