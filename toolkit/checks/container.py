"""Rung container: does a container that asked for GPUs get them?"""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolkit.checks.driver_fixes import fix
from toolkit.checks.steps import (
    generate_cdi,
    install_toolkit,
)
from toolkit.facts import Facts, container, driver, engine, platform
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence

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
    return finding(row["fault"], row["cause"], fix(facts, row["fault"]), [Evidence("the engine", text)])


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
    return finding(fault, cause, fix(facts, fault), evidence)


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
        fix(facts, "cuda-visible-devices-hides-gpu"),
        [Evidence("the container's environment", f"CUDA_VISIBLE_DEVICES={inside.visible_devices}")],
    )
