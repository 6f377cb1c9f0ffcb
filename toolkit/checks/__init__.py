"""Pure rules: Facts to findings.

A module named after a rung holds its rules: `gpus` counts the rung's GPUs, `detail` says how. A module of another name
holds further checks of the rung that its RUNG names. Every other public function is a check: its name is the check's id,
its docstring's first line the title, and it returns one finding, several, or None.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from toolkit.facts import Facts
from toolkit.model import RUNGS, Finding, RungName

Check = Callable[[Facts], Finding | list[Finding] | None]


@dataclass(frozen=True, slots=True)
class RungRules:
    """The rules of one rung."""

    rung: RungName
    gpus: Callable[[Facts], int]
    detail: Callable[[Facts], str]
    checks: tuple[Check, ...]


def independent(check: Any) -> Any:
    """Mark a check that holds whatever is broken on lower rungs, so that it is never blocked by them."""
    check.independent = True
    return check


def check_id(check: Check) -> str:
    """Return a check's id: no-nvidia-gpu for the function no_nvidia_gpu."""
    return check.__name__.replace("_", "-")


def title(check: Check) -> str:
    """Return a check's title: the first line of its docstring."""
    return (inspect.getdoc(check) or "").splitlines()[0]


@cache
def rules() -> tuple[RungRules, ...]:
    """Return the rules of every rung that has a module here, from the bus upwards; its own checks before the further ones."""
    modules = {info.name: importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)}
    found = []
    for rung in (rung for rung in RUNGS if rung in modules):
        own = modules[rung]
        further = [module for module in modules.values() if getattr(module, "RUNG", None) == rung]
        checks = tuple(check for module in (own, *further) for check in _checks(module))
        found.append(RungRules(rung, own.gpus, own.detail, checks))
    return tuple(found)


def _checks(module: ModuleType) -> list[Check]:
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [
        function
        for name, function in functions
        if function.__module__ == module.__name__ and not name.startswith("_") and name not in ("gpus", "detail")
    ]
    return sorted(own, key=lambda function: function.__code__.co_firstlineno)
