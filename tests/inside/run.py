"""Runs the tests of one file of this folder inside an image, which has no pytest, and says of each how it ended, a JSON
line each: python run.py FILE. A test is a function whose name starts with test_; it fails by raising."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import traceback
from pathlib import Path


def main() -> None:
    file = Path(sys.argv[1]).resolve()
    sys.path.append(sys.path.pop(0))  # this folder's names come last
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for name, test in list(vars(module).items()):
        if name.startswith("test_"):
            began, error = time.perf_counter(), None
            try:
                test()
            except Exception:
                error = traceback.format_exc()
            answers.write(json.dumps({"test": name, "error": error, "seconds": time.perf_counter() - began}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
