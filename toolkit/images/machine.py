"""How a container gets what this machine has: its GPUs, its user, its labels."""

from __future__ import annotations

from toolkit import paths
from toolkit.engine.plan import GpuRequest
from toolkit.facts import Facts, driver
from toolkit.facts import engine as engine_facts


def host_gpus(facts: Facts) -> int:
    """Return the GPUs that the host's driver can use."""
    nvml = facts.maybe(driver.nvml)
    return len(nvml.gpus) if nvml else 0


def all_gpus(facts: Facts) -> GpuRequest | None:
    """Return the request for all GPUs in the engine's way, None where it has none."""
    way = engine_facts.way(facts)
    if way is None:
        return None
    named = facts(engine_facts.state).cdi_devices if way == "cdi" else ("all",)
    return GpuRequest(way, ("all",) if "all" in named else tuple(name for name in named if name.isdigit()))


def container_user(facts: Facts) -> str:
    """Return the container's uid and gid: the caller's; in a rootless engine 0, which is the caller outside."""
    docker = facts.maybe(engine_facts.state)
    if docker and docker.rootless:
        return "0:0"
    uid, gid = paths.caller()
    return f"{uid}:{gid}"


def selinux(facts: Facts) -> bool:
    """Return whether the engine labels its containers, which keeps them from the host's folders."""
    docker = facts.maybe(engine_facts.state)
    return docker is not None and any("selinux" in option for option in docker.security)
