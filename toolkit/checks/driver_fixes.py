"""The steps against each fault of the driver and of handing GPUs over, as a container or the host shows it."""

from __future__ import annotations

from toolkit.checks.steps import (
    TOOLKIT_GUIDE,
    as_root,
    configure_toolkit,
    generate_cdi,
    install_driver,
    install_toolkit,
    restart,
)
from toolkit.facts import Facts
from toolkit.model import Command, Sentence, Step


def fix(facts: Facts, fault: str) -> list[Step]:
    """Return the steps against a fault, how to read the kernel's log where there are none."""
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
