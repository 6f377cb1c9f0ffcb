"""Rung engine on WSL: Docker Desktop runs on Windows and must be switched on for each distribution."""

from __future__ import annotations

from toolkit.facts import Facts, engine, wsl
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence

RUNG: RungName = "engine"


def docker_desktop_integration_off(facts: Facts) -> Finding | None:
    """Docker Desktop is switched on for this WSL distribution"""
    subsystem, docker = facts(wsl.state), facts(engine.state)
    if docker.fault != "not-installed" or not subsystem.docker_desktop:
        return None
    name = subsystem.distribution or "this distribution"
    return finding(
        "docker-desktop-integration-off",
        f"Docker Desktop is installed on Windows and not switched on for {name}, so there is no docker here.",
        [
            Sentence(f"In Docker Desktop: Settings, Resources, WSL integration: switch {name} on, then Apply"),
            Sentence("Open this distribution again"),
        ],
        [Evidence("Docker API", docker.fault_text), Evidence(wsl.DOCKER_DESKTOP, "Docker Desktop is on Windows")],
    )
