"""Runs code of old and new scripts inside an image and says of each how it ended, a JSON line each: python
course_imports.py CASES. tests/test_check.py gives the cases, those of the table, and holds it to what the table says."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

# NumPy's of Keras' own code: nothing that the case did.
OTHERS = ("__array__",)


def ended(code: str) -> dict[str, Any]:
    """Return the exception that a script ended with, and whether it warned or logged."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl")]
    error = None
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(log):
        warnings.simplefilter("always")
        for logger in loggers:
            logger.addHandler(handler)
        try:
            exec(compile(code, "<case>", "exec"), {"__name__": "__case__"})
        except BaseException as raised:  # whatever a script may do
            error = f"{type(raised).__name__}: {raised}"[:300]
        for logger in loggers:
            logger.removeHandler(handler)
    said = [str(each.message) for each in warned if not any(word in str(each.message) for word in OTHERS)]
    said += [line for line in log.getvalue().splitlines() if "deprecated" in line or "legacy" in line]
    return {"error": error, "warned": bool(said)}


def imported(name: str) -> bool:
    """Return whether `from a.b import c` works."""
    module, _, last = name.rpartition(".")
    try:
        if not module:
            importlib.import_module(last)
        else:
            exec(f"from {module} import {last}", {})
    except Exception:
        return False
    return True


def reached(name: str) -> bool:
    """Return whether a.b.c works as an attribute of what is imported."""
    first, *rest = name.split(".")
    try:
        found = importlib.import_module(first)
        for part in rest:
            found = getattr(found, part)
    except Exception:
        return False
    return True


def apart(code: str) -> dict[str, Any]:
    """Return how a script ended in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    return {"error": done.stderr.splitlines()[-1] if done.returncode else None, "warned": False}


def main() -> None:
    cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Imports of names come last: that of a submodule makes an attribute that would not be there.
    for name in cases["names"]:
        answers.write(json.dumps({"name": name, "reached": reached(name)}) + "\n")
    for code in cases["scripts"]:
        how = apart if "os.environ" in code else ended
        answers.write(json.dumps({"code": code} | how(code)) + "\n")
    for name in cases["names"]:
        answers.write(json.dumps({"name": name, "imported": imported(name)}) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
