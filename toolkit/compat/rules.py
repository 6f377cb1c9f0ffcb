"""What makes code, card and driver fit together: each rule a pure function of texts, with its source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from toolkit.compat.tables import Architecture, branches, family_driver, toolkit_driver
from toolkit.versions import numbers

Coverage = Literal["compiled", "jit", "too-old", "too-new"]
DriverFit = Literal["full", "minor", "no", "unknown"]

CODE_SOURCE = "https://docs.nvidia.com/cuda/cuda-c-programming-guide/ (binary compatibility, PTX compatibility)"
DRIVER_SOURCE = (
    "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html; "
    "https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html (CUDA Toolkit and Corresponding Driver Versions)"
)
FORWARD_SOURCE = "https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html"
WSL_SOURCE = "https://docs.nvidia.com/cuda/wsl-user-guide/"


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a build that a card runs: machine code (sass), PTX that the driver compiles, or none that is known."""

    kind: Literal["sass", "ptx", "none"] = "none"
    via: str | None = None  # the compute capability that it was made for


def capability(name: str) -> tuple[int, int]:
    """Return (9, 0) for sm_90 or compute_90."""
    digits = re.sub(r"\D", "", name)
    return int(digits[:-1]), int(digits[-1])


def code(compute_capability: str, built: tuple[str, ...]) -> Code:
    """Return the code that a card of a compute capability runs of a build ("sm_60", …, "compute_90").

    Machine code runs on its own major capability from its minor one on; PTX on every later one. compute_XY stands for
    both. Source: CUDA C++ Programming Guide; TensorFlow, configure.py.
    """
    wanted = numbers(compute_capability)[:2]
    sass = [each for each in map(capability, built) if each[0] == wanted[0] and each <= wanted]
    ptx = [each for each in map(capability, (name for name in built if name.startswith("compute_"))) if each < wanted]
    if sass:
        return Code("sass", _dotted(max(sass)))
    return Code("ptx", _dotted(max(ptx))) if ptx else Code()


def coverage(compute_capability: str, built: tuple[str, ...]) -> Coverage:
    """Return whether a build has code for a card of a compute capability, only PTX to compile from, or neither."""
    match code(compute_capability, built).kind:
        case "sass":
            return "compiled"
        case "ptx":
            return "jit"
    return "too-old" if numbers(compute_capability)[:2] < min(map(capability, built)) else "too-new"


def reaches(driver: str, oldest: str) -> bool | None:
    """Return whether a driver is as new as another; None where only its branch is given ("535") and both are of that.

    Windows and Linux number their drivers apart: compare within one system.
    """
    have, needed = numbers(driver), numbers(oldest)
    return None if len(have) < len(needed) and needed[: len(have)] == have else have >= needed


def driver_fit(driver: str, cuda: str, windows: bool = False) -> DriverFit:
    """Return how a driver serves what a CUDA toolkit compiled: as new as the toolkit's own driver (full), by minor-version
    compatibility (minor), or not. Source: CUDA Compatibility.
    """
    own, oldest = toolkit_driver(cuda, windows), family_driver(cuda, windows)
    full = own is not None and reaches(driver, own)
    minor = oldest is not None and reaches(driver, oldest)
    if full:
        return "full"
    if oldest is None or full is None or minor is None:
        return "unknown"
    return "minor" if minor else "no"


def branch(driver: str, windows: bool = False) -> int:
    """Return a driver's branch: 535 of 535.104.05, and of Windows' 537.13.

    There a branch's numbers go on until the next one begins: R470 is 471 to 475, R580 is 580 to 582.
    """
    major = numbers(driver)[0]
    return max((each for each in branches() if each <= major), default=major) if windows else major


def drives(architecture: Architecture, branch: int) -> bool:
    """Return whether a driver branch drives a generation of cards."""
    return (architecture.first_branch or 0) <= branch <= (architecture.last_branch or branch)


def _dotted(each: tuple[int, int]) -> str:
    return f"{each[0]}.{each[1]}"
