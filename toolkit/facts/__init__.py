"""Pure parsers: the answers of a host to facts, each a record with its parser in one file.

Nothing here touches a machine but through `host.ask`. A parser is a public function of a module here that takes the
host alone.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from toolkit.host import Host
from toolkit.model import T, Unknown, UnknownFactError

Parser = Callable[[Host], T | Unknown]


class Facts:
    """What is known of a machine: `facts(driver.nvml)` is the parser's fact, each parsed once."""

    def __init__(self, host: Host, given: dict[Parser[Any], Any] | None = None) -> None:
        """Know what a host's answers say; `given` are facts that take the place of their parsers'."""
        self._host = host
        self._known: dict[Parser[Any], Any] = dict(given or {})

    def __call__(self, parser: Parser[T]) -> T:
        """Return a parser's fact; raise UnknownFactError with the reason where it could not be established."""
        if parser not in self._known:
            self._known[parser] = _sound(parser, self._host)
        fact: T | Unknown = self._known[parser]
        if isinstance(fact, Unknown):
            raise UnknownFactError(fact.reason)
        return fact

    def maybe(self, parser: Parser[T]) -> T | None:
        """Return a parser's fact, None where it is unknown."""
        try:
            return self(parser)
        except UnknownFactError:
            return None


def collect(host: Host) -> Facts:
    """Ask a host every question that any parser has, and return the facts of its answers alone."""
    facts = Facts(host)
    for parser in parsers():
        facts.maybe(parser)
    return facts


@cache
def parsers() -> tuple[Parser[Any], ...]:
    """Return every parser of the modules here."""
    found = []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        functions = inspect.getmembers(importlib.import_module(module.name), inspect.isfunction)
        found += [
            function
            for name, function in functions
            if function.__module__ == module.name
            and not name.startswith("_")
            and list(inspect.signature(function).parameters) == ["host"]
        ]
    return tuple(found)


def _sound(parser: Parser[T], host: Host) -> T | Unknown:
    """Return a parser's fact; an answer of a shape that no machine gives (a damaged capture) is unknown, not a crash."""
    try:
        return parser(host)
    except (AttributeError, ArithmeticError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        return Unknown(f"the answer is not understood ({type(error).__name__}: {error})")
