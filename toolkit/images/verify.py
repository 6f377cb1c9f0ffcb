"""Proves an image by starting it as a run would, and keeps the proof beside it."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from toolkit import paths, records
from toolkit.engine import standin
from toolkit.engine.docker import Docker
from toolkit.engine.plan import LABEL, GpuRequest, Mount
from toolkit.facts import Facts, container, platform
from toolkit.images import proof
from toolkit.images.machine import all_gpus, host_gpus
from toolkit.images.started import PROBE_SECONDS, Told, probe, started
from toolkit.images.variants import Hardware, Variant
from toolkit.model import Answer, Finding, KitError, NotAsked, UsageError, Value, VerifyRecord

SIMULATED_GPUS = 2
TRAINING_SECONDS = 600  # for a card newer than its code TensorFlow's kernels are compiled first, which takes minutes

Proof = tuple[dict[str, Any], dict[str, str | None], tuple[Finding, ...]]


def verify(engine: Docker, image_id: str, each: Variant, facts: Facts) -> Proof:
    """Start an image of a variant as a run would be, and return how it was proven, the versions in it, and what is wrong.

    A container of it must count every GPU that it is given, load every CUDA library in a version that TensorFlow takes,
    train the packaged model, and write as its caller.
    """
    return _proven(engine, image_id, each.tag, facts, each.hardware)


def examine(engine: Docker, reference: str, facts: Facts) -> VerifyRecord:
    """Return the proof of any image that the engine has, and keep it beside the image.

    Raises UsageError where the engine does not have it.
    """
    image = engine.image(reference)
    if image is None:
        raise UsageError(
            f"there is no image {reference!r} in the engine; fetch it (docker pull), or build kit's (kit build)"
        )
    variant = (image["Config"].get("Labels") or {}).get(f"{LABEL}.variant", "").partition("-")[0]
    hardware = cast(Hardware, variant) if variant in ("gpu", "cpu") else None
    verified, versions, findings = _proven(engine, image["Id"], reference, facts, hardware)
    record = VerifyRecord(reference, image["Id"], versions, verified, findings)
    file = records.image_record(record.image_id)
    fresh = asdict(record)
    kept = {name: fresh[name] for name in ("versions", "verified", "findings")}
    records.write_json(file, {**fresh, **(records.read_json(file) or {}), **kept})  # what its build recorded stays
    return record


def verified(image_id: str) -> dict[str, Any] | None:
    """Return how an image was proven, None where it was not, or is not good."""
    known = (records.read_json(records.image_record(image_id)) or {}).get("verified") or {}
    return known if known.get("status") == "passed" else None


def _proven(engine: Docker, image: str, name: str, facts: Facts, hardware: Hardware | None) -> Proof:
    """Return the proof of an image by the machine's GPUs, or by simulated ones where there are none or the machine itself
    keeps them from a container, for which the image is not to blame. `hardware` is None where nobody says what it is for.
    """
    there = host_gpus(facts)
    if hardware != "cpu" and there and (real := all_gpus(facts)):
        with suppress(KitError):
            found = _proof(engine, image, name, facts, hardware, there, real)
            if found[0]["gpus"]["container"] == there:
                return found
    return _proof(engine, image, name, facts, hardware, 0 if hardware == "cpu" else SIMULATED_GPUS, None)


def _proof(
    engine: Docker, image: str, name: str, facts: Facts, hardware: Hardware | None, given: int, real: GpuRequest | None
) -> Proof:
    """Return the proof of an image by so many GPUs, simulated ones where no real ones are requested."""
    began = time.perf_counter()
    told, owner = _trained(engine, image, facts, given, real)
    event = told.last("probe")
    if event is None:
        built_for = (engine.image(image) or {}).get("Architecture", "")
        found = [proof.silence(told, name, built_for, engine.info()["Architecture"])]
        inside, expected = None, given if hardware == "gpu" else 0
    else:
        inside = container.parse(name, event)
        expected = given if hardware == "gpu" or inside.tensorflow_cuda_build else 0
        own = _own_driver(engine, image, facts) if expected else NotAsked("no GPU is expected")
        found = proof.rungs(inside, facts.maybe(platform.machine), own, expected)
        found += filter(None, [proof.written(told, owner, paths.caller()[0])])
        # A foreign image need not have what the packaged workload needs beside TensorFlow.
        if not inside.tensorflow_error and not (hardware is None and told.last("untrained")):
            found += filter(None, [proof.untrained(inside, told)])
    verified = {
        "status": "failed" if any(each.severity == "error" for each in found) else "passed",
        "gpus": {
            "expected": expected,
            "container": inside.cuda_gpus if inside else None,
            "tensorflow": inside.tensorflow_gpus if inside else None,
        },
        "simulated": given > 0 and real is None,
        "libraries": {library: error is None for library, error in inside.libraries.items()} if inside else {},
        "library_versions": (inside.loaded_versions or {}) if inside else {},
        "training": proof.training(told),
        "uid": owner,
        "seconds": time.perf_counter() - began,
    }
    return verified, inside.versions if inside else {}, tuple(found)


def _trained(engine: Docker, image: str, facts: Facts, given: int, real: GpuRequest | None) -> tuple[Told, int | None]:
    """Return what a container says that probes, writes and trains, and whose the file is that it wrote.

    In one container, since the import of TensorFlow takes longer than all the rest.
    """
    mounts, devices = standin.given(given) if given and not real else ((), ())
    # A simulated GPU counts and never computes.
    program = ("probe", "--train", "/out", "--device", "auto" if real else "cpu")
    seconds = TRAINING_SECONDS if real else PROBE_SECONDS
    with tempfile.TemporaryDirectory(dir=paths.make(paths.state() / "verify"), ignore_cleanup_errors=True) as folder:
        out = Path(folder)
        paths.give_to_caller(out)
        mounts = (*mounts, Mount(out, "/out", read_only=False))
        told = started(engine, image, facts, real, program, mounts, devices, seconds)
        return told, next((file.stat().st_uid for file in out.iterdir()), None)


def _own_driver(engine: Docker, image: str, facts: Facts) -> Answer:
    """Return which of the driver's libraries an image has of its own, as a container without GPUs says."""
    try:
        return Value({"event": probe(engine, image, facts, None, ("probe", "--driver-libraries"))})
    except KitError as error:
        return NotAsked(str(error))
