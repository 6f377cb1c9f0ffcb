"""What the names of a script stand for, scope by scope: dotted names of what was imported, @Model for what made a model.

A meaning is the tuple of what a name may stand for, empty where that is unknown. `=@Model` is a function or class whose
call gives that; `$local` is something of the script's own, `$'a.h5` a text, `$version` a test of a version; `!` before a
name says that it was accused where it was bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Meaning = tuple[str, ...]
UNKNOWN: Meaning = ()
LOCAL: Meaning = ("$local",)


@dataclass(slots=True)
class Scope:
    """The names of a module, class or function."""

    names: dict[str, Meaning] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)  # modules of which everything was imported
    above: Scope | None = None
    is_class: bool = False
    globals: set[str] = field(default_factory=set)

    @property
    def module(self) -> Scope:
        scope = self
        while scope.above:
            scope = scope.above
        return scope

    def find(self, name: str) -> Meaning | None:
        """Return what a name stands for here; None where nothing binds it."""
        scope: Scope | None = self
        while scope:
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.above
        return None

    def bind(self, name: str, meaning: Meaning) -> None:
        (self.module if name in self.globals else self).names[name] = meaning

    def modules(self, outermost: dict[str, Meaning]) -> dict[str, str]:
        """Return the names that stand for one imported thing; `outermost` are those of the module when it has run."""
        seen: dict[str, Meaning] = {}
        scope: Scope | None = self
        while scope:
            seen = scope.names | seen
            scope = scope.above
        seen = outermost | seen
        return {name: each[0] for name, each in seen.items() if len(each) == 1 and each[0][0] not in "@=$!"}


def either(one: dict[str, Meaning], other: dict[str, Meaning]) -> dict[str, Meaning]:
    """Return what names stand for where one or the other of two branches was taken."""
    merged = one | other
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        merged[name] = UNKNOWN if not a or not b else tuple(dict.fromkeys(a + b))
    return merged
