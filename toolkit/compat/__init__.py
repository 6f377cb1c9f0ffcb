"""What fits together: version tables as data, each row with its source, and pure look-ups in them.

Silence where nothing is known: a card or version that no row holds is None, never a guess.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from toolkit.versions import numbers

Coverage = Literal["compiled", "jit", "too-old", "too-new"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A generation of GPUs, with the driver branches and kernel module flavours that drive it."""

    name: str
    first_branch: int | None
    last_branch: int | None  # None: still driven
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU by its PCI device id."""

    product: str
    chip: str
    compute_capability: str
    architecture: Architecture


def card(device_id: str) -> Card | None:
    """Return the card of a PCI device id of NVIDIA ("20b0"), None for one that is not in the table."""
    return _cards().get(device_id.lower())


def family_driver(cuda: str, windows: bool = False) -> str | None:
    """Return the oldest driver that runs what a CUDA toolkit compiled: its major version's (minor-version compatibility)."""
    major = numbers(cuda)[:1]
    row = next((row for row in _table("cuda_drivers")["families"] if (row["cuda"],) == major), None)
    return str(row["windows" if windows else "linux"]) if row else None


def toolkit_driver(cuda: str, windows: bool = False) -> str | None:
    """Return the driver that came with a CUDA toolkit ("12.5.1", or "12.5" for its first), None where none did."""
    wanted = (*numbers(cuda), 0, 0)[:3]
    row = next((row for row in _table("cuda_drivers")["toolkits"] if numbers(row["cuda"]) == wanted), None)
    driver = row["windows" if windows else "linux"] if row else None
    return None if driver is None else str(driver)


def tensorflow_build(tensorflow: str) -> tuple[str, ...] | None:
    """Return the CUDA capabilities that a TensorFlow wheel is compiled for: ("sm_60", …, "compute_90")."""
    release = numbers(tensorflow)[:2]
    rows = [row for row in _table("tensorflow_builds")["builds"] if numbers(row["tensorflow"]) <= release]
    return tuple(rows[-1]["capabilities"]) if rows else None


def capability(name: str) -> tuple[int, int]:
    """Return (9, 0) for sm_90 or compute_90."""
    digits = re.sub(r"\D", "", name)
    return int(digits[:-1]), int(digits[-1])


def coverage(compute_capability: str, built: tuple[str, ...]) -> Coverage:
    """Return whether a build has code for a card of a compute capability, only PTX to compile from, or neither.

    Code runs on its own major capability from its minor one on; PTX on every later one. Source: CUDA C++ Programming
    Guide, binary and PTX compatibility.
    """
    major, minor = numbers(compute_capability)[:2]
    code = [capability(name) for name in built]
    if any(major == each[0] and minor >= each[1] for each in code):
        return "compiled"
    if any((major, minor) > capability(name) for name in built if name.startswith("compute_")):
        return "jit"
    return "too-old" if (major, minor) < min(code) else "too-new"


@cache
def _table(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    return data


@cache
def _cards() -> dict[str, Card]:
    table = _table("architectures")
    named = {
        row["name"]: Architecture(row["name"], row["first_branch"], row["last_branch"], tuple(row["modules"]))
        for row in table["architectures"]
    }
    return {
        device: Card(product or row["chip"], row["chip"], row["compute_capability"], named[row["architecture"]])
        for row in table["chips"]
        for device, product in row["devices"].items()
    }
