"""The CUDA probe, a program of its own: prints what the CUDA driver API gives a process on the host as one JSON object."""

from __future__ import annotations

import ctypes
import json
from typing import Any


def read() -> dict[str, Any]:
    """Return {"gpus": count, "error": the driver's name for why there is none}. Source: CUDA driver API, cuInit."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"gpus": 0, "error": str(error)}
    count = ctypes.c_int(0)
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if code == 0:
        return {"gpus": count.value, "error": None}
    name = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(name))
    return {"gpus": 0, "error": f"{(name.value or b'CUDA error').decode()} ({code})"}


if __name__ == "__main__":
    print(json.dumps(read()))
