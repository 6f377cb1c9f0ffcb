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


def tensorflow_gpus(device: str) -> str:
    """Count TensorFlow's GPUs, set memory growth on each, and return the device to train on: "cpu", "gpu" or "gpu:1".

    `device` is auto, cpu, gpu (the first) or one GPU by its number. The GPUs that are not trained on are hidden from
    TensorFlow after the count and before the first tensor, so that nothing runs on them.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    print("Num GPUs Available: ", len(gpus), flush=True)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    container, error = cuda_gpus()
    emit("gpus", container=container, container_error=error, tensorflow=len(gpus), names=names)
    number = int(device.partition(":")[2] or 0)
    if device.startswith("gpu") and number >= len(gpus):
        fail("gpus-lost", f"--device {device} was asked for and TensorFlow sees {len(gpus)} GPUs")
    if device == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    tf.config.set_visible_devices(gpus[number], "GPU")
    return "gpu" if device == "auto" else device


def computing(seed: int, device: str, *, mixed_precision: bool, deterministic: bool) -> None:
    """Set the seed of every random number, and how Keras computes: 16 bits beside 32 (float16 on a GPU, bfloat16 on a CPU),
    and with operations that give the same numbers each time, which on a GPU not every one does."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    if mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16" if device == "cpu" else "mixed_float16")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def versions() -> dict[str, str | None]:
    """Return the versions that a result depends on; cuda and cudnn are those of TensorFlow's build."""
    import platform

    import keras
    import numpy
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
    }
