"""The NVML probe, a program of its own: prints what nvidia-ml-py reads as one JSON object; with a number of seconds the
use of the GPUs instead, so often, a line each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

# Errors that say only that this card or driver has no such reading; the last is nvidia-ml-py's own for an old library.
SILENT = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
    "NVMLLibraryMismatchError",
)


def read() -> dict[str, Any]:
    """Return driver and CUDA version and the GPUs, or {"error": NVML's name of it}. Source: NVML API reference."""
    import pynvml as nvml

    try:
        nvml.nvmlInit()
        answer: dict[str, Any] = {"driver_version": nvml.nvmlSystemGetDriverVersion(), "gpus": []}
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        return {"error": _name(error)}
    answer["cuda_version"] = f"{cuda // 1000}.{cuda % 1000 // 10}"
    for index in range(count):
        try:
            answer["gpus"].append(_gpu(nvml, index))
        except nvml.NVMLError as error:
            answer["gpus"].append({"index": index, "error": _name(error)})
    return answer


def uses(seconds: float) -> Iterator[list[dict[str, Any]]]:
    """Give memory and utilization (0..1) of every GPU, once in so many seconds; null where one has no such reading."""
    import pynvml as nvml

    nvml.nvmlInit()
    while True:
        yield [_use(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        time.sleep(seconds)


def _use(nvml: Any, index: int) -> dict[str, Any]:
    readings: dict[str, Callable[[Any], Any]] = {
        "memory_bytes": lambda gpu: _memory_used_bytes(nvml, gpu),
        "memory_total_bytes": lambda gpu: _memory_bytes(nvml, gpu),
        "utilization": lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    }
    use: dict[str, Any] = {"index": index, **dict.fromkeys(readings)}
    for name, reading in readings.items():
        with suppress(nvml.NVMLError):  # a lost GPU has none of them, and one of MIG no utilization
            use[name] = reading(nvml.nvmlDeviceGetHandleByIndex(index))
    return use


def _gpu(nvml: Any, index: int) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return {
        "index": index,
        "name": nvml.nvmlDeviceGetName(handle),
        "uuid": nvml.nvmlDeviceGetUUID(handle),
        "pci_address": nvml.nvmlDeviceGetPciInfo(handle).busId,
        "compute_capability": f"{major}.{minor}",
        "memory_bytes": _memory_bytes(nvml, handle),
        "health": _health(nvml, handle),
    }


def _memory_bytes(nvml: Any, gpu: Any) -> int | None:
    """Return the memory of a GPU, None where it has none of its own (it shares the system's)."""
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(gpu).total)
    except nvml.NVMLError as error:
        if _name(error) in SILENT:
            return None
        raise


def _health(nvml: Any, gpu: Any) -> dict[str, Any]:
    """Return the readings of one GPU: null where there is none, and `errors` by reading where NVML failed at one."""
    uncorrected, since_boot, ever = (
        nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        nvml.NVML_VOLATILE_ECC,
        nvml.NVML_AGGREGATE_ECC,
    )
    slowdown, shutdown = nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN, nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN
    readings: dict[str, Callable[[], Any]] = {
        "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        "slowdown_celsius": lambda: nvml.nvmlDeviceGetTemperatureThreshold(gpu, slowdown),
        "shutdown_celsius": lambda: nvml.nvmlDeviceGetTemperatureThreshold(gpu, shutdown),
        "fan_percent": lambda: nvml.nvmlDeviceGetFanSpeed(gpu),
        "power_milliwatts": lambda: nvml.nvmlDeviceGetPowerUsage(gpu),
        "power_limit_milliwatts": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu),
        "utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
        "performance_state": lambda: nvml.nvmlDeviceGetPerformanceState(gpu),
        # The old name: drivers before 535 have only this one, and later ones keep it.
        "clocks_event_reasons": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
        "persistence_mode": lambda: nvml.nvmlDeviceGetPersistenceMode(gpu),
        "compute_mode": lambda: nvml.nvmlDeviceGetComputeMode(gpu),
        "mig_mode": lambda: nvml.nvmlDeviceGetMigMode(gpu)[0],
        "mig_devices": lambda: _mig_devices(nvml, gpu),
        "ecc_uncorrected": lambda: nvml.nvmlDeviceGetTotalEccErrors(gpu, uncorrected, since_boot),
        "ecc_uncorrected_ever": lambda: nvml.nvmlDeviceGetTotalEccErrors(gpu, uncorrected, ever),
        "remapped_rows": lambda: nvml.nvmlDeviceGetRemappedRows(gpu)[1],
        "remap_pending": lambda: nvml.nvmlDeviceGetRemappedRows(gpu)[2],
        "remap_failed": lambda: nvml.nvmlDeviceGetRemappedRows(gpu)[3],
        "retirement_pending": lambda: nvml.nvmlDeviceGetRetiredPagesPendingStatus(gpu),
        "recovery_action": lambda: _recovery_action(nvml, gpu),
        "memory_used_bytes": lambda: _memory_used_bytes(nvml, gpu),
        "processes": lambda: _processes(nvml, gpu),
    }
    health: dict[str, Any] = dict.fromkeys(readings)
    errors = {}
    for name, reading in readings.items():
        try:
            health[name] = reading()
        except Exception as error:  # an odd answer of one reading must not cost the others
            text = _name(error) if isinstance(error, nvml.NVMLError) else type(error).__name__
            if text not in SILENT:
                errors[name] = text
    return {**health, "errors": errors}


def _mig_devices(nvml: Any, gpu: Any) -> int | None:
    """Return the number of MIG devices, None where MIG is off."""
    if not nvml.nvmlDeviceGetMigMode(gpu)[0]:
        return None
    found = 0
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
        except nvml.NVMLError_NotFound:
            continue
        found += 1
    return found


def _recovery_action(nvml: Any, gpu: Any) -> int | None:
    """Return what NVML asks for to recover this GPU (0: nothing), None where the driver is older than this question."""
    (field,) = nvml.nvmlDeviceGetFieldValues(gpu, [nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    return int(field.value.uiVal) if field.nvmlReturn == nvml.NVML_SUCCESS else None


def _memory_used_bytes(nvml: Any, gpu: Any) -> int:
    """Return the memory that programs hold; the first version of the call counts the driver's own reserve in."""
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2).used)
    except nvml.NVMLError:
        return int(nvml.nvmlDeviceGetMemoryInfo(gpu).used)


def _processes(nvml: Any, gpu: Any) -> list[dict[str, int | None]]:
    """Return the processes on this GPU with what each holds, in bytes (null where the driver does not tell)."""
    found = list(nvml.nvmlDeviceGetComputeRunningProcesses(gpu))
    with suppress(Exception):  # a graphics program counts too, where the driver can tell
        known = {each.pid for each in found}
        found += [each for each in nvml.nvmlDeviceGetGraphicsRunningProcesses(gpu) if each.pid not in known]
    return [{"pid": int(each.pid), "memory_bytes": each.usedGpuMemory} for each in found]


def _name(error: Any) -> str:
    """Return NVML's constant for an error, NVML_ERROR_LIB_RM_VERSION_MISMATCH say."""
    import pynvml as nvml

    names = {getattr(nvml, name): name for name in dir(nvml) if name.startswith("NVML_ERROR_")}
    return str(names.get(error.value, f"NVML error {error.value}"))


if __name__ == "__main__":
    if sys.argv[1:]:
        for each in uses(float(sys.argv[1])):
            print(json.dumps(each), flush=True)
    else:
        print(json.dumps(read()))
