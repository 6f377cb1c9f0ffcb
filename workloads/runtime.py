"""What every workload shares: events on stdout, named phases, and the GPUs of the container and of TensorFlow."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

_events: TextIO | None = None


def open_events() -> None:
    """Keep the real stdout for events, one JSON object a line, and send everything else printed to stderr."""
    global _events  # noqa: PLW0603 one process, one stdout
    if _events is None:
        _events = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)


def emit(event: str, **fields: Any) -> None:
    """Send one event to kit: {"event": name, "time": seconds since 1970, ...}."""
    open_events()
    assert _events is not None
    _events.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")
    _events.flush()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Time a named part of the run and tell kit its seconds."""
    emit("phase-started", phase=name)
    start = time.perf_counter()
    yield
    took(name, time.perf_counter() - start)


def took(name: str, seconds: float) -> None:
    """Tell kit the seconds of a part of the run; those of one name are added."""
    emit("phase", phase=name, seconds=seconds)


def arguments(description: str | None) -> argparse.Namespace:
    """Return what kit tells every workload of a run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, or one GPU as in gpu:1")
    parser.add_argument("--input", default="numpy", help="the form of the data, of those in workload.toml")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--data", type=Path, help="a table of the user's own: .csv, .tsv, .npz or .parquet")
    parser.add_argument("--target", help="its column of classes")
    parser.add_argument("--features", help="its columns to learn from, separated by commas; all others if not said")
    parser.add_argument("--impute", help="median: what to take for missing values, which are refused if not said")
    parser.add_argument("--stream", action="store_true", help="read it from disk even where there is memory for it")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def fail(finding: str, cause: str) -> NoReturn:
    """End the run with a fault that kit knows by its id."""
    emit("failed", finding=finding, cause=cause)
    sys.exit(1)


def stop_on_sigterm() -> None:
    """Make `docker stop` end the workload by an exception, as Ctrl-C does, so that it can still say so."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def cuda_gpus() -> tuple[int, str | None]:
    """Return how many GPUs the CUDA driver API gives this process, and the driver's error where it gives none.

    Source: cuInit and cuDeviceGetCount of libcuda.so.1, CUDA driver API.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return 0, str(error)
    code = cuda.cuInit(0)
    count = ctypes.c_int(0)
    if code == 0:
        code = cuda.cuDeviceGetCount(ctypes.byref(count))
    if code == 0:
        return count.value, None
    name = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(name))
    return 0, f"{(name.value or b'CUDA error').decode()} ({code})"


def tensorflow_build() -> dict[str, str | None]:
    """Return TensorFlow's version, and those of CUDA and cuDNN in its build."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    return {"tensorflow": tf.__version__, "cuda": build.get("cuda_version"), "cudnn": build.get("cudnn_version")}


def versions() -> dict[str, str | None]:
    """Return the versions that a result depends on; cuda and cudnn are those of TensorFlow's build."""
    import platform

    import keras
    import numpy

    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        **tensorflow_build(),
    }
