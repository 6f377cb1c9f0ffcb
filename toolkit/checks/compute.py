"""Rung compute: does a kernel run on the GPU and give the right numbers?"""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolkit.checks.steps import as_root
from toolkit.facts import Facts, compute, container, driver
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, NotApplicableError, Sentence, Step, UnknownFactError

ERRORS = json.loads(Path(__file__).with_name("compute_errors.json").read_text(encoding="utf-8"))
PEAK = json.loads(Path(__file__).with_name("peak_teraflops.json").read_text(encoding="utf-8"))
SLOW = 0.4  # of the card's peak; large products reach 0.7 and more on a card that is neither hot nor shared


def gpus(facts: Facts) -> int:
    """Return the GPUs that the lower rungs have where the first one computes rightly, else none."""
    try:
        proof = facts(compute.proof)
    except UnknownFactError as reason:  # there is no GPU to compute on, and the rungs below say why
        raise NotApplicableError(str(reason)) from reason
    return 0 if _wrong(proof) else facts(container.inside).tensorflow_gpus


def detail(facts: Facts) -> str:
    proof = facts(compute.proof)
    if proof.error:
        return proof.error
    errors = ", ".join(f"{kind} error {product.error:.1e}" for kind, product in proof.products.items())
    speeds = "".join(f", {kind} {_speed(facts, kind, rate)}" for kind, rate in proof.teraflops.items())
    return f"{errors}{speeds}"


def gpu_computes(facts: Facts) -> Finding | None:
    """A matrix product and a training step run on the GPU"""
    error = facts(compute.proof).error
    if error is None:
        return None
    row = next((row for row in ERRORS if re.search(row["pattern"], error, re.IGNORECASE)), None)
    fix: list[Step] = [as_root(facts, "dmesg | grep -E 'NVRM|Xid'"), Command("kit doctor -v")]
    fault = row["fault"] if row else "gpu-computes-wrong"
    return finding(
        fault, "TensorFlow counts the GPU and cannot compute on it.", fix, [Evidence("workloads/compute", error)]
    )


def gpu_computes_rightly(facts: Facts) -> Finding | None:
    """The GPU's numbers are the CPU's within their tolerance, and the same at each run"""
    proof = facts(compute.proof)
    if proof.error or not (wrong := _wrong(proof)):
        return None
    fix: list[Step] = [
        Sentence("Take the card out of use: its results are not to be trusted"),
        Sentence(
            "Undo overclocking, check cooling and power, and run the vendor's memory test; replace the card if it stays"
        ),
    ]
    return finding(
        "gpu-computes-wrong",
        "The GPU gives wrong numbers.",
        fix,
        [Evidence("workloads/compute", each) for each in wrong],
    )


def gpu_slower_than_it_should(facts: Facts) -> Finding | None:
    """The GPU reaches the throughput of its kind"""
    proof, name = facts(compute.proof), _name(facts)
    slow = {kind: rate for kind, rate in proof.teraflops.items() if name in PEAK and rate < SLOW * PEAK[name][kind]}
    if not slow:
        return None
    evidence = [Evidence("workloads/compute", f"{kind}: {_speed(facts, kind, rate)}") for kind, rate in slow.items()]
    fix: list[Step] = [
        Command("nvidia-smi -q -d PERFORMANCE,CLOCK"),
        Sentence("Look for throttling, a power cap, or another program on the card"),
    ]
    return finding("gpu-slow", f"{name} computes far below its peak.", fix, evidence, "warning")


def _wrong(proof: compute.Compute) -> list[str]:
    """Return what is wrong with a proof, as sentences."""
    if proof.error:
        return [proof.error]
    wrong = [
        f"{kind}: error {product.error:.2e} is above {product.tolerance:.2e}"
        for kind, product in proof.products.items()
        if not product.error <= product.tolerance
    ]
    wrong += [f"{kind}: runs differ" for kind, product in proof.products.items() if not product.repeatable]
    if proof.step_difference is not None and not proof.step_difference <= (proof.step_tolerance or 0):
        wrong.append(f"training step: weights differ by {proof.step_difference:.2e}")
    return wrong


def _name(facts: Facts) -> str:
    nvml = facts.maybe(driver.nvml)
    return nvml.gpus[0].name if nvml and nvml.gpus else ""


def _speed(facts: Facts, kind: str, rate: float) -> str:
    peak = PEAK.get(_name(facts), {}).get(kind)
    return f"{rate:.1f} TFLOP/s" + (f" ({rate / peak:.0%} of {peak})" if peak else "")
