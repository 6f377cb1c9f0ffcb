"""Rung nodes on WSL: does Windows hand its GPU and its driver to this distribution?"""

from __future__ import annotations

from toolkit.checks.steps import as_root
from toolkit.facts import Facts, driver, wsl
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step

RUNG: RungName = "nodes"

GUIDE = "https://docs.nvidia.com/cuda/wsl-user-guide/index.html"
WINDOWS_DRIVER = Sentence(
    "Install NVIDIA's current driver in Windows (https://www.nvidia.com/drivers), and nothing in WSL"
)
AGAIN = Sentence("In PowerShell on Windows: wsl --shutdown, then open this distribution again")


def wsl_1(facts: Facts) -> Finding | None:
    """The distribution runs on WSL 2, the only one with GPUs"""
    subsystem = facts(wsl.state)
    if subsystem.version != 1:
        return None
    name = subsystem.distribution or "<distribution>"
    return finding(
        "wsl-gpu-unavailable",
        "This distribution runs on WSL 1, which translates system calls and has no kernel that could reach a GPU.",
        [Sentence(f"In PowerShell on Windows: wsl --set-version {name} 2 (wsl --list --verbose shows the names)")],
        [Evidence("/proc/sys/kernel/osrelease", "4.4.0-…-Microsoft, the release of WSL 1")],
    )


def wsl_gpu_device(facts: Facts) -> Finding | None:
    """WSL 2 has /dev/dxg, the door to Windows' GPUs"""
    subsystem = facts(wsl.state)
    if subsystem.version == 1 or facts(driver.nodes).dxg:
        return None
    if subsystem.switched_off:
        return finding(
            "wsl-gpu-unavailable",
            f"{wsl.CONFIGURATION} takes the GPU away from this distribution.",
            [Sentence(f"Remove enabled=false from the section [gpu] of {wsl.CONFIGURATION}"), AGAIN],
            [Evidence(wsl.CONFIGURATION, "[gpu] enabled=false"), Evidence("/dev/dxg", "absent")],
        )
    return finding(
        "wsl-gpu-unavailable",
        "WSL has no /dev/dxg: its kernel or this Windows is too old for GPUs, or Windows has no GPU driver.",
        [
            Sentence("In PowerShell on Windows: wsl --update, then wsl --shutdown; Windows 10 must be 21H2 or newer"),
            WINDOWS_DRIVER,
        ],
        [Evidence("/dev/dxg", "absent")],
    )


def wsl_driver_mounted(facts: Facts) -> Finding | None:
    """Windows mounts NVIDIA's libraries into WSL"""
    subsystem = facts(wsl.state)
    if subsystem.version == 1 or not facts(driver.nodes).dxg or "libcuda.so.1" in subsystem.mounted:
        return None
    evidence = [Evidence(wsl.MOUNTED, ", ".join(subsystem.mounted) or "empty or absent")]
    fix: list[Step] = [WINDOWS_DRIVER, AGAIN]
    if subsystem.switched_off:
        cause = f"{wsl.CONFIGURATION} takes the GPU away from this distribution."
        fix = [Sentence(f"Remove enabled=false from the section [gpu] of {wsl.CONFIGURATION}"), AGAIN]
        evidence.append(Evidence(wsl.CONFIGURATION, "[gpu] enabled=false"))
    elif subsystem.nvidia_in_windows:
        cause = (
            "Windows has an NVIDIA driver, and it mounts no libcuda.so.1 here: it is older than CUDA's support of WSL."
        )
        evidence.append(Evidence(wsl.STORE, "NVIDIA's driver folder is there"))
    else:
        cause = "Windows mounts no libcuda.so.1 here: it has no NVIDIA driver, or the machine has no NVIDIA GPU."
        fix = [Sentence("In PowerShell on Windows: nvidia-smi shows the GPU and its driver, if there is one"), *fix]
    return finding("wsl-gpu-unavailable", cause, fix, evidence)


def wsl_linux_driver(facts: Facts) -> Finding | None:
    """No Linux driver is installed inside WSL"""
    subsystem = facts(wsl.state)
    if subsystem.version == 1 or not subsystem.linux_driver or "libcuda.so.1" not in subsystem.mounted:
        return None
    nvml = facts.maybe(driver.nvml)
    works = nvml is None or (nvml.error is None and bool(nvml.gpus))
    packages = facts.maybe(wsl.linux_driver_packages) or ()
    fix: list[Step] = [Sentence("Run the uninstaller of the driver: sudo nvidia-uninstall")]
    if packages:
        fix = [as_root(facts, f"apt-get purge {' '.join(packages)}"), as_root(facts, "apt-get autoremove")]
    return finding(
        "wsl-linux-driver-installed",
        "A Linux driver is installed inside WSL; its libraries "
        + (
            "can hide those that Windows mounts, as soon as the linker's order changes."
            if works
            else "hide those that Windows mounts, and they look for a kernel module that WSL does not have."
        ),
        [*fix, as_root(facts, "ldconfig"), Sentence(f"CUDA for WSL comes without a driver: cuda-toolkit, see {GUIDE}")],
        [
            *(Evidence(path, "a library of a Linux driver") for path in subsystem.linux_driver),
            *(Evidence("dpkg-query", name) for name in packages),
        ],
        "warning" if works else "error",
    )
