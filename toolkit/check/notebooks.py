"""A notebook's cells as one script, and the way back from its lines to a cell's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MAGIC = re.compile(r"^(\s*)(?:[%!?].*|\S+\s*=\s*[%!].*|.*\?\s*)$")
# Magics of a cell whose body is Python still; the body of any other is left out.
PYTHON_CELL = re.compile(r"^%%(?:time|timeit|capture|prun|tensorflow_version)\b")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of code: its number among all cells, from 1, and its lines with IPython's own taken out."""

    number: int
    source: str


def cells(text: str) -> list[Cell]:
    """Return the code cells of a notebook. Raises ValueError where it is none, or of another language."""
    notebook = json.loads(text)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("no notebook of format 4: it has no list of cells")
    language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    if str(language).lower() != "python":
        return []
    found: list[Cell] = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell.get("cell_type") == "code":
            source = cell.get("source", "")
            found.append(Cell(number, plain("".join(source) if isinstance(source, list) else source)))
    return found


def plain(source: str) -> str:
    """Return a cell with its magics and shell lines as `pass`, so that every line keeps its number."""
    lines = source.split("\n")
    if lines[0].startswith("%%"):
        if not PYTHON_CELL.match(lines[0]):
            return "\n" * (len(lines) - 1)
        lines[0] = "pass"
    return "\n".join(_line(line) for line in lines)


def _line(line: str) -> str:
    magic = MAGIC.match(line)
    return f"{magic[1]}pass" if magic and not line.lstrip().startswith("#") else line
