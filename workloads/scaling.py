"""How the columns of a table become a model's input: scaled to 0..1, classes numbered. Kept as JSON beside the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from checkpoint import whole
from numpy.typing import NDArray

NAME = "scaler.json"  # of text, since a pickle runs code where it is read, and needs the versions that wrote it
Class = int | str


class Scaling(NamedTuple):
    """The input's columns, each with the two numbers of scikit-learn's MinMaxScaler that scale it, and the classes.

    `fill` is what stands for a missing value, a number a column, None where a missing value is refused.
    """

    features: tuple[str, ...]
    scale: tuple[float, ...]
    min: tuple[float, ...]
    target: str
    classes: tuple[Class, ...]
    fill: tuple[float, ...] | None = None

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return values, shape (n, features), as the model takes them: MinMaxScaler's arithmetic, then 32 bits a number."""
        filled = values if self.fill is None else np.where(np.isnan(values), self.fill, values)
        return (filled * self.scale + self.min).astype(np.float32)

    def numbered(self, labels: list[Class | None]) -> NDArray[np.int32]:
        """Return labels as the numbers of their classes, -1 where one is missing or of no class."""
        numbers = {each: number for number, each in enumerate(self.classes)}
        return np.array([numbers.get(each, numbers.get(str(each), -1)) for each in labels], np.int32)  # type: ignore[arg-type]


def save(scaling: Scaling, folder: Path, **more: Any) -> None:
    """Write it, whole or not at all, with what else is told of the data."""
    with whole(folder / NAME) as unfinished:
        unfinished.write_text(json.dumps({**scaling._asdict(), **more}, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Scaling, dict[str, Any]]:
    """Return what a folder holds, and what else was told. FileNotFoundError where it holds none."""
    told = json.loads((folder / NAME).read_text(encoding="utf-8"))
    known: list[Any] = [tuple(each) if isinstance(each, list) else each for each in map(told.pop, Scaling._fields)]
    return Scaling(*known), told
