"""A user's table made ready for training, once: checked, shuffled by the seed, a tenth held out, scaled, and kept."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import scaling
from numpy.typing import NDArray
from scaling import Class, Scaling
from shuffled import Shuffled, shuffled
from table import MISSING, Chunk, Table, chosen, numbers, table, texts

SAMPLES, LABELS = "samples.npy", "labels.npy"  # in the run's folder: shuffled and scaled, those held out at the end
HELD_OUT = 10  # one of so many
MEDIAN_CELLS = 1 << 22  # as many numbers as medians are taken of, 32 MB
FEW = 5  # rows of a class, of which somebody may know nothing
CLASSES = 1000  # at most
PLACES = 10  # in an error
# Of the memory that there is, for the rows that are read: sorting and scaling them takes about three times that, beside
# TensorFlow. What is more than that is shuffled on disk and trained on from there.
SHARE = 8


class Asked(Protocol):
    """What is asked of a table: of a run's options those that concern it."""

    data: Path
    target: str
    features: str | None
    impute: str | None
    stream: bool
    seed: int
    out: Path


class Prepared(NamedTuple):
    """Samples, shape (n, features), and labels, shape (n,), with the first of those held out; on disk if they are too
    many for memory."""

    x: NDArray[np.float32]
    y: NDArray[np.int32]
    first_held_out: int
    scaling: Scaling
    on_disk: bool


def prepared(asked: Asked, note: Callable[[str], None]) -> Prepared:
    """Return the table that was asked for, ready, with its samples, labels and scaling kept in the run's folder.

    Raises ValueError, with what to do, where it cannot be trained on. `note` gets what is left out or filled in.
    """
    there = table(asked.data)
    names = chosen(there, asked.target, asked.features)
    if there.ignored:
        note(f"left out: {', '.join(there.ignored)}")
    labels, wrong = Labels(there, asked.target), Wrong(there, imputed=asked.impute is not None)
    budget = 0 if asked.stream else memory_bytes() // SHARE
    scratch = asked.out / ".shuffle"
    try:
        rows = shuffled(_rows(there, names, labels, wrong), asked.seed, scratch, budget)
        wrong.refuse()
        train = _trained_on(there, rows, labels.classes)
        fitted = _fitted(there, rows, train, names, labels, asked.impute is not None)
        order = labels.numbers
        parts = ((fitted(part[:, 1:]), order[part[:, 0].astype(int)]) for part in rows.parts())
        keep(asked.out, fitted, parts, rows.rows, trained_on=train, seed=asked.seed, on_disk=rows.on_disk)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for text in labels.doubtful():
        note(text)
    if asked.impute and (missing := wrong.counts["missing"]):
        of = "some of the rows" if rows.on_disk else "the rows"
        are = "missing values are" if missing > 1 else "missing value is"
        note(f"{missing:,} {are} the median of the column, in {of} trained on")
    return kept(asked.out)


def kept(out: Path) -> Prepared:
    """Return what a run's folder holds, from its disk where it was too much for memory. FileNotFoundError if nothing."""
    fitted, told = scaling.load(out)
    x, y = (np.load(out / name, mmap_mode="r" if told["on_disk"] else None) for name in (SAMPLES, LABELS))
    return Prepared(x, y, told["trained_on"], fitted, told["on_disk"])


def keep(
    out: Path, fitted: Scaling, parts: Iterable[tuple[NDArray[Any], NDArray[Any]]], count: int, **more: Any
) -> None:
    """Write so many samples and labels, which come in parts, as NumPy's files, and what they were made with.

    By write(): a full disk is an error then, and with a mapped file a signal. The scaling comes last: with it all is whole.
    """
    with (out / SAMPLES).open("wb") as samples, (out / LABELS).open("wb") as labels:
        _begin(samples, (count, len(fitted.features)), np.dtype(np.float32))
        _begin(labels, (count,), np.dtype(np.int32))
        for x, y in parts:
            samples.write(np.ascontiguousarray(x, np.float32).tobytes())
            labels.write(np.ascontiguousarray(y, np.int32).tobytes())
    scaling.save(fitted, out, **{"samples": count, "on_disk": False, **more})


def _begin(file: IO[bytes], shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)


def memory_bytes() -> int:
    """Return the memory that this process may use: its container's limit, else what the machine has available."""
    limits = [int(Path("/proc/meminfo").read_text(encoding="ascii").split("MemAvailable:")[1].split()[0]) * 1024]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such group, or "max"
            limits.append(int(Path(file).read_text(encoding="ascii")))
    return min(limits)


class Labels:
    """The classes of a target, found as its cells come."""

    def __init__(self, there: Table, target: str) -> None:
        self._there, self.target = there, target
        self._found: dict[Class, int] = {}
        self._rows: Counter[str] = Counter()

    def found(self, chunk: Chunk) -> NDArray[np.float64]:
        """Return the numbers of the target's cells in the order in which their classes were found, NaN for a missing one."""
        cells = classes(self._there, self.target, chunk.places, chunk.cells[-1])
        self._rows.update(map(str, cells))
        if len(self._found) + len(set(cells)) > CLASSES and len({*self._found, *cells}) > CLASSES:
            raise ValueError(
                f"{self._there.file.name}: {self.target} has more than {CLASSES:,} different values: is it an amount or a "
                "name, and no class? Choose another --target"
            )
        return np.array([np.nan if c is None else self._found.setdefault(c, len(self._found)) for c in cells])

    def doubtful(self) -> Iterator[str]:
        """Give what may be wrong with the classes: one of a few rows, two that are written almost alike."""
        if few := [f"{each!r} ({count})" for each in self.classes if (count := self._rows[str(each)]) < FEW]:
            yield f"classes of very few rows: {', '.join(few[:PLACES])}; were they meant?"
        alike: dict[str, list[Class]] = {}
        for each in self.classes:
            alike.setdefault(str(each).strip().lower().lstrip("0"), []).append(each)
        for same in alike.values():
            if len(same) > 1:
                yield f"{' and '.join(map(repr, same))} are classes of their own; if one is meant, write it in one way"

    @property
    def classes(self) -> tuple[Class, ...]:
        """The classes in order: whole numbers by size, else texts."""
        if all(isinstance(each, int) for each in self._found):
            return tuple(sorted(self._found))
        return tuple(sorted(map(str, self._found)))

    @property
    def numbers(self) -> NDArray[np.int32]:
        """The number of each class in their order, by that in which it was found."""
        places = {str(each): number for number, each in enumerate(self.classes)}
        return np.array([places[str(each)] for each in self._found], np.int32)


def classes(there: Table, target: str, places: NDArray[np.int64], cells: NDArray[Any]) -> list[Class | None]:
    """Return a target's cells as classes, None where one is missing. ValueError where one is a fraction."""
    if cells.dtype.kind not in "biufUSO":
        raise ValueError(
            f"{there.file.name}: the target {target} is of type {cells.dtype}; give whole numbers or words"
        )
    if cells.dtype.kind in "bi":
        return [int(cell) for cell in cells.tolist()]
    different: dict[str, Class | None] = {}
    read = texts(cells)
    for place, text in zip(places, read, strict=True):
        if text not in different:
            different[text] = _class(there, target, int(place), text)
    return [different[text] for text in read]


def _class(there: Table, target: str, place: int, text: str) -> Class | None:
    if text.lower() in MISSING:
        return None
    if whole := re.fullmatch(r"(-?(?:0|[1-9]\d*))(?:\.0*)?", text):
        return int(whole[1])
    if re.fullmatch(r"[-+]?\d*\.\d+(?:e[-+]?\d+)?", text.lower()):
        raise ValueError(
            f"{there.file.name}, {there.unit} {place}: the target {target} is {text}, and a class is a whole number or a "
            "word; kit's workload tells classes apart, it does not estimate amounts"
        )
    return text


class Wrong:
    """What keeps rows from being trained on, counted, with where it is first."""

    def __init__(self, there: Table, *, imputed: bool, trains: bool = True) -> None:
        self._there, self._imputed, self._trains = there, imputed, trains
        self.counts = dict.fromkeys(DO, 0)
        self._places: dict[str, list[str]] = {what: [] for what in DO}

    def look(self, what: str, name: str, places: NDArray[np.int64]) -> None:
        """Count these places of a column."""
        self.counts[what] += len(places)
        some = places[: PLACES - len(self._places[what])].tolist()
        self._places[what] += [f"{place} ({name})" for place in some]

    def refuse(self) -> None:
        """Raise ValueError where something was wrong."""
        for what, do in DO.items():
            if (count := self.counts[what]) and not (what == "missing" and self._imputed):
                first = f" of which the first {PLACES} are" if count > PLACES else ""
                said = f"{count:,} values are {what}" if count > 1 else f"1 value is {what}"
                at = f"in {self._there.unit}{'s' if count > 1 else ''} {', '.join(self._places[what])}"
                anew = "fill them in, leave these rows out, or train a run anew with --impute median"
                advice = anew if what == "missing" and not self._trains else do
                raise ValueError(f"{self._there.file.name}: {said},{first} {at}; {advice}")


DO = {
    "missing in the target": "leave these rows out, or say of which class they are (NA, None and their kin are missing)",
    "infinite": "leave these rows out, or put numbers for them",
    "missing": "fill them in, leave these rows out, or take the column's median for them: --impute median",
}


def _rows(there: Table, names: tuple[str, ...], labels: Labels, wrong: Wrong) -> Iterator[NDArray[np.float64]]:
    """Give the rows as numbers, shape (n, 1 + features): the label's first, NaN for what is missing."""
    for chunk in there.chunks((*names, labels.target)):
        columns = [labels.found(chunk)]
        wrong.look("missing in the target", labels.target, chunk.places[np.isnan(columns[0])])
        for name, cells in zip(names, chunk.cells[:-1], strict=True):
            values = numbers(there, name, chunk.places, cells)
            wrong.look("missing", name, chunk.places[np.isnan(values)])
            wrong.look("infinite", name, chunk.places[np.isinf(values)])
            columns.append(values)
        yield np.column_stack(columns)


def _trained_on(there: Table, rows: Shuffled, found: tuple[Class, ...]) -> int:
    """Return how many rows are trained on. ValueError where the table has too few rows or classes."""
    if rows.rows < HELD_OUT:
        has = f"{rows.rows} rows" if rows.rows else "names of columns and no rows"
        raise ValueError(f"{there.file.name} has {has}: give at least {HELD_OUT}, of which one is held out")
    if len(found) < 2:
        raise ValueError(f"{there.file.name}: every row is of class {found[0]!r}: give rows of two classes or more")
    return rows.rows - rows.rows // HELD_OUT


def _medians(there: Table, rows: Shuffled, train: int, names: tuple[str, ...]) -> tuple[float, ...]:
    """Return the median of each feature, of rows trained on. ValueError where one has no value there."""
    enough = min(train, max(MEDIAN_CELLS // len(names), 1000))
    first: list[NDArray[np.float64]] = []
    count = 0
    for part in rows.parts():
        first.append(part[: train - count, 1:])
        count += len(first[-1])
        if count >= enough:
            break
    values = np.concatenate(first)
    if empty := [name for name, column in zip(names, values.T, strict=True) if np.isnan(column).all()]:
        raise ValueError(f"{there.file.name}: {empty[0]} has no value to take the median of; leave the column out")
    return tuple(np.nanmedian(values, axis=0).tolist())


def _fitted(there: Table, rows: Shuffled, train: int, names: tuple[str, ...], labels: Labels, impute: bool) -> Scaling:
    """Return the scaling that the rows trained on have, and no others, with their medians where missing values are filled.

    Of a large table the medians are of its first rows, which are random ones of all.
    """
    from sklearn.preprocessing import MinMaxScaler

    scaler, seen = MinMaxScaler(), 0
    in_class = np.zeros(len(labels.classes), int)
    fill = _medians(there, rows, train, names) if impute else None
    for whole in rows.parts():
        part = whole[: train - seen]
        seen += len(part)
        in_class += np.bincount(labels.numbers[part[:, 0].astype(int)], minlength=len(in_class))
        values = part[:, 1:]
        scaler.partial_fit(values if fill is None else np.where(np.isnan(values), fill, values))
        if seen == train:
            break
    if not in_class.all():
        lone = labels.classes[int(np.argmin(in_class))]
        raise ValueError(
            f"{there.file.name}: no row of class {lone!r} is among those trained on, since it has too few: give more, or "
            "leave it out"
        )
    return Scaling(
        names, tuple(scaler.scale_.tolist()), tuple(scaler.min_.tolist()), labels.target, labels.classes, fill
    )
