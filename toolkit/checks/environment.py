"""Rung tensorflow: environment variables of the user that change what scripts on this host see; never a container's."""

from __future__ import annotations

from toolkit.checks import independent
from toolkit.facts import Facts, driver, environment, health, visible
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, RungName, Sentence

RUNG: RungName = "tensorflow"

WHERE_SET = "grep -n {} ~/.bashrc ~/.profile ~/.zshrc /etc/environment /etc/profile.d/*.sh"


@independent
def environment_hides_gpus(facts: Facts) -> Finding | None:
    """CUDA_VISIBLE_DEVICES of this shell leaves every GPU to CUDA"""
    value, nvml = facts(environment.host_environment).cuda_visible_devices, facts(driver.nvml)
    if value is None or not nvml.gpus:
        return None
    left = visible.read(value, tuple(gpu.uuid for gpu in nvml.gpus))
    if left.gpus is None or (left.gpus > 0 and "names no GPU" not in left.why):
        return None  # a part of the GPUs is what such a variable is for
    return finding(
        "cuda-visible-devices-hides-gpu",
        f"CUDA_VISIBLE_DEVICES is {value!r} in this shell, which leaves {left.gpus} of {len(nvml.gpus)} GPUs: {left.why}. "
        "It holds for kit's local engine and for every script that is started here, not for containers.",
        [Command("unset CUDA_VISIBLE_DEVICES"), Command(WHERE_SET.format("CUDA_VISIBLE_DEVICES"))],
        [Evidence("CUDA_VISIBLE_DEVICES", value or "set and empty")],
        "warning",
    )


@independent
def environment_names_mig_device(facts: Facts) -> Finding | None:
    """CUDA_VISIBLE_DEVICES of this shell names no MIG device where there is none"""
    value = facts(environment.host_environment).cuda_visible_devices
    if value is None or "MIG-" not in value or any(gpu.mig_mode != 0 for gpu in facts(health.gpus)):
        return None
    return finding(
        "mig-device-misconfigured",
        f"CUDA_VISIBLE_DEVICES is {value!r} in this shell, and no GPU is in MIG mode: CUDA sees no GPU at all. "
        "It holds for kit's local engine and for every script that is started here, not for containers.",
        [
            Command("unset CUDA_VISIBLE_DEVICES"),
            Command(WHERE_SET.format("CUDA_VISIBLE_DEVICES")),
            Sentence(
                "Or switch MIG on again and name a device of nvidia-smi -L; their UUIDs change when they are made anew"
            ),
        ],
        [Evidence("CUDA_VISIBLE_DEVICES", value), Evidence("NVML", "MIG mode 0 on every GPU")],
        "warning",
    )


def xla_cuda_folder(facts: Facts) -> Finding | None:
    """The CUDA folder that XLA_FLAGS names exists"""
    shell = facts(environment.host_environment)
    if shell.xla_cuda_folder is None or shell.xla_cuda_folder_exists is not False:
        return None
    return finding(
        "cuda-compiler-parts-missing",
        f"XLA_FLAGS sends XLA for ptxas and libdevice to {shell.xla_cuda_folder}, which does not exist.",
        [Command("unset XLA_FLAGS"), Sentence("Or name a CUDA toolkit that is there, the folder over nvvm/libdevice")],
        [
            Evidence("XLA_FLAGS", f"--xla_gpu_cuda_data_dir={shell.xla_cuda_folder}"),
            Evidence(shell.xla_cuda_folder, "absent"),
        ],
        "warning",
    )


def legacy_keras_asked_for(facts: Facts) -> Finding | None:
    """TF_USE_LEGACY_KERAS does not ask for Keras 2"""
    if not facts(environment.host_environment).legacy_keras:
        return None
    return finding(
        "keras-version-mismatch",
        "TF_USE_LEGACY_KERAS is set in this shell: tf.keras is then Keras 2 of the package tf-keras, which kit's local "
        "engine does not hold, and scripts without it fail at their import.",
        [
            Command("unset TF_USE_LEGACY_KERAS"),
            Sentence("For scripts that need Keras 2: pip install tf-keras beside them"),
        ],
        [Evidence("TF_USE_LEGACY_KERAS", "1")],
        "info",
    )
