"""Says what this container has of each upper rung, as one `probe` event; computes nothing.

With --driver-libraries it says only which libraries of the driver load: what an image has of its own, where the
container was started without GPUs.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime import cuda_gpus, emit, open_events, versions

DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")

# In a child, since cuDNN 9 aborts its process where one of its parts is missing.
READ_VERSIONS = """
import ctypes, json, sys
told = {}
for name in sys.argv[1:]:
    library = ctypes.CDLL(name)
    if name.startswith("libcudnn"):
        library.cudnnGetVersion.restype = ctypes.c_size_t
        number = library.cudnnGetVersion()
        major = number // 10000 if number >= 90000 else number // 1000
        told["cudnn"] = f"{major}.{number // 100 % (100 if number >= 90000 else 10)}.{number % 100}"
    else:
        number = ctypes.c_int(0)
        if library.cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
            told["cudart"] = f"{number.value // 1000}.{number.value % 1000 // 10}"
print(json.dumps(told))
"""


def loads(library: str) -> str | None:
    """Return the linker's reason why a library does not load, None where it does."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return str(error)
    return None


def nodes() -> dict[str, str]:
    """Return NVIDIA's device nodes: name -> "open", or the error of opening it (EPERM: the cgroup, EACCES: the mode)."""
    seen = {}
    for path in sorted(Path("/dev").glob("nvidia*")):
        if path.is_dir():
            continue
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            seen[path.name] = "open"
        except OSError as error:
            seen[path.name] = errno.errorcode.get(error.errno or 0, str(error.errno))
    return seen


def stem(library: str) -> str:
    """Return a library's name without its versions: libcuda of libcuda.so.550.54.15."""
    return library.partition(".so")[0]


def loaded(libraries: list[str]) -> dict[str, str]:
    """Return the file that each library was loaded from, by its name without versions."""
    stems = {stem(library) for library in libraries}
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    files = [line.split(maxsplit=5)[5] for line in maps.splitlines() if ".so" in line and "/" in line]
    return {stem(Path(file).name): file for file in files if stem(Path(file).name) in stems}


def loaded_versions(libraries: list[str]) -> dict[str, str]:
    """Return the versions that cuDNN and the CUDA runtime say of themselves."""
    asked = [name for name in libraries if stem(name) in ("libcudnn", "libcudart")]
    try:
        command = [sys.executable, "-c", READ_VERSIONS, *asked]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        told: dict[str, str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
    return told


def wheels() -> str | None:
    """Return the folder of NVIDIA's Python packages, None where there is none."""
    return next((str(folder) for entry in sys.path if (folder := Path(entry, "nvidia")).is_dir()), None)


def others(library: str) -> list[str]:
    """Return the files of other versions of a library that does not load, where it may be expected."""
    folders = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    folders += [Path("/usr/local/cuda/lib64"), *Path("/usr/lib").glob("*-linux-gnu")]
    if packages := wheels():
        folders += Path(packages).glob("*/lib")
    found = [file for folder in folders for file in folder.glob(f"{stem(library)}.so.*")]
    return [str(file) for file in found if file.name != library]


def tensorflow() -> dict[str, Any]:
    """Return what TensorFlow says of itself and its GPUs, or the error that its import ended in."""
    try:
        import tensorflow as tf
    except Exception as error:
        return {"version": "", "gpus": 0, "names": [], "cuda_build": False, "error": f"{type(error).__name__}: {error}"}
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    cuda_build = bool(tf.test.is_built_with_cuda())
    compiled_for = list(tf.sysconfig.get_build_info().get("cuda_compute_capabilities") or [])
    seen = {"version": tf.__version__, "gpus": len(gpus), "names": names, "cuda_build": cuda_build, "error": None}
    return {**seen, "compiled_for": compiled_for}


def main() -> None:
    open_events()
    if "--driver-libraries" in sys.argv:
        load = [name for name in DRIVER if loads(name) is None]
        files = loaded(load)
        emit("probe", driver_libraries={name: files.get(stem(name)) for name in DRIVER})
        return
    count, error = cuda_gpus()
    seen = tensorflow()
    known = {} if seen["error"] else versions()
    # After TensorFlow, so that libraries which it finds by its own search path count as found.
    wanted: list[str] = []
    if cuda := known.get("cuda"):
        wanted = json.loads((Path(__file__).parent / "libraries.json").read_text()).get(cuda.split(".")[0], [])
    if cudnn := known.get("cudnn"):  # libraries.json goes by CUDA alone, and builds of one CUDA have cuDNN 8 or 9
        wanted = [f"libcudnn.so.{cudnn.split('.')[0]}" if stem(name) == "libcudnn" else name for name in wanted]
    reasons = {name: loads(name) for name in wanted}
    emit(
        "probe",
        cuda={"gpus": count, "error": error},
        nvml_library=loads("libnvidia-ml.so.1") is None,
        libraries=reasons,
        tensorflow=seen,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        versions=known,
        simulated=Path("/etc/simgpu.conf").exists(),
        nodes=nodes(),
        capabilities=os.environ.get("NVIDIA_DRIVER_CAPABILITIES"),
        library_path=os.environ.get("LD_LIBRARY_PATH"),
        wheels=wheels(),
        loaded=loaded([*DRIVER, *wanted]),
        loaded_versions=loaded_versions([name for name, reason in reasons.items() if reason is None]),
        others={name: others(name) for name, reason in reasons.items() if reason is not None},
    )


if __name__ == "__main__":
    main()
