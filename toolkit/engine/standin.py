"""Simulated GPUs for a container: what proves an image on a machine that has no GPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from types import ModuleType

from toolkit import paths
from toolkit.engine.plan import Mount
from toolkit.model import KitError


def given(gpus: int) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """Return the mounts and device nodes that give a container so many simulated A100s: the stand-in driver libraries
    where the NVIDIA toolkit puts the real ones, their scenario, and null devices under NVIDIA's names.

    Raises KitError where they cannot be compiled.
    """
    simgpu = _machine_module()
    machine = simgpu.Machine(gpus=(simgpu.A100,) * gpus)
    folder = paths.make(paths.cache() / "simgpu")
    try:
        libraries = simgpu.compile(folder)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stdout", None) or "no C compiler; install one: apt-get install gcc"
        raise KitError(f"there is no GPU here to prove the image with, nor a simulated one: {detail}") from error
    scenario = folder / f"{gpus}-gpus.conf"
    scenario.write_text(simgpu.scenario_text(machine), encoding="utf-8")
    names = {"libcuda.so.1": libraries.cuda, "libnvidia-ml.so.1": libraries.nvml}
    # The linker's own folders: of Debian's images, and of Red Hat's.
    folders = (simgpu.LIBRARY_FOLDER, "/usr/lib64")
    mounts = (
        *(Mount(file, f"{folder}/{name}") for folder in folders for name, file in names.items()),
        Mount(scenario, "/etc/simgpu.conf"),
    )
    nodes = ("nvidiactl", *(f"nvidia{row}" for row in range(gpus)))
    return mounts, tuple(f"/dev/null:/dev/{name}:rwm" for name in nodes)


@cache
def _machine_module() -> ModuleType:
    """Return tests/simgpu/machine.py, which is no part of the toolkit's own package."""
    file = paths.simgpu() / "machine.py"
    spec = importlib.util.spec_from_file_location("kit_simgpu", file)
    if spec is None or spec.loader is None or not file.exists():
        raise KitError(f"the simulated GPU's sources are not in {file.parent}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
