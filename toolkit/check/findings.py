"""What is found in a script: each place with the edit that mends it, and the texts of both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from toolkit.check.table import Argument
from toolkit.model import Kind, Obsolete

# What is raised, by what is wrong: an `except` of one of these catches it.
IMPORT = frozenset({"ImportError", "ModuleNotFoundError"})
ATTRIBUTE = frozenset({"AttributeError", "ImportError"})  # keras.optimizers.legacy.Adam() is an ImportError
ARGUMENT = frozenset({"TypeError", "ValueError"})
NAME = frozenset({"NameError"})
KEY = frozenset({"KeyError", "LookupError"})


What = Literal["expression", "keyword", "argument", "import"]


@dataclass(frozen=True, slots=True)
class Edit:
    """What is put in the place of a node: an expression, the name of a keyword, or import statements, one a line.

    The place is that of libcst and ast: lines from 1, columns from 0, in characters.
    """

    what: What
    start: tuple[int, int]
    end: tuple[int, int]
    text: str  # of an argument: empty, which takes it out


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, what it raises, and the edit that is safe to make."""

    finding: Obsolete
    errors: frozenset[str]
    edit: Edit | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of a script, for places and for what stands there."""

    lines: tuple[str, ...]

    def start(self, node: ast.expr | ast.stmt | ast.alias | ast.keyword) -> tuple[int, int]:
        """Return where a node begins: line from 1, column from 0, in characters (ast counts bytes)."""
        return node.lineno, self._characters(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.alias | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return node.end_lineno, self._characters(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt | ast.alias | ast.keyword) -> str:
        """Return what stands there, on one line."""
        (first, begin), (last, end) = self.start(node), self.end(node)
        if first == last:
            return self.lines[first - 1][begin:end]
        between = [self.lines[first - 1][begin:], *self.lines[first : last - 1], self.lines[last - 1][:end]]
        return " ".join(line.strip() for line in between)

    def _characters(self, line: int, offset: int) -> int:
        text = self.lines[line - 1]
        return offset if text.isascii() else len(text.encode()[:offset].decode(errors="replace"))


def found(
    text: Text,
    node: ast.expr | ast.stmt | ast.alias | ast.keyword,
    old: str,
    new: str | None,
    kind: Kind,
    raises: bool,
    why: str,
    errors: frozenset[str],
    edit: Edit | None = None,
) -> Found:
    """Return a finding at a node."""
    line, column = text.start(node)
    return Found(Obsolete(line, column + 1, old, new, kind, raises, why), errors, edit)


def edit(text: Text, what: What, node: ast.expr | ast.stmt, new: str) -> Edit:
    return Edit(what, text.start(node), text.end(node), new)


def statement(place: str, bound: str) -> str:
    """Return the import that binds a name to a place. Sample: tensorflow.keras.utils, np_utils."""
    module, _, name = place.rpartition(".")
    renamed = f" as {bound}" if bound != name else ""
    return f"from {module} import {name}{renamed}" if module else f"import {name}{renamed}"


def statements(places: Iterable[tuple[str, str]]) -> list[str]:
    """Return the imports that bind names to places, one for each module."""
    by_module: dict[str, list[str]] = {}
    for place, bound in places:
        head, _, tail = statement(place, bound).partition("import ")
        by_module.setdefault(head, []).append(tail)
    return [f"{head}import {', '.join(tails)}" for head, tails in by_module.items()]


def spelled(place: str, names: dict[str, str]) -> tuple[str, bool]:
    """Return a place by the names that a script has for modules, and whether one of them is the beginning of it.

    Sample: tensorflow.compat.v1.Session, {tf: tensorflow} -> tf.compat.v1.Session.
    """
    best = max(
        (name for name, module in names.items() if module == place or place.startswith(module + ".")),
        key=lambda name: len(names[name]),
        default=None,
    )
    if best is not None:
        return best + place.removeprefix(names[best]), True
    return re.sub(r"^tensorflow\b", "tf", place), False


def literal(node: ast.expr | None) -> str | None:  # noqa: PLR0911 a case for each way to write a path
    """Return the text that an expression is, or ends with: "m.h5" of os.path.join(folder, "m.h5"); None if unknown."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=[*_, ast.Constant(value=str(value))]) if "." in value:
            return value
        case ast.BinOp(op=ast.Add(), right=right):
            last = literal(right)
            return last if last and "." in last else None
        case ast.BinOp(op=ast.Div(), right=right):
            return literal(right)
        case ast.Call(func=ast.Attribute(attr="join" | "joinpath"), args=[_, *_]):
            return literal(node.args[-1])
        case ast.Call(func=ast.Name(id="Path" | "str"), args=[_, *_]):
            return literal(node.args[-1])
    return None


def changed(row: Argument, value: str) -> str | None:
    """Return what an argument's text becomes; None where the row has nothing for it."""
    matched = row.value.fullmatch(value) if row.value else None
    return matched.expand(row.value_new) if matched and row.value_new else None
