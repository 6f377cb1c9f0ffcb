"""A table of the user's, read in chunks of named columns, whatever its size: CSV, NPZ or Parquet."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DELIMITERS = ",;\t|"
CELLS = 1 << 20  # read at a time
ROWS = 1 << 16  # at most
MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # in small letters
TRUTH = {"true": 1.0, "false": 0.0}
NAMED = 20  # columns in an error
# What to do about a cell that is no number, by what it looks like; the first that fits.
NO_NUMBERS = {
    r"[-+]?\d{1,3}(,\d{3})+": "if its comma parts thousands, leave it out; if it is a decimal one, write a point",
    r"[-+]?\d+,\d+": "write its decimals with a point",
    r"(?s:.*)": "put numbers for it, or leave the column out of the training",
}


class Chunk(NamedTuple):
    """Some rows: where each is in the file, shape (n,), and their cells, an array of shape (n,) a column."""

    places: NDArray[np.int64]
    cells: tuple[NDArray[Any], ...]


class Table(NamedTuple):
    """A table: its columns; what a place counts, lines of the file or rows, from 1; what of the file is no column; and the
    function that gives the chunks of some columns."""

    file: Path
    columns: tuple[str, ...]
    unit: str
    ignored: tuple[str, ...]
    chunks: Callable[[Sequence[str]], Iterator[Chunk]]


def table(file: Path) -> Table:
    """Return the table of a file, of which only the names of the columns are read. ValueError where it has none."""
    try:
        return READERS[file.suffix.lower()](file)
    except UnicodeDecodeError:
        raise ValueError(_ENCODING.format(file.name)) from None


def chosen(there: Table, target: str | None, features: str | None) -> tuple[str, ...]:
    """Return the columns to learn from: those named, separated by commas, else all but the target; x means x[0], x[1]…

    Raises ValueError where a name is none of the table's, with those that there are.
    """
    given = next(csv.reader([features], skipinitialspace=True)) if features else []
    names = [each for name in given for each in _meant(name.strip(), there.columns)]
    for name in (*([target] if target else []), *names):
        if name == target and f"{name}[1]" in there.columns:
            raise ValueError(
                f"{there.file.name}: the target {name!r} has several columns, as one-hot labels have; save the number of "
                f"each sample's class in their place: {name}.argmax(axis=1)"
            )
        if name not in there.columns:
            raise ValueError(f"{there.file.name} has no column {name!r}{nearest(name, there.columns)}")
    if target in names:
        raise ValueError(f"{target!r} is the target and cannot be a feature too")
    wanted = tuple(dict.fromkeys(names)) or tuple(name for name in there.columns if name != target)
    if not wanted:
        raise ValueError(
            f"{there.file.name} has no column beside the target {target!r}: there is nothing to learn from"
        )
    return wanted


def _meant(name: str, there: Sequence[str]) -> list[str]:
    """Return the columns that a name stands for: itself, or those of the array of that name."""
    return (
        [name]
        if name in there
        else [each for each in there if re.fullmatch(rf"{re.escape(name)}\[\d+\]", each)] or [name]
    )


def nearest(name: str, there: Sequence[str]) -> str:
    """Return what to say of a name that is not there: the one that may be meant, else those that there are."""
    alike = {each.lower(): each for each in there}
    if found := get_close_matches(name.lower(), alike, 1):
        return f"; is {alike[found[0]]!r} meant?"
    more = f" and {len(there) - NAMED} more" if len(there) > NAMED else ""
    return f"; there are {', '.join(there[:NAMED])}{more}"


def numbers(there: Table, name: str, places: NDArray[np.int64], cells: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column's cells as numbers, NaN where one is missing. ValueError with the first that is something else."""
    if cells.dtype.kind in "biuf":
        return cells.astype(np.float64)
    if cells.dtype.kind not in "USO":
        raise ValueError(f"{there.file.name}: {name} is of type {cells.dtype}; a feature must be numbers")
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError):  # some are missing, or no numbers
        return np.array([_number(there, name, *cell) for cell in zip(places, texts(cells), strict=True)], np.float64)


def texts(cells: NDArray[Any]) -> list[str]:
    """Return cells as texts without blanks around them, an empty one for None."""
    if cells.dtype.kind == "S":
        cells = np.char.decode(cells, "utf-8")
    return ["" if cell is None else str(cell).strip() for cell in cells.tolist()]


def _number(there: Table, name: str, place: int, text: str) -> float:
    if text.lower() in MISSING:
        return np.nan
    try:
        return TRUTH[text.lower()] if text.lower() in TRUTH else float(text)
    except ValueError:
        do = next(words for pattern, words in NO_NUMBERS.items() if re.fullmatch(pattern, text))
        raise ValueError(
            f"{there.file.name}, {there.unit} {place}: {name} is {text[:40]!r}, and a feature must be numbers; {do}"
        ) from None


def rows_at_a_time(columns: int) -> int:
    """Return how many rows of so many columns a chunk has."""
    return max(1, min(ROWS, CELLS // max(columns, 1)))


# --- CSV -------------------------------------------------------------------------------------------------------------

_ENCODING = "{} is not in UTF-8: save it as UTF-8, as by iconv -f latin1 -t utf-8"


def _csv(file: Path) -> Table:
    """Return a table of text: a line of names first, cells separated by comma, semicolon, tab or bar, as that shows."""
    with file.open("rb") as head:
        encoding = "utf-16" if head.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with file.open(encoding=encoding, newline="") as text:
        first = next((line for line in text if line.strip()), "")
    if not first:
        raise ValueError(f"{file.name} is empty")
    delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each, skipinitialspace=True))))

    def rows(text: IO[str], columns: int) -> Iterator[tuple[NDArray[np.int64], list[list[str]]]]:
        """Give the rows, many at a time, with the line that each ends in; blank lines are none."""
        reader, line = csv.reader(text, delimiter=delimiter, skipinitialspace=True), 0
        try:
            while read := list(islice(reader, rows_at_a_time(columns))):
                if reader.line_num - line == len(read):
                    lines = np.arange(line, reader.line_num) + 1
                else:  # a cell has lines of its own
                    lines = line + np.cumsum([1 + sum(map(_breaks, row)) for row in read])
                line = reader.line_num
                there = [bool(row) for row in read]
                yield lines[there], [row for row in read if row]
        except csv.Error as error:
            raise ValueError(f"{file.name}, line {reader.line_num}: {error}; is a quote left open?") from None
        except UnicodeDecodeError:
            raise ValueError(_ENCODING.format(file.name)) from None

    with file.open(encoding=encoding, newline="") as text:
        names = next(header for _, read in rows(text, CELLS) for header in read)
    names = [name.strip() for name in names]
    if all(map(_is_number, names)):
        raise ValueError(
            f"{file.name} has numbers in its first line: give it a first line with the names of its columns"
        )
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ValueError(f"{file.name} has more than one column {twice[0]!r}: give each a name of its own")

    def chunks(wanted: Sequence[str]) -> Iterator[Chunk]:
        columns, header = [names.index(name) for name in wanted], 1
        with file.open(encoding=encoding, newline="") as text:
            for lines, read in rows(text, len(names)):
                places, cells = lines[header:], read[header:]
                header = 0 if read else header
                wrong = next((number for number, row in enumerate(cells) if len(row) != len(names)), None)
                if wrong is not None:
                    raise ValueError(
                        f"{file.name}, line {places[wrong]} has {len(cells[wrong])} cells, and there are {len(names)} columns"
                    )
                if cells:
                    turned = list(zip(*cells, strict=True))
                    yield Chunk(places, tuple(np.array(turned[column], object) for column in columns))

    unnamed = ("a column without a name",) if "" in names else ()
    return Table(file, tuple(filter(None, names)), "line", unnamed, chunks)


def _breaks(cell: str) -> int:
    """Return how many lines end in a cell."""
    return cell.count("\n") + cell.count("\r") - cell.count("\r\n")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- NPZ -------------------------------------------------------------------------------------------------------------

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class _Array(NamedTuple):
    """An array of a file: shape (n,) or (n, columns)."""

    name: str
    shape: tuple[int, ...]
    fortran: bool
    kind: np.dtype[Any]


def _npz(file: Path) -> Table:
    """Return the table of numpy.savez's arrays: one of shape (n,) is a column of its name, x of (n, 2) is x[0] and x[1]."""
    arrays: dict[str, tuple[_Array, int]] = {}  # by column, with the place in the array
    ignored: list[str] = []
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    each = _header(name.removesuffix(".npy"), member)
                if len(each.shape) not in (1, 2) or each.kind.kind not in "biufUS":
                    ignored.append(f"{each.name} (shape {each.shape}, {each.kind})")
                elif len(each.shape) == 1 or each.shape[1] == 1:
                    arrays[each.name] = each, 0
                else:
                    arrays |= {f"{each.name}[{column}]": (each, column) for column in range(each.shape[1])}
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{file.name} is no file of numpy.savez: {error}") from None
    if not arrays:
        raise ValueError(f"{file.name} has no array of rows; there are {', '.join(ignored) or 'none'}")

    def chunks(wanted: Sequence[str]) -> Iterator[Chunk]:
        needed = {arrays[name][0].name: arrays[name][0] for name in wanted}
        lengths = {each.name: each.shape[0] for each in needed.values()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
            raise ValueError(
                f"{file.name} has not as many of each: {told}; give every sample one label, in the same order"
            )
        count = next(iter(lengths.values()))
        step = rows_at_a_time(sum(each.shape[1] if len(each.shape) > 1 else 1 for each in needed.values()))
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(file))
            parts = {name: stack.enter_context(_parts(file, archive, each)) for name, each in needed.items()}
            for start in range(0, count, step):
                rows = min(step, count - start)
                read = {name: part(rows) for name, part in parts.items()}
                cells = tuple(read[arrays[name][0].name][:, arrays[name][1]] for name in wanted)
                yield Chunk(np.arange(start + 1, start + rows + 1), cells)

    return Table(file, tuple(arrays), "row", tuple(ignored), chunks)


def _header(name: str, member: IO[bytes]) -> _Array:
    version = np.lib.format.read_magic(member)
    return _Array(name, *_HEADERS[version](member))


@contextmanager
def _parts(file: Path, archive: zipfile.ZipFile, each: _Array) -> Iterator[Callable[[int], NDArray[Any]]]:
    """Give the function that reads so many more rows of an array, shape (rows, columns)."""
    columns = each.shape[1] if len(each.shape) > 1 else 1
    if each.fortran and columns > 1:  # column after column: only the whole has the rows
        with np.load(file, allow_pickle=False) as arrays:
            whole = iter(arrays[each.name])
        yield lambda rows: np.stack(list(islice(whole, rows)))
        return
    with archive.open(f"{each.name}.npy") as member:
        _header(each.name, member)

        def read(rows: int) -> NDArray[Any]:
            wanted = rows * columns * each.kind.itemsize
            data = member.read(wanted)
            if len(data) < wanted:
                raise ValueError(f"{file.name} ends in the midst of {each.name}")
            return np.frombuffer(data, each.kind).reshape(rows, columns)

        yield read


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet(file: Path) -> Table:
    """Return the table of a Parquet file; kit puts pyarrow, which reads it, in a layer on the image."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.ParquetFile(file).schema_arrow
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{file.name} is no Parquet file: {error}") from None

    def chunks(wanted: Sequence[str]) -> Iterator[Chunk]:
        start = 1
        with pyarrow.parquet.ParquetFile(file) as source:
            for batch in source.iter_batches(rows_at_a_time(len(wanted)), columns=list(wanted)):
                cells = tuple(batch.column(name).to_numpy(zero_copy_only=False) for name in wanted)
                yield Chunk(np.arange(start, start + batch.num_rows), cells)
                start += batch.num_rows

    # Pandas' numbers of the rows.
    index = tuple(name for name in schema.names if re.fullmatch(r"__index_level_\d+__", name))
    return Table(file, tuple(name for name in schema.names if name not in index), "row", index, chunks)


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".npz": _npz,
    ".parquet": _parquet,
}
