"""Rung tensorflow: does TensorFlow report the container's GPUs?"""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolkit.checks import independent
from toolkit.checks.requirements import misfits
from toolkit.facts import Facts, container, platform
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence, Step

ERRORS = json.loads(Path(__file__).with_name("tensorflow_errors.json").read_text(encoding="utf-8"))["rows"]


def gpus(facts: Facts) -> int:
    """Return the length of tf.config.list_physical_devices("GPU")."""
    return facts(container.inside).tensorflow_gpus


def detail(facts: Facts) -> str:
    inside = facts(container.inside)
    if inside.tensorflow_error:
        return inside.tensorflow_error
    return f"TensorFlow {inside.tensorflow_version}: {', '.join(inside.tensorflow_names) or 'no GPU'}"


@independent
def illegal_instruction_no_avx(facts: Facts) -> Finding | None:
    """The CPU has AVX, which TensorFlow's wheels use"""
    machine = facts(platform.machine)
    if machine.avx is not False:
        return None
    fix = Sentence("Use a CPU with AVX (Intel from 2011, AMD from 2011 on), or a TensorFlow built without")
    if machine.hypervisor:
        fix = Sentence("Give this virtual machine a CPU type with AVX, the host's own best (QEMU: -cpu host)")
    return finding(
        "illegal-instruction-no-avx",
        "This CPU shows no AVX, and TensorFlow's official wheels use it: importing them ends with Illegal instruction.",
        [fix],
        [Evidence("/proc/cpuinfo", "flags without avx")],
    )


def tensorflow_imports(facts: Facts) -> Finding | None:
    """TensorFlow can be imported in the container"""
    inside = facts(container.inside)
    if inside.tensorflow_error is None:
        return None
    evidence = [Evidence("import tensorflow", inside.tensorflow_error)]
    row = next((row for row in ERRORS if re.search(row["pattern"], inside.tensorflow_error)), None)
    if row is None:
        cause = f"TensorFlow does not import in {inside.image}, for a reason that kit does not know."
        return finding("tensorflow-broken", cause, [Command("kit build --variant gpu")], evidence)
    fix: list[Step] = [Sentence(f"{row['fix']}; kit's own locks hold what fits:"), Command("kit build --variant gpu")]
    return finding(row["fault"], f"TensorFlow does not import in {inside.image}. {row['cause']}", fix, evidence)


def cpu_only_tensorflow(facts: Facts) -> Finding | None:
    """TensorFlow is built with CUDA"""
    inside = facts(container.inside)
    if inside.tensorflow_error or inside.tensorflow_cuda_build:
        return None
    cause = f"TensorFlow {inside.tensorflow_version} in {inside.image} is built without CUDA."
    evidence = [Evidence("tf.test.is_built_with_cuda()", "False")]
    return finding("cpu-only-tensorflow", cause, [Command("kit build --variant gpu")], evidence)


def packages_fit(facts: Facts) -> list[Finding] | None:
    """Keras and NumPy in the container are of versions that its TensorFlow takes"""
    inside = facts(container.inside)
    if inside.tensorflow_error:
        return None
    known = {name: version for name, version in inside.versions.items() if version}
    return misfits(inside.tensorflow_version, known, inside.image, lambda _: Command("kit build --variant gpu"))
