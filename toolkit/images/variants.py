"""What a variant of an image is: a row of image.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from toolkit import paths
from toolkit.model import (
    UsageError,
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of image.toml."""

    repository: str
    folder: Path
    name: str
    tensorflow: str
    base: str
    requirements: str
    lock: str

    @property
    def tag(self) -> str:
        return f"{self.repository}:{self.tensorflow}-{self.name}"

    @property
    def lock_file(self) -> Path:
        return self.folder / self.lock


def variants(image: str = "tensorflow") -> tuple[Variant, ...]:
    """Return the variants of an image, in the order of its image.toml."""
    folder = paths.images() / image
    spec = tomllib.loads((folder / "image.toml").read_text(encoding="utf-8"))
    return tuple(Variant(spec["repository"], folder, **row) for row in spec["variant"])


def variant(name: str) -> Variant:
    """Return a variant by its name; UsageError with the names that there are."""
    for each in variants():
        if each.name == name:
            return each
    raise UsageError(f"there is no variant {name!r}; choose from {', '.join(each.name for each in variants())}")
