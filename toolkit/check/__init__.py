"""Scripts and notebooks -> what of them a TensorFlow no longer takes, with what works there; none of them is run."""

from __future__ import annotations

import ast
import io
import os
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from toolkit.check import notebooks
from toolkit.check.findings import Found, Text
from toolkit.check.reading import read
from toolkit.check.table import Table, for_target
from toolkit.model import CheckedFile, CheckRecord, CheckTarget, Obsolete, UsageError

SUFFIXES = (".py", ".ipynb")
LEFT_OUT = frozenset(
    {".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints", ".tox", "site-packages"}
)
ABOUT = ("tensorflow", "keras")  # a script without these words needs no reading


def check(paths: Iterable[Path], target: CheckTarget) -> CheckRecord:
    """Return what is found in files, and in the scripts and notebooks of folders. Raises UsageError for paths not there."""
    rows = for_target(target)
    return CheckRecord(target, tuple(CheckedFile(str(file), tuple(_file(file, rows))) for file in files(paths)))


def files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files, and the scripts and notebooks below the folders, each once. Raises UsageError."""
    paths = list(paths)
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"there is no {', '.join(missing)}: give files or folders that are there")
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for folder, below, names in os.walk(path):
                below[:] = sorted(name for name in below if name not in LEFT_OUT)
                found |= dict.fromkeys(Path(folder) / name for name in sorted(names) if name.endswith(SUFFIXES))
        else:
            found[path] = None
    if not found:
        raise UsageError(f"there is no script and no notebook in {', '.join(map(str, paths))}")
    return tuple(found)


def script(source: bytes, rows: Table) -> list[Found]:
    """Return what is found in a script. Raises SyntaxError, and UnicodeError for bytes that are no text."""
    text = decoded(source)
    tree = _parsed(text)
    lines = tuple(io.StringIO(text, newline=None).read().split("\n"))
    return read(tree, Text(lines), rows) if _concerned(text) else []


def decoded(source: bytes) -> str:
    """Return a script's text, by the encoding that it declares. Raises SyntaxError or UnicodeError."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return source.decode(encoding)


def _file(path: Path, rows: Table) -> list[Obsolete]:
    try:
        source = path.read_bytes()
        if path.suffix == ".ipynb":
            return _notebook(source.decode("utf-8-sig"), rows)
        return [each.finding for each in script(source, rows)]
    except SyntaxError as error:
        return [_unreadable(error)]
    except (ValueError, RecursionError, OSError) as error:
        return [Obsolete(1, 1, path.name, None, "removed", True, f"cannot be read: {error}")]


def _notebook(text: str, rows: Table) -> list[Obsolete]:
    """Return what is found in a notebook: its cells are one script, a place is told by cell and line of the cell."""
    found: list[Obsolete] = []
    whole = ast.Module([], [])
    places: list[tuple[int, int]] = [(0, 0)]  # of each line of the whole: cell and line
    lines: list[str] = []
    for cell in notebooks.cells(text):
        try:
            tree = _parsed(cell.source)
        except SyntaxError as error:
            found.append(replace(_unreadable(error), cell=cell.number))
            continue
        whole.body += ast.increment_lineno(tree, len(lines)).body
        own = cell.source.split("\n")
        lines += own
        places += [(cell.number, line) for line in range(1, len(own) + 1)]
    if _concerned(text):
        for each in read(whole, Text(tuple(lines)), rows):
            number, line = places[each.finding.line]
            found.append(replace(each.finding, line=line, cell=number))
    return sorted(found, key=lambda each: (each.cell or 0, each.line, each.column))


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape like "\d" is the script's own affair
        return ast.parse(text)


def _concerned(text: str) -> bool:
    return any(word in text for word in ABOUT) or "KERAS_BACKEND" in text


def _unreadable(error: SyntaxError) -> Obsolete:
    why = f"no Python 3: {error.msg}"
    return Obsolete(
        error.lineno or 1, max(error.offset or 1, 1), (error.text or "").strip(), None, "removed", True, why
    )
