"""Says what this container has of each upper rung, as one `probe` event; computes nothing."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any

from runtime import cuda_gpus, emit, open_events, versions


def loads(library: str) -> str | None:
    """Return the linker's reason why a library does not load, None where it does."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return str(error)
    return None


def tensorflow() -> dict[str, Any]:
    """Return what TensorFlow says of itself and its GPUs, or the error that its import ended in."""
    try:
        import tensorflow as tf
    except Exception as error:
        return {"version": "", "gpus": 0, "names": [], "cuda_build": False, "error": f"{type(error).__name__}: {error}"}
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    cuda_build = bool(tf.test.is_built_with_cuda())
    return {"version": tf.__version__, "gpus": len(gpus), "names": names, "cuda_build": cuda_build, "error": None}


def main() -> None:
    open_events()
    count, error = cuda_gpus()
    seen = tensorflow()
    known = {} if seen["error"] else versions()
    # After TensorFlow, so that libraries which it finds by its own search path count as found.
    wanted: list[str] = []
    if cuda := known.get("cuda"):
        wanted = json.loads((Path(__file__).parent / "libraries.json").read_text()).get(cuda.split(".")[0], [])
    emit(
        "probe",
        cuda={"gpus": count, "error": error},
        nvml_library=loads("libnvidia-ml.so.1") is None,
        libraries={name: loads(name) for name in wanted},
        tensorflow=seen,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        versions=known,
    )


if __name__ == "__main__":
    main()
