"""The NVML probe, a program of its own: prints what nvidia-ml-py reads as one JSON object."""

from __future__ import annotations

import json
from typing import Any


def read() -> dict[str, Any]:
    """Return driver and CUDA version and the GPUs, or {"error": NVML's name of it}. Source: NVML API reference."""
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"error": _name(error)}
    answer: dict[str, Any] = {"driver_version": nvml.nvmlSystemGetDriverVersion(), "gpus": []}
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    answer["cuda_version"] = f"{cuda // 1000}.{cuda % 1000 // 10}"
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            answer["gpus"].append(_gpu(nvml, index))
        except nvml.NVMLError as error:
            answer["gpus"].append({"index": index, "error": _name(error)})
    return answer


def _gpu(nvml: Any, index: int) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return {
        "index": index,
        "name": nvml.nvmlDeviceGetName(handle),
        "uuid": nvml.nvmlDeviceGetUUID(handle),
        "pci_address": nvml.nvmlDeviceGetPciInfo(handle).busId,
        "compute_capability": f"{major}.{minor}",
        "memory_bytes": int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
    }


def _name(error: Any) -> str:
    """Return NVML's constant for an error, NVML_ERROR_LIB_RM_VERSION_MISMATCH say."""
    import pynvml as nvml

    names = {getattr(nvml, name): name for name in dir(nvml) if name.startswith("NVML_ERROR_")}
    return str(names.get(error.value, f"NVML error {error.value}"))


if __name__ == "__main__":
    print(json.dumps(read()))
