"""The stand-in driver libraries of tests/simgpu, compiled: what proves an image where there is no GPU."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from toolkit import paths
from toolkit.engine.plan import Mount
from toolkit.model import KitError

LIBRARIES = {"libcuda.so.1": "libcuda.c", "libnvidia-ml.so.1": "libnvidia-ml.c"}  # each with scenario.c
SYSTEM_FOLDER = "/usr/lib/x86_64-linux-gnu"  # on every linker's default path, where the NVIDIA toolkit mounts its own


def compiled() -> Path:
    """Return the folder that holds the two libraries, compiled on first use and after each change.

    Raises KitError where there is no C compiler.
    """
    sources = sorted([*paths.simgpu().glob("*.c"), *paths.simgpu().glob("*.h")])
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = paths.cache() / "simgpu" / digest
    if all((folder / name).exists() for name in LIBRARIES):
        return folder
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise KitError(
            "no GPU here to prove the image with, and no C compiler to make a simulated one: apt-get install gcc"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in LIBRARIES.items():
        unfinished = folder / f"{name}.unfinished"
        flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{name}"]
        subprocess.run([compiler, *flags, "-o", unfinished, paths.simgpu() / source, paths.simgpu() / "scenario.c", "-ldl"], check=True)
        unfinished.rename(folder / name)
    return folder


def mounts() -> tuple[Mount, ...]:
    """Return the mounts that give a container the stand-in libraries, where the real ones would be."""
    folder = compiled()
    return tuple(Mount(folder / name, f"{SYSTEM_FOLDER}/{name}") for name in LIBRARIES)


def nodes(gpus: int) -> tuple[str, ...]:
    """Return the device nodes of so many simulated GPUs: the null device under NVIDIA's names."""
    return tuple(f"/dev/null:/dev/nvidia{index}:rwm" for index in range(gpus))
