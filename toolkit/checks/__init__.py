"""Pure rules: Facts to findings. One module a rung; in it `gpus` counts the rung's GPUs, `detail` says how, and every
other public function is a check: its name is the check's id, its docstring's first line the title."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from toolkit.model import RUNGS, Facts, Finding, RungName

Check = Callable[[Facts], Finding | None]


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
    """Return the rules of every rung that has a module here, from the bus upwards; checks in the order of their source."""
    found = []
    for rung in RUNGS:
        try:
            module = importlib.import_module(f"{__name__}.{rung}")
        except ModuleNotFoundError:
            continue
        found.append(RungRules(rung, module.gpus, module.detail, tuple(_checks(module))))
    return tuple(found)


def _checks(module: ModuleType) -> list[Check]:
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [
        function
        for name, function in functions
        if function.__module__ == module.__name__ and not name.startswith("_") and name not in ("gpus", "detail")
    ]
    return sorted(own, key=lambda function: function.__code__.co_firstlineno)
