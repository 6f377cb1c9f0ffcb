"""The environment variables of the user that decide what CUDA and TensorFlow see on the host."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.host import Host
from toolkit.model import Absent, NotAsked, Unknown


@dataclass(frozen=True, slots=True)
class Environment:
    """What the user's shell hands to every program; None: not set."""

    cuda_visible_devices: str | None
    legacy_keras: bool
    xla_cuda_folder: str | None  # of --xla_gpu_cuda_data_dir
    xla_cuda_folder_exists: bool | None  # None: not named, or not known


def host_environment(host: Host) -> Environment | Unknown:
    """Return the variables. Samples: CUDA_VISIBLE_DEVICES '0,1', XLA_FLAGS '--xla_gpu_cuda_data_dir=/usr/local/cuda'."""
    if isinstance(host.ask("env:CUDA_VISIBLE_DEVICES"), NotAsked):
        return Unknown("the environment was not read")
    flags = re.search(r"--xla_gpu_cuda_data_dir=(\S+)", host.text("env:XLA_FLAGS") or "")
    return Environment(
        cuda_visible_devices=host.text("env:CUDA_VISIBLE_DEVICES"),
        legacy_keras=(host.text("env:TF_USE_LEGACY_KERAS") or "").lower() in ("1", "true"),
        xla_cuda_folder=flags[1] if flags else None,
        xla_cuda_folder_exists=not isinstance(host.ask(f"access:{flags[1]}"), Absent | NotAsked) if flags else None,
    )
