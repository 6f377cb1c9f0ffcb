"""The version tables as records: cards, drivers of CUDA toolkits, TensorFlow's wheels, what each cuDNN serves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from toolkit.versions import numbers

CARDS_SOURCE = "https://pci-ids.ucw.cz"
WheelOs = Literal["linux", "linux-aarch64", "windows"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A generation of GPUs, with the driver branches and kernel module flavours that drive it."""

    name: str
    first_branch: int | None
    last_branch: int | None  # None: still driven
    modules: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU by its PCI device id."""

    product: str
    chip: str
    compute_capability: str
    architecture: Architecture


@dataclass(frozen=True, slots=True)
class Library:
    """The cards that a library has code for."""

    version: str  # the first of its range
    min_capability: str
    max_capability: str
    ptx: bool | None  # whether later cards run its PTX; None: not known
    source: str


@dataclass(frozen=True, slots=True)
class Build:
    """One TensorFlow release's wheels for one system."""

    tensorflow: str
    os: WheelOs
    python: tuple[str, ...]
    gpu: bool
    cuda: str | None
    cudnn: str | None
    capabilities: tuple[str, ...]
    pins: dict[str, str] = field(hash=False)
    numpy: str
    numpy_by_python: dict[str, str] = field(hash=False)
    source: str


def card(device_id: str) -> Card | None:
    """Return the card of a PCI device id of NVIDIA ("20b0"), None for one that is not in the table."""
    return cards().get(device_id.lower())


def architecture(compute_capability: str) -> Architecture | None:
    """Return the generation of a compute capability ("8.6"), None for one that no card of the table has."""
    return next((each.architecture for each in products() if each.compute_capability == compute_capability), None)


def first_branch(compute_capability: str) -> int | None:
    """Return the first driver branch that knows a compute capability: that of the first CUDA toolkit that lists it, and for
    those that the table's oldest toolkit lists that of the generation.
    """
    toolkits = table("cuda_architectures")["toolkits"]
    listing = next((row["cuda"] for row in toolkits if compute_capability in row["capabilities"]), None)
    driver = toolkit_driver(listing) if listing and listing != toolkits[0]["cuda"] else None
    generation = architecture(compute_capability)
    return numbers(driver)[0] if driver else generation.first_branch if generation else None


def cuda_library(cuda: str) -> Library | None:
    """Return which cards the libraries of a CUDA toolkit ("12.5.1") have code for."""
    rows = table("cuda_architectures")["toolkits"]
    row = next((row for row in rows if numbers(row["cuda"]) == numbers(cuda)[:2]), None)
    return _library(row["cuda"], row) if row else None


def cudnns() -> tuple[Library, ...]:
    """Return which cards each range of cuDNN versions has code for, the oldest first."""
    return tuple(_library(row["from"], row) for row in table("cudnn")["versions"])


def cudnn(version: str) -> Library | None:
    """Return which cards a cuDNN ("9.3.0") has code for, None for one that is older or newer than the table."""
    if numbers(version) >= numbers(table("cudnn")["versions"][-1]["before"]):
        return None
    return next((row for row in reversed(cudnns()) if numbers(row.version) <= numbers(version)), None)


def _library(version: str, row: dict[str, Any]) -> Library:
    return Library(version, row["min_capability"], row["max_capability"], row["ptx"], row["source"])


def beyond(compute_capability: str, library: Library) -> bool:
    """Return whether a library has no code for a card because the card is newer.

    What it has for 8.6 runs on every later 8.x. Source: CUDA C++ Programming Guide, binary compatibility.
    """
    return numbers(compute_capability)[0] > numbers(library.max_capability)[0]


def arm_source(product: str) -> str | None:
    """Return where it is written that machines with an ARM processor alone have a product ("GH200 144G HBM3e"); None: not so."""
    words = re.split(r"[^A-Za-z0-9]", product)
    return next((row["source"] for row in table("arm")["products"] if row["product"] in words), None)


def forward_compatible(product: str) -> bool | None:
    """Return whether a product ("A100 SXM4 40GB") takes the libcuda of a newer driver; None: not known."""
    rows = table("forward_compatibility")["classes"]
    return next((row["takes"] for row in rows if product.partition(" ")[0] in row["products"]), None)


def branches() -> tuple[int, ...]:
    """Return the driver branches that came with CUDA toolkits, in order."""
    return tuple(sorted({numbers(row["linux"])[0] for row in table("cuda_drivers")["toolkits"] if row["linux"]}))


def family_driver(cuda: str, windows: bool = False) -> str | None:
    """Return the oldest driver that runs what a CUDA toolkit compiled: its major version's (minor-version compatibility)."""
    major = numbers(cuda)[:1]
    row = next((row for row in table("cuda_drivers")["families"] if (row["cuda"],) == major), None)
    return str(row["windows" if windows else "linux"]) if row else None


def toolkit_driver(cuda: str, windows: bool = False) -> str | None:
    """Return the driver that came with a CUDA toolkit ("12.5.1", or "12.5" for its first), None where none did."""
    wanted = (*numbers(cuda), 0, 0)[:3]
    row = next((row for row in table("cuda_drivers")["toolkits"] if numbers(row["cuda"]) == wanted), None)
    driver = row["windows" if windows else "linux"] if row else None
    return None if driver is None else str(driver)


@cache
def builds(os: WheelOs = "linux") -> tuple[Build, ...]:
    """Return TensorFlow's releases for a system, the newest first."""
    rows = [
        Build(
            row["tensorflow"], row["os"], tuple(row["python"]), row["gpu"], row["cuda"], row["cudnn"],
            tuple(row["capabilities"]), row["pins"], row["numpy"], row["numpy_by_python"], row["source"],
        )
        for row in table("tensorflow")["builds"]
        if row["os"] == os
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: all_numbers(row.tensorflow), reverse=True))


def release(text: str, os: WheelOs = "linux") -> str | None:
    """Return the release of the table that a text names: itself ("2.19.1"), or of a minor version ("2.19") its newest patch;
    None for any other text.
    """
    minor = text.count(".") == 1
    known = (row.tensorflow for row in builds(os))
    return next((each for each in known if each == text or (minor and each.startswith(f"{text}."))), None)


def build(tensorflow: str, os: WheelOs = "linux") -> Build | None:
    """Return the wheels for a system of the release that a text names, as `release` says; None where it names none."""
    named = release(tensorflow, os)
    return next((row for row in builds(os) if row.tensorflow == named), None)


def tensorflow_build(tensorflow: str) -> tuple[str, ...] | None:
    """Return the CUDA capabilities that a TensorFlow wheel is compiled for: ("sm_60", …, "compute_90")."""
    known = build(tensorflow)
    return known.capabilities if known else None


def numpy_range(build: Build, python: str | None) -> str:
    """Return the NumPy versions that a release takes on a Python ("3.12"), or on its oldest where none is given."""
    return build.numpy_by_python.get(".".join((python or "").split(".")[:2]), build.numpy)


def all_numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release with its post-release's: (2, 15, 0, 1) of "2.15.0.post1"."""
    return tuple(int(part.removeprefix("post")) for part in version.split("."))


@cache
def table(name: str) -> dict[str, Any]:
    """Return a table as it is written: its parts, each a list of rows with a source."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    return data


@cache
def cards() -> dict[str, Card]:
    """Return every card of the table by its PCI device id."""
    rows = table("architectures")
    named = {
        row["name"]: Architecture(
            row["name"], row["first_branch"], row["last_branch"], tuple(row["modules"]), row["source"]
        )
        for row in rows["architectures"]
    }
    return {
        device: Card(product or row["chip"], row["chip"], row["compute_capability"], named[row["architecture"]])
        for row in rows["chips"]
        for device, product in row["devices"].items()
    }


@cache
def products() -> tuple[Card, ...]:
    """Return every card of the table, those with a PCI id and those on a board of their own (Jetson)."""
    named = {each.architecture.name: each.architecture for each in cards().values()}
    boards = (
        Card(row["product"], row["product"], row["compute_capability"], named[row["architecture"]])
        for row in table("architectures")["integrated"]
    )
    return (*cards().values(), *boards)
