"""What differs by the backend of Keras: how its GPUs are counted and one of them chosen, its determinism, its version."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from runtime import cuda_gpus, emit, fail, tensorflow_build


class Backend(NamedTuple):
    """A backend: its title, and its functions."""

    title: str
    gpus: Callable[[], list[str]]  # their names, counted before the first tensor
    use: Callable[[int | None], None]  # train on one of them, on none of them
    deterministic: Callable[[], None]  # called before the GPUs are counted
    versions: Callable[[], dict[str, str | None]]  # its own, and what it was built with


def _tensorflow_gpus() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def _tensorflow_use(number: int | None) -> None:
    """Hide the GPUs that are not trained on, so that nothing runs on them; beside another backend it makes the data alone."""
    import tensorflow as tf

    tf.config.set_visible_devices([] if number is None else tf.config.list_physical_devices("GPU")[number], "GPU")


def _tensorflow_deterministic() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _jax_gpus() -> list[str]:
    # https://docs.jax.dev/en/latest/gpu_memory_allocation.html
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    try:
        return [gpu.device_kind for gpu in jax.devices("gpu")]
    except RuntimeError:  # it has no code for GPUs, or they do not answer
        return []


def _jax_use(number: int | None) -> None:
    import jax

    _tensorflow_use(None)
    jax.config.update("jax_default_device", jax.devices("cpu")[0] if number is None else jax.devices("gpu")[number])


def _jax_deterministic() -> None:
    # Read when JAX first looks for devices. https://docs.jax.dev/en/latest/gpu_performance_tips.html
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()


def _jax_versions() -> dict[str, str | None]:
    import jax

    return {"jax": jax.__version__}


def _torch_gpus() -> list[str]:
    import torch

    gpus = range(torch.cuda.device_count())
    try:
        return [torch.cuda.get_device_name(gpu) for gpu in gpus]
    except RuntimeError:  # they are there and do not answer; on the CPU it trains all the same
        return [f"cuda:{gpu}" for gpu in gpus]


def _torch_use(number: int | None) -> None:
    import keras

    _tensorflow_use(None)
    keras.device("cpu" if number is None else f"gpu:{number}").__enter__()  # for the rest of this process


def _torch_deterministic() -> None:
    # https://docs.pytorch.org/docs/stable/notes/randomness.html
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    import torch

    torch.use_deterministic_algorithms(mode=True)


def _torch_versions() -> dict[str, str | None]:
    import torch

    return {"torch": torch.__version__, "cuda": torch.version.cuda}


BACKENDS = {
    "tensorflow": Backend("TensorFlow", _tensorflow_gpus, _tensorflow_use, _tensorflow_deterministic, tensorflow_build),
    "jax": Backend("JAX", _jax_gpus, _jax_use, _jax_deterministic, _jax_versions),
    "torch": Backend("PyTorch", _torch_gpus, _torch_use, _torch_deterministic, _torch_versions),
}


def name() -> str:
    """Return the backend that Keras has in this process."""
    import keras

    backend: str = keras.backend.backend()
    return backend


def training_device(device: str, *, deterministic: bool) -> str:
    """Count the backend's GPUs, tell of them, and return the device to train on from now on: "cpu", "gpu" or "gpu:1".

    `device` is auto, cpu, gpu (the first) or one GPU by its number. Deterministic operations give the same numbers each
    time, which on a GPU not every one does.
    """
    own = BACKENDS[name()]
    if deterministic:
        own.deterministic()
    gpus = own.gpus()
    print("Num GPUs Available: ", len(gpus), flush=True)
    container, error = cuda_gpus()
    counts = {"tensorflow": None, name(): len(gpus)}
    emit("gpus", container=container, container_error=error, backend=name(), **counts, names=gpus)
    number = int(device.partition(":")[2] or 0)
    if device.startswith("gpu") and number >= len(gpus):
        fail("gpus-lost", f"--device {device} was asked for and {own.title} sees {len(gpus)} GPUs")
    if device == "cpu" or not gpus:
        own.use(None)
        return "cpu"
    own.use(number)
    return "gpu" if device == "auto" else device


def computing(seed: int, device: str, *, mixed_precision: bool) -> None:
    """Set the seed of every random number, and where it is asked for that Keras computes in 16 bits beside 32: float16 on
    a GPU, bfloat16 on a CPU."""
    import keras

    keras.utils.set_random_seed(seed)
    if mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16" if device == "cpu" else "mixed_float16")


def as_numpy(tensor: Any) -> NDArray[Any]:
    """Return a backend's tensor as an array. Keras 2, which has TensorFlow's alone, has no keras.ops."""
    try:
        from keras.ops import convert_to_numpy
    except ImportError:
        return np.asarray(tensor)
    array: NDArray[Any] = convert_to_numpy(tensor)
    return array


def versions() -> dict[str, str | None]:
    """Return the versions that a result depends on."""
    import platform

    import keras
    import numpy

    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        **BACKENDS[name()].versions(),
    }
