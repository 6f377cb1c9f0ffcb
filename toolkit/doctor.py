"""Examines a machine: asks the host, the engine and a container, and judges the answers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from toolkit import chain, images
from toolkit.engine.docker import Docker, EngineError
from toolkit.engine.plan import GpuRequest
from toolkit.facts import Facts, collect
from toolkit.host import Host, capture, live
from toolkit.model import Absent, Answer, Diagnosis, Failed, KitError, Value

# What kit reads of GET /info; the rest describes the machine's owner rather than the engine.
INFO = (
    "ServerVersion",
    "CDISpecDirs",
    "SecurityOptions",
    "CgroupDriver",
    "CgroupVersion",
    "OperatingSystem",
    "DockerRootDir",
)


def examine(replay: Path | None = None, capture_to: Path | None = None) -> Diagnosis:
    """Return the diagnosis of this machine, or of a captured one, and write the capture if asked to.

    Raises KitError where the capture cannot be read or written.
    """
    began = time.perf_counter()
    host = capture.replay(replay) if replay else machine()
    facts = collect(host)
    if replay is None and (gpus := _gpus_to_hand_over(facts)):
        host.answers["container:probe"] = probe(gpus)
        facts = collect(host)
    if capture_to:
        capture.write(host, capture_to)
    return replace(chain.diagnose(facts), seconds=time.perf_counter() - began)


def this_machine() -> Facts:
    """Return the facts of this machine that need no container."""
    return collect(machine())


def machine() -> Host:
    """Return this machine with its container engine."""
    return live.host({"docker": engine_info})


def engine_info(_: str) -> Answer:
    """Return what the Docker engine says of itself, or its fault."""
    try:
        with Docker() as docker:
            info = docker.info()
    except EngineError as error:
        return Value({"fault": error.fault, "text": str(error)})
    return Value({**{name: info.get(name) for name in INFO}, "Runtimes": sorted(info.get("Runtimes") or {})})


def probe(gpus: GpuRequest | None) -> Answer:
    """Return what the newest GPU image sees with all GPUs: {"image", "event"}; absent where it is not built."""
    variant = images.variant("gpu")
    try:
        with Docker() as docker:
            if docker.image(variant.tag) is None:
                return Absent()
            event = images.probe(docker, variant.tag, gpus)
    except KitError as error:
        return Failed(str(error))
    return Value({"image": variant.tag, "event": event})


def _gpus_to_hand_over(facts: Facts) -> GpuRequest | None:
    """Return the request for all GPUs, None where the host has none: then the container's rungs are blocked."""
    return images.all_gpus(facts) if images.host_gpus(facts) else None
