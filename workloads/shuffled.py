"""Rows in random order: in memory, or where that is too little in files on disk, to the same order."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FILES = 256  # on disk, each with its share of the order
Rows = NDArray[np.float64]


class Shuffled(NamedTuple):
    """Rows in their order, in parts that follow one another; each call goes through all of them."""

    rows: int
    parts: Callable[[], Iterator[Rows]]
    on_disk: bool


def shuffled(chunks: Iterable[Rows], seed: int, folder: Path, budget_bytes: int) -> Shuffled:
    """Return the rows of chunks, shape (n, columns), in an order that depends on the seed and their number alone.

    Each row draws a number of 0..1, and the order is that of these. More than the budget goes to files in a new folder,
    one for each stretch of 0..1, so that no more than a part of the rows is ever in memory.
    """
    rng = np.random.default_rng(seed)
    held: list[Rows] = []
    count = width = size = 0
    on_disk = False
    for chunk in chunks:
        keyed = np.column_stack([rng.random(len(chunk)), chunk])
        count, width, size = count + len(keyed), keyed.shape[1], size + keyed.nbytes
        held.append(keyed)
        if size > budget_bytes:
            if not on_disk:
                shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
                folder.mkdir()
            _spill(held, folder)
            on_disk, size = True, 0
    if not on_disk:
        ordered = _ordered(np.concatenate(held)) if held else np.empty((0, 0))
        held.clear()
        return Shuffled(count, lambda: iter([ordered]), on_disk)
    _spill(held, folder)

    def parts() -> Iterator[Rows]:
        for number in range(FILES):
            if (file := folder / str(number)).exists():
                yield _ordered(np.fromfile(file).reshape(-1, width))

    return Shuffled(count, parts, on_disk)


def _ordered(keyed: Rows) -> Rows:
    return keyed[np.argsort(keyed[:, 0], kind="stable"), 1:]


def _spill(held: list[Rows], folder: Path) -> None:
    """Append rows to the files of their stretches, and forget them."""
    for keyed in held:
        stretch = (keyed[:, 0] * FILES).astype(np.int64)
        order = np.argsort(stretch, kind="stable")
        ends = np.searchsorted(stretch[order], np.arange(FILES + 1))
        for number in range(FILES):
            if rows := order[ends[number] : ends[number + 1]].tolist():
                with (folder / str(number)).open("ab") as file:
                    keyed[rows].tofile(file)
    held.clear()
