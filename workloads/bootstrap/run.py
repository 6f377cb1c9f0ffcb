"""Runs somebody's own script as `python script` does: counts the GPUs before it, and tells kit afterwards what it used.

usage: run.py auto|gpu SCRIPT [ARGUMENT…]; events go to the file $KIT_EVENTS, since stdout is the script's.

The script gets nothing of this program: no module that kit has and Python does not, no frame in its tracebacks. Above all
TensorFlow is not imported for it: what a script sets before its own import (CUDA_VISIBLE_DEVICES, XLA_FLAGS,
KERAS_BACKEND) would come too late, and CUDA does not survive the fork of a process that used it. So the GPUs are counted
in another process, and memory growth comes by the environment (toolkit/own/container.py).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

EVENTS = Path(os.environ.pop("KIT_EVENTS"))
COUNT_SECONDS = 60
CUDA = "import json, runtime; print(json.dumps(runtime.cuda_gpus()))"
TENSORFLOW = "import tensorflow as tf; print([len(tf.config.list_physical_devices('GPU')), 0])"
TOLD = ("tensorflow", "keras", "numpy", "torch", "jax")  # packages whose versions a result depends on


def emit(event: str, **fields: Any) -> None:
    """Send one event to kit."""
    with EVENTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")


def counted(program: str) -> tuple[int | None, str | None]:
    """Return the GPUs that a Python program of one line counts, and what kept it from more."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=COUNT_SECONDS, env=environment
        )
        gpus, error = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as failure:
        return None, getattr(failure, "stderr", None) or str(failure)
    return gpus, error or None


def count(device: str) -> dict[str, Any]:
    """Tell how many GPUs there are and return it. It is the end where one was asked for that TensorFlow does not see."""
    gpus, error = counted(CUDA)
    print("Num GPUs Available: ", gpus, file=sys.stderr, flush=True)
    seen = counted(TENSORFLOW)[0] if device == "gpu" else None
    told = {"container": gpus, "container_error": error, "tensorflow": seen}
    emit("gpus", **told)
    if device == "gpu" and not seen:
        emit("failed", finding="gpus-lost", cause="--device gpu was asked for and TensorFlow sees no GPU")
        sys.exit(1)
    return told


def run(script: str, arguments: list[str], gpus: dict[str, Any]) -> None:
    """Run a script to its end, which ends this process as it would have ended the script's own."""
    main = ModuleType("__main__")
    main.__dict__.update(__file__=script, __builtins__=__builtins__)
    sys.modules["__main__"] = main  # for good: threads and atexit see it after the script's last line too
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    own_process = os.getpid()
    try:
        exec(compile(Path(script).read_bytes(), script, "exec", dont_inherit=True), main.__dict__)
    except (Exception, KeyboardInterrupt) as error:
        frames = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        emit("raised", **told_of(error, Path(script).parent))
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)
    finally:
        if os.getpid() == own_process:  # what the script forked comes by here too
            with suppress(Exception):
                tell(gpus)


def told_of(error: BaseException, folder: Path) -> dict[str, Any]:
    """Return an exception's name and text, and the last line of a folder's own files that led to it."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    lines = [(frame.filename, frame.lineno, frame.line) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        lines.append((error.filename or "", error.lineno, error.text))
    own = [line for line in lines if Path(line[0]).is_relative_to(folder)]
    file, number, code = own[-1] if own else (None, None, None)
    return {"name": name, "text": str(error), "file": file, "line": number, "code": code and code.strip()}


def tell(gpus: dict[str, Any]) -> None:
    """Tell kit the versions of what the script imported, and the GPUs that its TensorFlow had."""
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in TOLD}
    emit("versions", python=platform.python_version(), **{name: each for name, each in loaded.items() if each})
    if tensorflow := sys.modules.get("tensorflow"):
        emit("gpus", **{**gpus, "tensorflow": len(tensorflow.config.list_physical_devices("GPU"))})


if __name__ == "__main__":
    emit("started")
    run(sys.argv[2], sys.argv[3:], count(sys.argv[1]))
