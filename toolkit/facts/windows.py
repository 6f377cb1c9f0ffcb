"""Native Windows: the driver, and the parts that TensorFlow 2.10 needs there. On other systems nothing is asked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value
from toolkit.versions import numbers

SMI = "nvidia-smi --query-gpu=name,driver_version --format=csv,noheader"
SYSTEM = "C:/Windows/System32"
# What TensorFlow's wheel loads before anything else. Source: tensorflow/python/platform/self_check.py (MSVCP_DLL_NAMES).
REDISTRIBUTABLE = ("msvcp140.dll", "msvcp140_1.dll", "vcruntime140_1.dll")
TOOLKITS = "C:/Program Files/NVIDIA GPU Computing Toolkit/CUDA"
LONG_PATHS = r"reg query HKLM\SYSTEM\CurrentControlSet\Control\FileSystem /v LongPathsEnabled"
ON_BUS = r"reg query HKLM\SYSTEM\CurrentControlSet\Enum\PCI /f VEN_10DE /k"
PYTHONS = "py -0p"
PACKAGES = ("py -m pip list --format=json", "python -m pip list --format=json")
# tensorflow-intel alone is what "tensorflow" brings with it from 2.11 on.
TENSORFLOWS = ("tensorflow", "tensorflow-gpu", "tensorflow-intel", "tensorflow-cpu")
# Source: https://www.tensorflow.org/install/source_windows, tested build configurations of tensorflow_gpu-2.10.0; and
# site/en/install/pip.md of tensorflow/docs: 2.10 was the last with GPU support on native Windows.
FIRST_WITHOUT_GPU = (2, 11)
CUDA = "11.2"
CUDART, CUDNN, ZLIB = "cudart64_110.dll", "cudnn64_8.dll", "zlibwapi.dll"


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's driver for Windows as nvidia-smi tells of it."""

    version: str | None  # None: there is none
    gpus: tuple[str, ...]
    text: str  # nvidia-smi's own words where it fails


@dataclass(frozen=True, slots=True)
class Cuda:
    """CUDA and cuDNN as a program finds them."""

    toolkits: tuple[str, ...]  # "11.2", …
    cuda_path: str | None
    cudart: str | None  # the folder of PATH that holds it
    cudnn: str | None  # the folder of PATH that holds it
    cudnn_version: tuple[int, int] | None  # by its header
    zlib: str | None  # the folder of PATH that holds zlibwapi.dll


@dataclass(frozen=True, slots=True)
class Python:
    """One Python that the launcher knows."""

    version: tuple[int, int]
    bits: int
    place: str


@dataclass(frozen=True, slots=True)
class Tensorflow:
    """The TensorFlow of the default Python; None: there is none."""

    package: str | None
    version: str | None


def driver(host: Host) -> Driver | Unknown:
    """Return the driver. Sample: 'NVIDIA GeForce RTX 3060, 531.79\\n', one line a GPU."""
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    match host.ask(f"run:{SMI}"):
        case Value({"code": 0, "stdout": str(out)}):
            rows = [line.rsplit(", ", 1) for line in out.splitlines() if ", " in line]
            return Driver(rows[0][1].strip() if rows else None, tuple(row[0] for row in rows), out.strip())
        case Value({"stdout": str(out), "stderr": str(err)}):
            return Driver(None, (), (out or err).strip())
        case Absent():
            return Driver(None, (), "there is no nvidia-smi")
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
    return Unknown("nvidia-smi's answer is not understood")


def on_bus(host: Host) -> bool | Unknown:
    """Return whether Windows has ever met a PCI device of NVIDIA.

    Sample: 'HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Enum\\PCI\\VEN_10DE&DEV_2504&SUBSYS_397D1462&REV_A1\n…'.
    """
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    match host.ask(f"run:{ON_BUS}"):
        case Value({"stdout": str(out)}):
            return "VEN_10DE&" in out
    return Unknown("the registry cannot be read")


def redistributable_missing(host: Host) -> tuple[str, ...] | Unknown:
    """Return the DLLs of the Visual C++ redistributable that are not in System32."""
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    answers = {name: host.ask(f"access:{SYSTEM}/{name}") for name in REDISTRIBUTABLE}
    if any(isinstance(answer, NotAsked | Failed) for answer in answers.values()):
        return Unknown(f"{SYSTEM} cannot be read")
    return tuple(name for name, answer in answers.items() if isinstance(answer, Absent))


def cuda(host: Host) -> Cuda | Unknown:
    """Return CUDA and cuDNN. Samples: folders 'v11.2', 'v12.4'; PATH 'C:\\\\Windows\\\\system32;C:\\\\…\\\\v11.2\\\\bin'."""
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    path, listed = host.ask("env:PATH"), host.ask(f"list:{TOOLKITS}")
    if isinstance(path, NotAsked | Failed) or isinstance(listed, NotAsked | Failed):
        return Unknown("PATH or the folder of CUDA toolkits cannot be read")
    folders = [_forward(folder) for folder in (host.text("env:PATH") or "").split(";") if folder.strip()]
    root = host.text("env:CUDA_PATH")
    header = host.text(f"file:{_forward(root)}/include/cudnn_version.h") if root else None
    return Cuda(
        toolkits=tuple(name[1:] for name in host.names(f"list:{TOOLKITS}") if re.fullmatch(r"v\d+\.\d+", name)),
        cuda_path=root,
        cudart=_holding(host, folders, CUDART),
        cudnn=_holding(host, folders, CUDNN),
        cudnn_version=_cudnn_version(header or ""),
        zlib=_holding(host, folders, ZLIB),
    )


def long_paths(host: Host) -> bool | Unknown:
    """Return whether paths may be longer than 260 characters.

    Sample: '    LongPathsEnabled    REG_DWORD    0x1'. A machine without the value has them off.
    """
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    match host.ask(f"run:{LONG_PATHS}"):
        case Value({"code": int(code), "stdout": str(out)}):
            return code == 0 and re.search(r"REG_DWORD\s+0x0*1\b", out) is not None
    return Unknown("the registry cannot be read")


def pythons(host: Host) -> tuple[Python, ...] | Unknown:
    """Return the Pythons that the launcher knows.

    Samples: ' -V:3.10 *        C:\\\\Program Files\\\\Python310\\\\python.exe' and ' -3.9-32        C:\\\\Python39-32\\\\python.exe'.
    """
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    match host.ask(f"run:{PYTHONS}"):
        case Value({"stdout": str(out)}):
            found = re.findall(r"^\s*-(?:V:)?(\d+)\.(\d+)(-32|-64|-arm64)?\s+(?:\*\s+)?(\S.*)$", out, re.MULTILINE)
            return tuple(
                Python((int(major), int(minor)), 32 if bits == "-32" else 64, place.strip())
                for major, minor, bits, place in found
                if bits != "-arm64"  # no TensorFlow is built for it
            )
        case Absent():
            return Unknown("there is no Python launcher (py)")
    return Unknown("the Python launcher gave no list")


def packages(host: Host) -> dict[str, str] | Unknown:
    """Return the installed packages of the default Python: name to version. Sample: [{"name": "tensorflow", "version": "2.10.1"}]."""
    if (elsewhere := _elsewhere(host)) is not None:
        return elsewhere
    for command in PACKAGES:
        match host.ask(f"run:{command}"):
            case Value({"code": 0, "stdout": str(out)}):
                return {str(row["name"]).lower(): str(row["version"]) for row in json.loads(out)}
    return Unknown("pip gave no list of packages")


def tensorflow(host: Host) -> Tensorflow | Unknown:
    """Return the TensorFlow of the default Python."""
    installed = packages(host)
    if isinstance(installed, Unknown):
        return installed
    name = next((name for name in TENSORFLOWS if name in installed), None)
    return Tensorflow(name, installed[name] if name else None)


def native_way(host: Host) -> bool | Unknown:
    """Return whether someone goes the native way here: a TensorFlow that has it is installed, or none and CUDA 11.2."""
    installed, toolkits = tensorflow(host), cuda(host)
    if isinstance(installed, Tensorflow) and installed.version:
        return numbers(installed.version) < FIRST_WITHOUT_GPU
    return toolkits if isinstance(toolkits, Unknown) else CUDA in toolkits.toolkits


def _elsewhere(host: Host) -> Unknown | None:
    return None if host.text("system:") == "Windows" else Unknown("this is not Windows")


def _forward(path: str) -> str:
    return path.strip().strip('"').replace("\\", "/").rstrip("/")


def _holding(host: Host, folders: list[str], name: str) -> str | None:
    """Return the first folder that holds a file."""
    return next((folder for folder in folders if isinstance(host.ask(f"access:{folder}/{name}"), Value)), None)


def _cudnn_version(header: str) -> tuple[int, int] | None:
    """Return cuDNN's version. Sample of cudnn_version.h: '#define CUDNN_MAJOR 8\\n#define CUDNN_MINOR 1'."""
    numbers = dict(re.findall(r"#define CUDNN_(MAJOR|MINOR) (\d+)", header))
    return (int(numbers["MAJOR"]), int(numbers["MINOR"])) if {"MAJOR", "MINOR"} <= numbers.keys() else None
