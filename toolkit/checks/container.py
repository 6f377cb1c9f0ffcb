"""Rung container: does a container that asked for GPUs get them?"""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolkit.checks.steps import (
    TOOLKIT_GUIDE,
    as_root,
    configure_toolkit,
    generate_cdi,
    install_driver,
    install_toolkit,
    restart,
)
from toolkit.facts import Facts, container, driver, engine, platform
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence, Step

ERRORS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("cuda_errors.json").read_text(encoding="utf-8"))
START_ERRORS: list[dict[str, str]] = json.loads(
    Path(__file__).with_name("container_errors.json").read_text(encoding="utf-8")
)
REGENERATE = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


def gpus(facts: Facts) -> int:
    """Return the GPUs that the CUDA driver API gives a container with all GPUs."""
    return facts(container.inside).cuda_gpus


def detail(facts: Facts) -> str:
    inside = facts(container.inside)
    return f"in {inside.image}: {inside.cuda_error or 'the CUDA driver starts'}"


def image_not_built(facts: Facts) -> Finding | None:
    """The image that the upper rungs are examined in is built"""
    if not facts(container.image_missing):
        return None
    cause = "The rungs above the engine are examined in kit's GPU image, which is not there yet."
    return finding(
        "image-not-built",
        cause,
        [Command("kit build --variant gpu")],
        [Evidence("the engine", "no such image")],
        "info",
    )


def container_starts(facts: Facts) -> Finding | None:
    """A container that asks for GPUs starts"""
    text, machine = facts(container.start_error), facts.maybe(platform.machine)
    if not text or (machine and machine.avx is False and "ended with code 132" in text):
        return None  # an illegal instruction: the CPU's lack of AVX has a finding of its own
    unknown = {"fault": "container-start-failed", "cause": "The engine does not start a container that asks for GPUs."}
    row = next((row for row in START_ERRORS if re.search(row["pattern"], text)), unknown)
    return finding(row["fault"], row["cause"], _fix(facts, row["fault"]), [Evidence("the engine", text)])


def driver_libraries_in_container(facts: Facts) -> Finding | None:
    """The driver's libcuda.so.1 and libnvidia-ml.so.1 are in the container"""
    inside = facts(container.inside)
    libcuda = not (inside.cuda_error or "").startswith("libcuda.so.1:")
    if libcuda and inside.nvml_library:
        return None
    evidence = [
        Evidence("dlopen in the container", f"libcuda.so.1: {'loads' if libcuda else inside.cuda_error}"),
        Evidence("dlopen in the container", f"libnvidia-ml.so.1 {'loads' if inside.nvml_library else 'does not load'}"),
    ]
    if libcuda or inside.nvml_library:
        lacking = "compute" if inside.nvml_library else "utility"
        if inside.capabilities is not None:
            evidence.append(Evidence("NVIDIA_DRIVER_CAPABILITIES in the container", inside.capabilities))
        return finding(
            "driver-capabilities-missing",
            f"The container got only a part of the driver: the capability {lacking} is lacking.",
            [Sentence(f"Ask for both: NVIDIA_DRIVER_CAPABILITIES=compute,utility; with CDI: {REGENERATE}")],
            evidence,
        )
    docker = facts.maybe(engine.state)
    if docker and docker.cdi_devices:
        cause = "The CDI spec hands the devices over without the driver's libraries: it is stale or incomplete."
        return finding("cdi-not-set-up", cause, generate_cdi(facts), evidence)
    cause = "The container was started with GPUs and got no driver library."
    return finding("nvidia-runtime-not-installed", cause, install_toolkit(facts), evidence)


def image_ships_driver_libraries(facts: Facts) -> Finding | None:
    """The image leaves libcuda and libnvidia-ml to the host's driver"""
    # Forward compatibility's libcuda is meant to be in an image, and has a fault of its own.
    own = {name: file for name, file in facts(container.own_driver_libraries).items() if "/compat/" not in file}
    if not own:
        return None
    inside = facts.maybe(container.inside)
    broken = inside is not None and inside.cuda_error is not None
    files = ", ".join(own.values())
    return finding(
        "image-ships-driver-libs",
        f"The image has the driver's libraries of its own ({files}): they load without any GPU in the container, and "
        + ("in the place of the host's, so that CUDA does not start." if broken else "may be taken for the host's."),
        [
            Sentence(
                f"Remove {files} from the image; of CUDA's stubs, take the folder out of LD_LIBRARY_PATH and ld.so.conf"
            )
        ],
        [Evidence("a container without GPUs", f"{name} loads from {file}") for name, file in own.items()],
        "error" if broken else "warning",
    )


def cuda_driver_error(facts: Facts) -> Finding | None:
    """The CUDA driver starts in the container"""
    inside = facts(container.inside)
    if inside.cuda_error is None or inside.cuda_error.startswith("libcuda.so.1:"):
        return None
    own = facts.maybe(container.own_driver_libraries) or {}
    if any("/compat/" not in file for file in own.values()):
        return None  # the finding before this one names it
    name = inside.cuda_error.split(" ")[0]
    fault, cause = _cuda_fault(facts, inside, name)
    evidence = [Evidence("cuInit in the container", inside.cuda_error)]
    if (host := facts.maybe(driver.cuda)) is not None:  # where the same call differs is where the GPU is lost
        evidence.append(Evidence("cuInit on the host", host[1] or f"starts, {host[0]} GPU(s)"))
    if inside.nodes is not None:
        seen = ", ".join(f"{node} {answer}" for node, answer in inside.nodes.items()) or "no /dev/nvidia*"
        evidence.append(Evidence("/dev in the container", seen))
    if libcuda := (inside.loaded or {}).get("libcuda"):
        evidence.append(Evidence("/proc/self/maps in the container", libcuda))
    return finding(fault, cause, _fix(facts, fault), evidence)


def _cuda_fault(facts: Facts, inside: container.Inside, name: str) -> tuple[str, str]:
    """Return the fault and the cause behind an error of the CUDA driver, by what else the container showed."""
    if name in ("CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_INVALID_DEVICE") and inside.visible_devices is not None:
        return "cuda-visible-devices-hides-gpu", f"CUDA_VISIBLE_DEVICES is {inside.visible_devices!r} in the container."
    compat = (inside.loaded or {}).get("libcuda", "")
    if name == "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" and "/compat/" in compat:
        return "forward-compat-unsupported", f"{compat}, made for forward compatibility, does not go with this driver."
    if name in ("CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_OPERATING_SYSTEM") and (
        found := _fault_of_nodes(facts, inside.nodes)
    ):
        return found
    row = ERRORS.get(name, ERRORS["CUDA_ERROR_UNKNOWN"])
    return row["fault"], row["cause"]


def _fault_of_nodes(facts: Facts, nodes: dict[str, str] | None) -> tuple[str, str] | None:
    """Return the fault that the container's device nodes show, None where all are there and open, or were not read."""
    if nodes is None:
        return None
    cards = [name for name in nodes if name.removeprefix("nvidia").isdigit()]
    shut = {name: error for name, error in nodes.items() if error in ("EPERM", "EACCES")}
    if not cards:
        docker = facts.maybe(engine.state)
        if docker and docker.cdi_devices:
            return (
                "cdi-not-set-up",
                "The driver's libraries are in the container and no /dev/nvidiaN: the CDI spec is stale.",
            )
        return "gpus-flag-missing", "The driver's libraries are in the container and no /dev/nvidiaN: it got no GPU."
    if "EPERM" in shut.values():
        cause = f"The nodes are in the container and its device rules forbid to open {', '.join(shut)}."
        return "cgroup-devices-lost", cause
    if shut:
        cause = f"The nodes are in the container and their mode or SELinux label keeps {', '.join(shut)} from its user."
        return "gpu-device-access-denied", cause
    return None


def image_hides_gpus(facts: Facts) -> Finding | None:
    """CUDA_VISIBLE_DEVICES of the image hides none of the GPUs"""
    inside, docker, nvml = facts(container.inside), facts(engine.state), facts(driver.nvml)
    named = [name for name in docker.cdi_devices if name.isdigit()]
    handed = len(named) or len(nvml.gpus)
    if inside.cuda_error or inside.visible_devices is None or inside.cuda_gpus >= handed:
        return None
    return finding(
        "cuda-visible-devices-hides-gpu",
        f"CUDA_VISIBLE_DEVICES is {inside.visible_devices!r} in {inside.image}, so that {inside.cuda_gpus} of {handed} "
        "GPUs are left.",
        _fix(facts, "cuda-visible-devices-hides-gpu"),
        [Evidence("the container's environment", f"CUDA_VISIBLE_DEVICES={inside.visible_devices}")],
    )


def _fix(facts: Facts, fault: str) -> list[Step]:
    """Return the steps against a fault that a container shows."""
    unset = "Take CUDA_VISIBLE_DEVICES out of the image or of the command that starts the container"
    fixes: dict[str, list[Step]] = {
        "cuda-visible-devices-hides-gpu": [Sentence(unset), Command("unset CUDA_VISIBLE_DEVICES")],
        "cdi-not-set-up": generate_cdi(facts),
        "nvidia-runtime-not-configured": configure_toolkit(facts),
        "nvidia-runtime-not-installed": install_toolkit(facts),
        "cgroup-v2-toolkit-too-old": install_toolkit(facts),
        "gpus-flag-missing": [Sentence("Start it with --gpus all, in compose with a device reservation")],
        "cgroup-devices-lost": [
            Sentence("Start the container anew; it gets its device rules at its start alone"),
            Sentence(
                "If a new one has none either: set no-cgroups = false in /etc/nvidia-container-runtime/config.toml"
            ),
            restart(facts, "docker"),
        ],
        "gpu-device-access-denied": [
            as_root(facts, "chmod 0666 /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia[0-9]*"),
            Sentence("With SELinux: setsebool -P container_use_devices 1, as root"),
        ],
        "no-cgroups-setting-wrong": [
            as_root(facts, "nvidia-ctk config --set nvidia-container-cli.no-cgroups=true --in-place"),
            Command("systemctl --user restart docker"),
        ],
        "toolkit-ldconfig-path": [
            as_root(facts, "nvidia-ctk config --set nvidia-container-cli.ldconfig=@/sbin/ldconfig --in-place")
        ],
        "driver-library-mismatch": [as_root(facts, "reboot")],
        "driver-too-old-for-cuda": install_driver(facts),
        "fabricmanager-down": [
            Sentence("Install the package nvidia-fabricmanager of the driver's exact version"),
            as_root(facts, "systemctl enable --now nvidia-fabricmanager"),
        ],
        "forward-compat-unsupported": [
            Sentence(
                "Take the folder compat out of the image's LD_LIBRARY_PATH and ld.so.conf, or the package cuda-compat"
            ),
            *install_driver(facts),
        ],
        "uvm-module-stale": [as_root(facts, "modprobe -r nvidia_uvm"), as_root(facts, "modprobe nvidia_uvm")],
        "image-ships-driver-libs": [Sentence("Take CUDA's stubs folder out of LD_LIBRARY_PATH and ld.so.conf")],
        "mps-unreachable": [
            Sentence(
                "Hand the pipe folder of MPS over (CUDA_MPS_PIPE_DIRECTORY, --ipc=host), or stop MPS on the host:"
            ),
            as_root(facts, "sh -c 'echo quit | nvidia-cuda-mps-control'"),
        ],
        "vgpu-unlicensed": [Sentence("Give the vGPU its licence: /etc/nvidia/gridd.conf, then restart nvidia-gridd")],
        "gpu-out-of-memory": [
            Command("nvidia-smi"),
            Sentence("End the processes that hold the GPU's memory, then try again"),
        ],
        "gpu-init-failed": [
            Command("nvidia-smi -q -d COMPUTE"),
            Sentence("If the compute mode is not Default, set it back: nvidia-smi -c 0, as root"),
            as_root(facts, "dmesg | grep -E 'NVRM|Xid'"),
        ],
        "ecc-error": [Command("nvidia-smi -q -d ECC,ROW_REMAPPER"), as_root(facts, "nvidia-smi --gpu-reset")],
        "gpu-too-old-for-build": [Sentence("Use an image of an older TensorFlow, or another GPU")],
        "illegal-instruction-no-avx": [Sentence("Use a machine, or a virtual machine's CPU type (host), that has AVX")],
        "disk-full": [Command("docker system df"), Command("docker image prune")],
        "container-start-failed": [
            Sentence(f"Read the engine's words; the toolkit's guide has the known ones: {TOOLKIT_GUIDE}"),
            Command("journalctl -u docker -n 30 --no-pager"),
        ],
    }
    return fixes.get(fault, [as_root(facts, "dmesg | grep -E 'NVRM|Xid'")])
