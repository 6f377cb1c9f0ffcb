"""Rung nodes: are the device nodes there, and may this user open them?"""

from __future__ import annotations

from toolkit.checks.steps import as_root
from toolkit.facts import Facts, driver, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, NotApplicableError, Sentence


def gpus(facts: Facts) -> int:
    """Return the /dev/nvidiaN that this user may open, none where /dev/nvidiactl is not there or not theirs."""
    machine = facts.maybe(platform.machine)
    if machine and machine.system != "linux":
        raise NotApplicableError("only Linux has device nodes")
    nodes = facts(driver.nodes)
    if nodes.dxg:
        raise NotApplicableError("WSL2 has one /dev/dxg for all GPUs")
    if not nodes.control or "nvidiactl" in nodes.denied:
        return 0
    return sum(name not in nodes.denied for name in nodes.gpus)


def detail(facts: Facts) -> str:
    nodes = facts(driver.nodes)
    names = [*(["nvidiactl"] if nodes.control else []), *nodes.gpus]
    denied = f"; not permitted: {', '.join(nodes.denied)}" if nodes.denied else ""
    return (", ".join(f"/dev/{name}" for name in names) or "no /dev/nvidia*") + denied


def device_nodes_missing(facts: Facts) -> Finding | None:
    """/dev/nvidiactl and a /dev/nvidiaN a GPU exist"""
    nodes, module = facts(driver.nodes), facts(driver.module)
    if not module.loaded or (nodes.control and len(nodes.gpus) >= module.gpus):
        return None
    return finding(
        "device-nodes-missing",
        f"The module drives {module.gpus} GPU(s), and /dev has {len(nodes.gpus)} GPU node(s)"
        f"{'' if nodes.control else ' and no nvidiactl'}.",
        [as_root(facts, f"nvidia-modprobe -u {' '.join(f'-c {index}' for index in range(max(module.gpus, 1)))}")],
        [
            Evidence(
                "/dev",
                f"{len(nodes.gpus)} of {module.gpus} GPU nodes, nvidiactl {'there' if nodes.control else 'absent'}",
            )
        ],
    )


def gpu_device_access_denied(facts: Facts) -> Finding | None:
    """This user may open the device nodes"""
    nodes = facts(driver.nodes)
    if not nodes.denied:
        return None
    listed = " ".join(f"/dev/{name}" for name in nodes.denied)
    return finding(
        "gpu-device-access-denied",
        f"This user may not open {listed} for reading and writing.",
        [
            as_root(facts, "usermod -aG video,render $USER"),
            Sentence("Log out and in again, so that the groups take effect"),
            Sentence("If the nodes are not of these groups: see NVreg_DeviceFileMode in /etc/modprobe.d"),
        ],
        [Evidence(f"/dev/{name}", "permission denied") for name in nodes.denied],
    )
