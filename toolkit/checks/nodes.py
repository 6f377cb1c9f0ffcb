"""Rung nodes: are the device nodes there, and may this user open them?"""

from __future__ import annotations

from toolkit.checks.beside import granted
from toolkit.checks.engine import _proven
from toolkit.checks.steps import as_root
from toolkit.facts import Facts, cdi, container, driver, kernel, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, NotApplicableError, Sentence, Step

UVM = "/dev/nvidia-uvm"


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
    wanted = granted(facts) or module.gpus
    if not module.loaded or (nodes.control and len(nodes.gpus) >= wanted):
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


def uvm_node_missing(facts: Facts) -> Finding | None:
    """/dev/nvidia-uvm exists, by which CUDA manages memory"""
    nodes = facts(driver.nodes)
    if not facts(driver.module).loaded or facts(kernel.uvm_node) or not nodes.control or not nodes.gpus:
        return None
    if nodes.dxg or _proven(facts):
        return None
    specs = [spec for spec in facts.maybe(cdi.specs) or () if spec.read_by_daemon and UVM in spec.nodes]
    evidence = [Evidence("/dev", "no nvidia-uvm"), *(Evidence(spec.path, f"names {UVM}") for spec in specs)]
    cause = f"{UVM} is not there, which comes with the first use of CUDA after a start, not with the card's own nodes"
    cause += ": containers that get GPUs by CDI do not start without it." if specs else "."
    error = facts.maybe(container.start_error) or ""
    stops = bool(specs) or UVM in error
    if UVM in error:
        evidence.append(Evidence("the engine", error))
    steps: list[Step] = [
        as_root(facts, "nvidia-modprobe -u -c 0"),
        Sentence("For every start: that command in a systemd unit of its own, before docker.service"),
    ]
    if granted(facts):
        steps = [
            Sentence(
                f"Hand {UVM} to this container, too, as its cards' nodes are; on the host: nvidia-modprobe -u -c 0"
            )
        ]
    return finding("device-nodes-missing", cause, steps, evidence, "error" if stops else "warning")


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
