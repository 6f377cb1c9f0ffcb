"""What a variant of an image is: a row of image.toml, with the extra that lies on it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from toolkit import paths
from toolkit.compat import tables
from toolkit.model import UsageError
from toolkit.versions import numbers

Hardware = Literal["gpu", "cpu"]
Flavour = Literal["tested", "newest"]
OLDEST_PYTHON = "3.11"  # of the locks: kit's own oldest, and the oldest of the bases


@dataclass(frozen=True, slots=True)
class Extra:
    """Packages in a layer on top of a variant, the extra below it, and the variants that it is for.

    A `backend` is one of Keras', by its name; `since` is the first TensorFlow. Where an extra needs other
    packages on GPUs, it has a lock of its own for each of those variants, all of one flavour; where it has packages for
    GPUs alone, it is for no other variants.
    """

    name: str
    packages: tuple[str, ...]
    on: str | None = None
    backend: bool = False
    since: str | None = None
    gpu_packages: tuple[str, ...] = ()
    gpu_flavour: Flavour | None = None

    def refuses(self, each: Variant) -> str | None:
        """Return why it is not for a variant, None where it is."""
        if self.since and numbers(each.tensorflow) < numbers(self.since):
            return f"the extra {self.name} is for TensorFlow {self.since} and newer, and not for {each.tensorflow}"
        if (each.hardware == "gpu" or not self.packages) and self.gpu_flavour not in (None, each.flavour):
            there = [row.minor for row in variants() if row.flavour == self.gpu_flavour and self.refuses(row) is None]
            return (
                f"the extra {self.name} needs the {self.gpu_flavour} CUDA libraries: take {'' if self.packages else '--variant gpu '}"
                f"--libraries {self.gpu_flavour}, with TensorFlow {' or '.join(there)}"
            )
        return None


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of image.toml, as somebody wants it: with an extra, unslimmed, on another base."""

    repository: str
    folder: Path
    tensorflow: str
    hardware: Hardware
    base: str
    flavour: Flavour = "tested"
    extras: tuple[Extra, ...] = ()  # from the lowest layer up
    full: bool = False  # with headers, static archives and symbols
    own_base: bool = False  # another base than the row's

    @property
    def core(self) -> str:
        """The row's name, which its lock has: 2.21-gpu, 2.21-gpu-newest."""
        return f"{self.minor}-{self.hardware}{'' if self.flavour == 'tested' else f'-{self.flavour}'}"

    @property
    def minor(self) -> str:
        return ".".join(self.tensorflow.split(".")[:2])

    @property
    def name(self) -> str:
        """What the tag says beside TensorFlow's version."""
        parts = [self.hardware, self.flavour if self.flavour != "tested" else "", "full" if self.full else ""]
        parts += [self.extras[-1].name if self.extras else "", _tag_part(self.base) if self.own_base else ""]
        return "-".join(filter(None, parts))

    @property
    def tag(self) -> str:
        return f"{self.repository}:{self.tensorflow}-{self.name}"

    @property
    def lock_file(self) -> Path:
        return self.folder / self.lock

    @property
    def lock(self) -> str:
        return f"locks/{self.core}.txt"

    @property
    def locks(self) -> tuple[Path, ...]:
        """The locks of every layer, from the lowest up."""
        return (self.lock_file, *(self.extra_lock(each) for each in self.extras))

    def extra_lock(self, extra: Extra) -> Path:
        """Return the lock of an extra: one for a TensorFlow, whatever the hardware, unless it needs others on GPUs."""
        own = extra.gpu_packages and self.hardware == "gpu"
        return self.folder / f"locks/{self.core if own else self.minor}-{extra.name}.txt"


@cache
def spec(image: str = "tensorflow") -> dict[str, Any]:
    """Return an image's image.toml."""
    return tomllib.loads((paths.images() / image / "image.toml").read_text(encoding="utf-8"))


def variants(image: str = "tensorflow") -> tuple[Variant, ...]:
    """Return the variants of an image, in the order of its image.toml, the newest TensorFlow first."""
    table = spec(image)
    folder = paths.images() / image
    return tuple(Variant(table["repository"], folder, **row) for row in table["variant"])


def extras(image: str = "tensorflow") -> dict[str, Extra]:
    """Return the extras of an image by their names."""
    rows: list[dict[str, Any]] = [
        {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        for row in spec(image)["extra"]
    ]
    return {row["name"]: Extra(**row) for row in rows}


def extras_of(each: Variant) -> dict[str, Extra]:
    """Return the extras that there are for a variant, by their names."""
    return {name: extra for name, extra in extras(each.folder.name).items() if extra.refuses(each) is None}


def variant(hardware: str, tensorflow: str | None = None, flavour: str = "tested", extra: str | None = None) -> Variant:
    """Return the variant for hardware of a TensorFlow ("2.19" or "2.19.1"), the newest where none is named.

    Raises UsageError with what there is.
    """
    if hardware not in ("gpu", "cpu"):
        raise UsageError(f"there is no variant {hardware!r}; choose from gpu and cpu")
    rows = [row for row in variants() if row.flavour == flavour]
    fitting = [row for row in rows if row.hardware == hardware]
    wanted = None if tensorflow is None else tables.release(tensorflow)
    found = next((row for row in fitting if tensorflow is None or row.tensorflow == wanted), None)
    if found is None:
        named = "" if tensorflow is None else f" of TensorFlow {tensorflow or '(nothing)'}"
        named += "" if flavour == "tested" else f" with the {flavour} CUDA libraries"
        there = fitting or rows
        known = ", ".join(row.tensorflow for row in there)
        raise UsageError(
            f"there is no {hardware} image{named}; choose from the {there[0].hardware} images of TensorFlow {known}"
        )
    return found if extra is None else with_extra(found, extra)


def with_extra(each: Variant, name: str) -> Variant:
    """Return a variant with an extra and those below it; UsageError with the extras that there are, or why it has none."""
    there = extras()
    chain: list[Extra] = []
    below: str | None = name
    while below is not None:
        if below not in there:
            raise UsageError(f"there is no extra {below!r}; choose from {', '.join(there)}")
        if reason := there[below].refuses(each):
            raise UsageError(reason)
        chain.insert(0, there[below])
        below = there[below].on
    return replace(each, extras=tuple(chain))


def unslimmed(each: Variant) -> Variant:
    """Return a variant with everything that the wheels hold."""
    return replace(each, full=True)


def on_base(each: Variant, base: str) -> Variant:
    """Return a variant on another base image. Raises UsageError where the base's Python is known, and not the locks'."""
    if not base:
        raise UsageError("--base: give an image's name, as ubuntu:24.04")
    if base == each.base:
        return each
    known = {row["name"]: row["python"] for row in spec()["base"]}
    if base in known and known[base] not in pythons(each):
        raise UsageError(f"--base {base} has Python {known[base]}, and {locked_for(each)}")
    return replace(each, base=base, own_base=True)


def pythons(each: Variant) -> tuple[str, ...]:
    """Return the Pythons that a variant's locks are for: those of its TensorFlow's wheels, from the locks' oldest on."""
    build = tables.build(each.tensorflow)
    assert build is not None, f"no row of tensorflow.json for {each.tensorflow}"
    return tuple(python for python in build.python if numbers(python) >= numbers(OLDEST_PYTHON))


def locked_for(each: Variant) -> str:
    """Return which Pythons a variant's locks are for, in words."""
    return f"the packages of TensorFlow {each.tensorflow} are locked for Python {', '.join(pythons(each))} alone"


def _tag_part(base: str) -> str:
    """Return an image's name as part of a tag. Sample: 'registry.lab:5000/ubuntu:24.04' -> 'ubuntu24.04'."""
    return base.rpartition("/")[2].partition("@")[0].replace(":", "")
