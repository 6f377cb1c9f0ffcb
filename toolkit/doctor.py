"""Examines a machine: asks the host, the engine and a container, and judges the answers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from toolkit import chain, images
from toolkit.engine.docker import Docker, EngineError
from toolkit.facts import collect
from toolkit.host import Host, capture, live
from toolkit.model import Absent, Answer, Diagnosis, Engine, Facts, Failed, KitError, NotAsked, Nvml, Value

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
    host = (
        capture.replay(replay)
        if replay
        else live.host({"docker": engine_info, "container": lambda _: NotAsked("no GPU to hand over")})
    )
    facts = collect(host)
    if replay is None and _container_makes_sense(facts):
        host.answers["container:probe"] = probe()
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
        info = Docker().info()
    except EngineError as error:
        return Value({"fault": error.fault, "text": str(error)})
    return Value({**{name: info.get(name) for name in INFO}, "Runtimes": sorted(info.get("Runtimes") or {})})


def probe() -> Answer:
    """Return what the newest GPU image sees with all GPUs: {"image", "event"}; absent where it is not built."""
    variant = images.variant("gpu")
    try:
        engine = Docker()
        if engine.image(variant.tag) is None:
            return Absent()
        event = images.probe(engine, variant.tag, images.all_gpus(this_machine().engine))
    except KitError as error:
        return Failed(str(error))
    return Value({"image": variant.tag, "event": event})


def _container_makes_sense(facts: Facts) -> bool:
    """Return whether the host has GPUs and the engine a way to hand them over; else the container's rungs are blocked."""
    engine, nvml = facts.engine, facts.nvml
    if not isinstance(engine, Engine) or not isinstance(nvml, Nvml):
        return False
    return bool(nvml.gpus) and not engine.fault and images.all_gpus(engine) is not None
