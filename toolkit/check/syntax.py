"""What a syntax tree says by itself, whatever its names stand for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

CATCHES_ALL = frozenset({"Exception", "BaseException"})
ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
EXITS = frozenset({"exit", "quit", "sys.exit", "os._exit"})
# What is imported there gives an attribute that is missing else.
SUBMODULES = ("tensorflow.python", "tensorflow.keras.saving")


def is_true(keyword: ast.keyword | None) -> bool:
    return keyword is not None and isinstance(keyword.value, ast.Constant) and keyword.value.value is True


def ends(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and (isinstance(body[-1], ENDS) or gives_up(body[-1:]))


def gives_up(body: Sequence[ast.stmt]) -> bool:
    """Return whether a block raises or exits on its own."""
    for node in body:
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in EXITS:
            return True
    return False


def imports(body: Sequence[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


def caught_by(handler: ast.ExceptHandler) -> frozenset[str] | None:
    """Return the names of the exceptions that a handler catches; None where it catches all."""
    if handler.type is None:
        return None
    names = frozenset(re.findall(r"\w+", ast.unparse(handler.type)))
    return None if names & CATCHES_ALL else names


def methods_of(nodes: Iterable[ast.AST], *, derived: bool) -> frozenset[str]:
    """Return the names of the methods of the script's own classes, or of those alone that are derived from others."""
    return frozenset(
        method.name
        for node in nodes
        if isinstance(node, ast.ClassDef) and (node.bases or not derived)
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def submodules_of(nodes: Iterable[ast.AST]) -> tuple[str, ...]:
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.startswith(SUBMODULES))


def metrics_of(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the metrics that models are compiled with; ? where they are not plain texts."""
    found: set[str] = set()
    for node in nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "compile"):
            continue
        for keyword in node.keywords:
            if keyword.arg == "metrics":
                parts = keyword.value.elts if isinstance(keyword.value, ast.List | ast.Tuple) else [keyword.value]
                texts = [part.value if isinstance(part, ast.Constant) else "?" for part in parts]
                found |= {str(text) for text in texts}
            elif keyword.arg is None:
                found.add("?")
        if len(node.args) > 2:
            found.add("?")
    return frozenset(found)
