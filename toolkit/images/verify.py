"""Proves an image by starting it as a run would."""

from __future__ import annotations

import json
import time
from typing import Any

from toolkit import chain, paths
from toolkit.engine import standin
from toolkit.engine.docker import Docker
from toolkit.engine.plan import LABEL, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts, container, platform
from toolkit.host import Host
from toolkit.images.machine import all_gpus, container_user, host_gpus, selinux
from toolkit.images.variants import Variant
from toolkit.model import (
    Finding,
    KitError,
    NotAsked,
)

SIMULATED_GPUS = 2
PROBE_SECONDS = 120  # a driver that hangs must not hang kit; importing TensorFlow from a slow disk may take one


def probe(
    engine: Docker,
    image: str,
    facts: Facts,
    gpus: GpuRequest | None,
    mounts: tuple[Mount, ...] = (),
    devices: tuple[str, ...] = (),
    program: tuple[str, ...] = ("probe",),
) -> dict[str, Any]:
    """Return the event that a program of workloads/ ends with in a container of an image, started as a run would be.

    `program` is its folder, whose name the event has, with its arguments.

    Raises KitError with its last lines where it ends without one.
    """
    events: list[dict[str, Any]] = []
    log: list[str] = []

    def on_line(stream: str, line: str) -> None:
        try:
            event = json.loads(line) if stream == "stdout" else None
        except ValueError:
            event = None
        if isinstance(event, dict) and event.get("event") == program[0]:
            events.append(event)
        else:
            log.append(line)

    ended = engine.run(
        RunPlan(
            command=("python", f"/workloads/{program[0]}/run.py", *program[1:]),
            environment={"PYTHONPATH": "/workloads", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"},
            mounts=(Mount(paths.workloads(), "/workloads"), *mounts),
            image=image,
            user=container_user(facts),
            gpus=gpus,
            limits=Limits(memory_bytes=4 << 30),
            devices=devices,
            labels={f"{LABEL}.workload": program[0]},
            deadline_seconds=PROBE_SECONDS,
            selinux=selinux(facts),
        ),
        on_line,
    )
    if not events:
        raise KitError(f"the {program[0]} ended with code {ended.code} and no answer:\n" + "\n".join(log[-10:]))
    return events[-1]


Proof = tuple[dict[str, Any], dict[str, str | None], tuple[Finding, ...]]


def verify(engine: Docker, image_id: str, each: Variant, facts: Facts) -> Proof:
    """Start the image as a run would be, and return how it was proven, the versions in it, and what is wrong with it.

    A gpu variant must count every GPU that it is given: the machine's, or simulated ones where there are none or the
    machine itself keeps them from a container, for which the image is not to blame. A cpu variant must import.
    """
    if not each.name.startswith("gpu"):
        return _prove(engine, image_id, each, facts, 0, None)
    real = all_gpus(facts) if host_gpus(facts) else None
    if real:
        proof = _prove(engine, image_id, each, facts, host_gpus(facts), real)
        if proof[0]["status"] == "passed":
            return proof
    return _prove(engine, image_id, each, facts, SIMULATED_GPUS, None)


def _prove(engine: Docker, image_id: str, each: Variant, facts: Facts, expected: int, real: GpuRequest | None) -> Proof:
    """Return the proof of an image by so many GPUs, simulated ones where no real ones are requested."""
    began = time.perf_counter()
    simulated = expected > 0 and real is None
    mounts, devices = standin.given(expected) if simulated else ((), ())
    inside = container.parse(each.tag, probe(engine, image_id, facts, real, mounts, devices))
    findings = _judged(inside, facts, expected > 0)
    complete = inside.tensorflow_gpus == expected and inside.tensorflow_error is None
    verified = {
        "status": "passed" if complete and not findings else "failed",
        "gpus": {"expected": expected, "container": inside.cuda_gpus, "tensorflow": inside.tensorflow_gpus},
        "simulated": simulated,
        "libraries": {name: error is None for name, error in inside.libraries.items()},
        "seconds": time.perf_counter() - began,
    }
    return verified, inside.versions, findings


def _judged(inside: container.Inside, facts: Facts, gpu_variant: bool) -> tuple[Finding, ...]:
    """Return the findings of the upper rungs, which are all that an image answers for."""
    nobody = Host(lambda _: NotAsked("not the image's"))
    alone = Facts(nobody, {container.inside: inside, platform.machine: facts.maybe(platform.machine)})
    if gpu_variant:
        return chain.diagnose(alone, ("container", "libraries", "tensorflow")).findings
    if inside.tensorflow_error:
        return chain.diagnose(alone, ("tensorflow",)).findings[:1]
    return ()
