"""Rung tensorflow: does TensorFlow report the container's GPUs?"""

from __future__ import annotations

from toolkit.facts import Facts, container
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding


def gpus(facts: Facts) -> int:
    """Return the length of tf.config.list_physical_devices("GPU")."""
    return facts(container.inside).tensorflow_gpus


def detail(facts: Facts) -> str:
    inside = facts(container.inside)
    if inside.tensorflow_error:
        return inside.tensorflow_error
    return f"TensorFlow {inside.tensorflow_version}: {', '.join(inside.tensorflow_names) or 'no GPU'}"


def tensorflow_imports(facts: Facts) -> Finding | None:
    """TensorFlow can be imported in the container"""
    inside = facts(container.inside)
    if inside.tensorflow_error is None:
        return None
    evidence = [Evidence("import tensorflow", inside.tensorflow_error)]
    return finding(
        "tensorflow-broken", f"TensorFlow does not import in {inside.image}.", [Command("kit build")], evidence
    )


def cpu_only_tensorflow(facts: Facts) -> Finding | None:
    """TensorFlow is built with CUDA"""
    inside = facts(container.inside)
    if inside.tensorflow_error or inside.tensorflow_cuda_build:
        return None
    cause = f"TensorFlow {inside.tensorflow_version} in {inside.image} is built without CUDA."
    evidence = [Evidence("tf.test.is_built_with_cuda()", "False")]
    return finding("cpu-only-tensorflow", cause, [Command("kit build --variant gpu")], evidence)
