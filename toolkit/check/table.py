"""What a TensorFlow and its Keras no longer have: the rows of this folder's JSON files that hold for them, looked up.

A `~` in a name stands for the two namespaces that Keras has: `keras` and `tensorflow.keras`. `@Model.fit` is the method of
whatever makes a model. The columns of a row of names: `names`, what is below it and found under `new` (a list, or each
with its own place); `live`, the module itself is there and only those names are not; `alone`, what stands for the module
where it is used without a name below it; `attribute`, an import works, the attribute does not; `called`, both work and a
call raises; `whole`, the other module has all of this one; `receiver`, what something of unknown kind may be called to be
taken for one that has the method; `positional`, how many arguments may stand without their names; `silent`, nothing is
raised, warned of or logged; `safe`, false where the new name does something else; `keras`, `tensorflow`, the versions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from toolkit.model import CheckTarget, Kind

NAMESPACES = ("keras", "tensorflow.keras")
# Names that are the same module under another name: https://www.tensorflow.org/api_docs/python/tf
ALIASES = {
    "tensorflow.compat.v2.": "tensorflow.",
    "tensorflow.compat.v1.keras.": "tensorflow.keras.",
    "keras.api._v2.keras.": "tensorflow.keras.",
    "tensorflow.losses.": "tensorflow.keras.losses.",
    "tensorflow.metrics.": "tensorflow.keras.metrics.",
    "tensorflow.optimizers.": "tensorflow.keras.optimizers.",
    "tensorflow.initializers.": "tensorflow.keras.initializers.",
}
GRAPH_MODE = (
    "of TensorFlow 1: what stayed of it works under tf.compat.v1, mostly after tf.compat.v1.disable_v2_behavior()"
)
RENAMED = "TensorFlow 2 has it under another name"
NOWHERE = "of TensorFlow 1, and nowhere in TensorFlow 2"


@dataclass(frozen=True, slots=True)
class Name:
    """A row of names. `home` is where an import takes it from, `new` what an attribute becomes."""

    old: str
    new: str | None
    home: str | None
    why: str
    kind: Kind | None
    raises: bool
    safe: bool
    names: dict[str, tuple[str | None, str | None]] | None  # below it: name -> (new, home)
    attribute: bool
    whole: bool
    receiver: re.Pattern[str] | None
    positional: int | None


@dataclass(frozen=True, slots=True)
class Hit:
    """What a row says of a name: how many of its parts the row is about, and what stands for these."""

    row: Name
    parts: int
    last: str  # of these parts
    new: str | None
    home: str | None

    @property
    def kind(self) -> Kind:
        """Moved is what has its name elsewhere, and a module whose names are in another one."""
        if self.row.kind:
            return self.row.kind
        if self.new is None:
            return "removed"
        module = self.row.names is not None and self.last == self.row.old.rpartition(".")[2]
        return "moved" if module or self.new.rpartition(".")[2] == self.last else "renamed"


@dataclass(frozen=True, slots=True)
class Argument:
    """A row of calls: an argument that what is called takes no more, or takes another value for.

    It holds for a call of one of `call` (patterns of fnmatch) that gives the argument, by name or at `position`: at all,
    or one of its texts matching `value`, whose groups `value_new` takes up; `shown` is code that stands elsewhere instead.
    """

    call: tuple[str, ...]
    unless: tuple[str, ...]
    argument: str
    keyword: bool
    position: int | None
    value: re.Pattern[str] | None
    value_new: str | None
    computed: bool  # only where the value is no text
    with_argument: str | None
    unless_argument: str | None
    unless_said: str | None  # elsewhere in the script
    compiled: str | None
    new: str | None
    shown: str | None  # what is put elsewhere instead
    kind: Kind
    raises: bool
    safe: bool
    why: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key that what holds it no longer has."""

    of: str
    key: str
    new: str
    compiled: str
    why: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable of the environment whose value is refused."""

    name: str
    value: re.Pattern[str]
    why: str


@dataclass(frozen=True)
class Table:
    """The rows that hold for a TensorFlow and its Keras."""

    names: dict[str, Name]
    arguments: tuple[Argument, ...]
    keys: tuple[Key, ...]
    settings: tuple[Setting, ...]
    types: dict[str, tuple[str, ...]]
    attributes: dict[str, str]
    exports: dict[str, tuple[str, ...]]  # module -> what `import *` of it gives

    @cached_property
    def made(self) -> dict[str, str | None]:
        """What each call makes, as far as it was asked for."""
        return {}

    @cached_property
    def taken(self) -> dict[str, tuple[Argument, ...]]:
        """The rows of each call, as far as it was asked for."""
        return {}

    def find(self, name: str, *, imported: bool = False) -> Hit | None:
        """Return what the rows say of a name; the most specific of them stands."""
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            row = self.names.get(".".join(parts[:count]))
            if row and not (row.attribute and imported):
                return self._hit(row, parts, count)
        for alias, place in ALIASES.items():
            if name.startswith(alias):
                found = self.find(place + name.removeprefix(alias), imported=imported)
                return found and replace(found, parts=found.parts + alias.count(".") - place.count("."))
        return None

    def _hit(self, row: Name, parts: list[str], count: int) -> Hit:
        rest = parts[count:]
        if row.names is None or not rest:
            return Hit(row, count, parts[count - 1], row.new, row.home)
        for number, part in enumerate(rest, 1):  # layers.core.dense.Dense of Keras 2.12 is layers.Dense too
            if part in row.names:
                return Hit(row, count + number, part, *row.names[part])
        gone = self.names.get(f"{row.new}.{rest[0]}")  # it would be there, and has a row of its own
        return Hit(gone or row, count + 1, rest[0], gone.new if gone else None, gone.home if gone else None)

    def result(self, name: str) -> str | None:
        """Return what a call of this name makes: @Model for keras.Sequential; None where it is none of the table's types."""
        if name not in self.made:
            forms = _forms(name)
            self.made[name] = next(
                (kind for kind, patterns in self.types.items() if _matches(forms, patterns)),
                None,
            )
        return self.made[name]

    def takes(self, name: str) -> tuple[Argument, ...]:
        """Return the rows of arguments that hold for a call of this name."""
        if name not in self.taken:
            forms = _forms(name)
            self.taken[name] = tuple(
                row for row in self.arguments if _matches(forms, row.call) and not _matches(forms, row.unless)
            )
        return self.taken[name]


@cache
def for_target(target: CheckTarget) -> Table:
    """Return the rows that hold for a target."""
    rows = read("keras.json")
    lists = rows["lists"]
    names: dict[str, Name] = {}
    for old, new in read("tensorflow1.json")["names"].items():
        names[old] = _tensorflow1(old, new)
    for row in _holding(rows["names"], target):
        for namespace in NAMESPACES if "~" in row["old"] else ("",):
            for each in _named(row, namespace, lists):
                names[each.old] = each
    arguments = tuple(_argument(row) for row in _holding(rows["calls"], target))
    keys = tuple(
        Key(**{name: row[name] for name in ("of", "key", "new", "compiled", "why")})
        for row in _holding(rows["keys"], target)
    )
    settings = tuple(
        Setting(row["name"], re.compile(row["value"]), row["why"]) for row in _holding(rows["environment"], target)
    )
    exports = {
        f"{namespace}.{module}": tuple(lists[module])
        for namespace in NAMESPACES
        for module in ("layers", "losses", "metrics", "optimizers", "models", "utils", "initializers", "callbacks")
    }
    types = {kind: tuple(patterns) for kind, patterns in rows["types"].items()}
    return Table(names, arguments, keys, settings, types, rows["attributes"], exports)


@cache
def read(file: str) -> dict[str, Any]:
    """Return one of the files, as it is."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / file).read_text(encoding="utf-8"))
    return found


def below(row: dict[str, Any], lists: dict[str, list[str]]) -> dict[str, str | None] | None:
    """Return the names below a row with the new place of each; None where it has no such column."""
    names = row.get("names")
    if isinstance(names, str):
        names = lists[names[1:]]
    if isinstance(names, list):
        return {name: row["new"] and f"{row['new']}.{name}" for name in names}
    return names


def _holding(rows: Iterable[dict[str, Any]], target: CheckTarget) -> list[dict[str, Any]]:
    versions = {"keras": target.keras, "tensorflow": target.tensorflow}
    return [
        row
        for row in rows
        if all(
            SpecifierSet(row[package]).contains(version, prereleases=True)
            for package, version in versions.items()
            if package in row
        )
    ]


def _named(row: dict[str, Any], namespace: str, lists: dict[str, list[str]]) -> list[Name]:
    """Return the rows of one namespace that a row of the file stands for."""

    def place(name: str | None) -> tuple[str | None, str | None]:
        return (name and name.replace("~", namespace), name and name.replace("~", "tensorflow.keras"))

    names = below(row, lists)
    old, (new, home) = row["old"].replace("~", namespace), place(row.get("alone", row["new"]))
    shared = {
        "why": row["why"],
        "kind": row.get("kind"),
        "raises": row.get("raises", True),
        "safe": row.get("safe", True),
        "attribute": row.get("attribute", False),
        "whole": row.get("whole", False),
        "receiver": re.compile(row["receiver"], re.IGNORECASE) if "receiver" in row else None,
        "positional": row.get("positional"),
    }
    if row.get("live"):
        assert names is not None
        return [Name(f"{old}.{name}", place(at)[0], place(at)[1], names=None, **shared) for name, at in names.items()]
    places = None if names is None else {name: place(at) for name, at in names.items()}
    return [Name(old, new, home, names=places, **shared)]


def _tensorflow1(old: str, new: str | None) -> Name:
    legacy = bool(new and ".compat.v1." in new)
    why = GRAPH_MODE if legacy else RENAMED if new else NOWHERE
    # Keras takes other arguments than tf.layers; the names of compat.v1 work on graphs alone.
    safe = bool(new) and not legacy and ".keras." not in str(new)
    return Name(old, new, new, why, None, True, safe, None, False, False, None, None)


def _argument(row: dict[str, Any]) -> Argument:
    return Argument(
        call=tuple(row["call"]),
        unless=tuple(row.get("unless", ())),
        argument=row["argument"],
        keyword=row.get("keyword", True),
        position=row.get("position"),
        value=re.compile(row["value"]) if "value" in row else None,
        value_new=row.get("value_new"),
        computed=row.get("computed", False),
        with_argument=row.get("with_argument"),
        unless_argument=row.get("unless_argument"),
        unless_said=row.get("unless_said"),
        compiled=row.get("compiled"),
        new=row["new"],
        shown=row.get("shown"),
        kind=row["kind"],
        raises=row["raises"],
        safe=row.get("safe", True),
        why=row["why"],
    )


def _forms(name: str) -> tuple[str, ...]:
    """Return a name with ~ for its namespace, and as it is."""
    for namespace in reversed(NAMESPACES):
        if name.startswith(namespace + "."):
            return ("~" + name.removeprefix(namespace), name)
    for alias, place in ALIASES.items():
        if name.startswith(alias):
            return (name, *_forms(place + name.removeprefix(alias)))
    return (name,)


def _matches(forms: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(form, pattern) for form in forms for pattern in patterns)
