"""Says what this container has of each upper rung, as one `probe` event; computes nothing.

With --driver-libraries it says only which libraries of the driver load: what an image has of its own, where the
container was started without GPUs. With --train FOLDER it also writes there and trains the packaged model.
It runs in images of anybody's, whose Python may be as old as 3.8.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime import cuda_gpus, emit, open_events, versions

DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")
LIBRARIES = json.loads(Path(__file__).with_name("libraries.json").read_text(encoding="utf-8"))
EPOCHS = 3

# In a child, since cuDNN 9 ends its process where one of its parts is missing.
TRY_CUDNN = """
import ctypes, sys
for part in sys.argv[2:]:
    try:
        ctypes.CDLL(part)
        print(part, flush=True)
    except OSError as error:
        print(part, error, flush=True)
library = ctypes.CDLL(sys.argv[1])
library.cudnnGetVersion.restype = ctypes.c_size_t
print(sys.argv[1], library.cudnnGetVersion())
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


def cuda_versions(libraries: list[str]) -> dict[str, str]:
    """Return the versions that CUDA's libraries, which are loaded, say of themselves: cudart -> 12.5, cublas -> 12.5.3."""
    told = {}
    number = ctypes.c_int(0)
    for name in libraries:
        library, short = ctypes.CDLL(name), stem(name)[3:]
        if short == "cudart" and library.cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
            told[short] = f"{number.value // 1000}.{number.value % 1000 // 10}"
        elif ask := getattr(library, LIBRARIES["version_functions"].get(stem(name), ""), None):
            told[short] = ".".join(str(number.value) for part in range(3) if ask(part, ctypes.byref(number)) == 0)
    return told


def cudnn(file: str, parts: list[str]) -> tuple[str | None, dict[str, str | None]]:
    """Return the version that a cuDNN says of itself, and why it or its parts, which lie beside it, do not work.

    The parts are loaded when they are first needed, by cuDNN and not by the linker's search.
    Its number is 8904 for 8.9.4 and 90300 for 9.3.0. Source: cudnn_version.h.
    """
    beside = Path(file).resolve().parent
    command = [sys.executable, "-c", TRY_CUDNN, file, *(str(beside / part) for part in parts)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        said, last = done.stdout, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired as error:
        said, last = str(error.stdout or ""), "no answer"
    answers = dict(line.partition(" ")[::2] for line in said.splitlines())
    reasons = {part: answers[str(beside / part)] or None for part in parts if str(beside / part) in answers}
    number = int(answers.get(file) or 0)
    if not number and not any(reasons.values()):
        reasons[next((part for part in parts if part not in reasons), Path(file).name)] = f"{file}: {last}"
    major, minor = (number // 10000, number // 100 % 100) if number >= 90000 else (number // 1000, number // 100 % 10)
    return f"{major}.{minor}.{number % 100}" if number else None, reasons


def built_with() -> dict[str, str]:
    """Return the CUDA and cuDNN that TensorFlow was tested with by its own metadata: the lowest that it takes.

    Its build information loses them with 2.22. Samples: 'nvidia-cudnn-cu12<10.0,>=9.3.0.75; extra == "and-cuda"'.
    """
    import importlib.metadata

    try:
        wanted = importlib.metadata.requires("tensorflow") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    told = {}
    for name, package in (("cuda", "nvidia-cuda-runtime"), ("cudnn", "nvidia-cudnn")):
        lines = [line for line in wanted if line.startswith(package)]
        if lowest := re.search(r"[>=]=\s*([\d.]+)", lines[0] if lines else ""):
            told[name] = ".".join(lowest[1].split(".")[:2])
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


def tensorflow() -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return what TensorFlow says of itself and its GPUs, or the error that its import ended in, and the versions."""
    try:
        import tensorflow as tf

        known = versions()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return {"version": "", "gpus": 0, "names": [], "cuda_build": False, "error": reason}, {}
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    cuda_build = bool(tf.test.is_built_with_cuda())
    compiled_for = list(tf.sysconfig.get_build_info().get("cuda_compute_capabilities") or [])
    seen = {"version": tf.__version__, "gpus": len(gpus), "names": names, "cuda_build": cuda_build, "error": None}
    if cuda_build and not known["cuda"]:
        known.update(built_with())
    return {**seen, "compiled_for": compiled_for}, known


def cuda_libraries(known: dict[str, str | None]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return why each library of TensorFlow's build does not load (None where it does), and the versions of those that do."""
    wanted: list[str] = LIBRARIES.get((known.get("cuda") or "").split(".")[0], [])
    major = (known.get("cudnn") or "").split(".")[0]
    if major:  # the list goes by CUDA alone, and builds of one CUDA have cuDNN 8 or 9
        wanted = [f"libcudnn.so.{major}" if stem(name) == "libcudnn" else name for name in wanted]
    reasons = {name: loads(name) for name in wanted}
    told = cuda_versions([name for name, reason in reasons.items() if reason is None])
    name = f"libcudnn.so.{major}"
    if name in reasons and reasons[name] is None and (file := loaded([name]).get("libcudnn")):
        version, broken = cudnn(file, LIBRARIES["cudnn_parts"].get(major, []))
        if version:
            told["cudnn"] = version
        reasons.update({name if part == Path(file).name else part: reason for part, reason in broken.items()})
    return reasons, told


def train(folder: Path, device: str) -> None:
    """Train the packaged model, a few epochs with the events of a run, or say in one of `untrained` what it lacks."""
    import lesson
    from side_effects.run import data, model

    sys.argv[1:] = ["--epochs", str(EPOCHS), "--device", device, "--out", str(folder)]
    try:
        lesson.run(None, data, model)
    except ModuleNotFoundError as error:
        emit("untrained", reason=str(error), missing=error.name)


def writes(folder: Path) -> str | None:
    """Return why a file cannot be written to a folder, None where it can."""
    try:
        (folder / "written").write_text("by the probe", encoding="utf-8")
    except OSError as error:
        return str(error)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver-libraries", action="store_true")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto")
    options = parser.parse_args()
    open_events()
    if options.driver_libraries:
        load = [name for name in DRIVER if loads(name) is None]
        files = loaded(load)
        emit("probe", driver_libraries={name: files.get(stem(name)) for name in DRIVER})
        return
    count, error = cuda_gpus()
    seen, known = tensorflow()
    # After TensorFlow, so that libraries which it finds by its own search path count as found.
    reasons, told = cuda_libraries(known)
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
        loaded=loaded([*DRIVER, *reasons]),
        loaded_versions=told,
        others={name: others(name) for name, reason in reasons.items() if reason is not None},
    )
    if options.train:
        emit("written", error=writes(options.train))
        if not seen["error"]:
            train(options.train, options.device)


if __name__ == "__main__":
    main()
