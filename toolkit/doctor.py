"""Examines a machine: asks the host, the engine and a container, and judges the answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from toolkit import chain
from toolkit.engine.docker import Docker, EngineError, endpoint
from toolkit.engine.plan import GpuRequest
from toolkit.facts import Facts, collect, container, parsers, pci
from toolkit.host import Host, capture, frozen, live
from toolkit.images.choice import choose
from toolkit.images.machine import all_gpus, host_gpus
from toolkit.images.started import PROBE_SECONDS
from toolkit.images.started import probe as probe_image
from toolkit.model import RUNGS, Absent, Answer, Diagnosis, Failed, KitError, NotAsked, RungName, Value

# What kit reads of GET /info; the rest describes the machine's owner rather than the engine.
INFO = (
    "ServerVersion",
    "CDISpecDirs",
    "SecurityOptions",
    "CgroupDriver",
    "CgroupVersion",
    "OperatingSystem",
    "DockerRootDir",
    "DriverStatus",
    "RuncCommit",
    "BuildahVersion",
)


ENGINE_SECONDS = 5
HOST_SECONDS = 10  # for everything that is read of the host, whatever the machine does
HOST_RUNGS: tuple[RungName, ...] = ("pci", "module", "nodes", "nvml")


def examine(replay: Path | None = None, capture_to: Path | None = None, *, quick: bool = False) -> Diagnosis:
    """Return the diagnosis of this machine, or of a captured one, and write the capture if asked to.

    `quick` leaves the engine and its containers out. Raises KitError where the capture cannot be read or written.
    """
    began = time.perf_counter()
    host = capture.replay(replay) if replay else _asked(machine(), quick=quick)
    diagnosis = chain.diagnose(Facts(host), HOST_RUNGS if quick else RUNGS)
    if capture_to:
        collect(host)
        capture.write(host, capture_to)
    return replace(diagnosis, seconds=time.perf_counter() - began)


def _asked(host: Host, *, quick: bool) -> Host:
    """Return a machine with the answers that came in time, its questions asked all at once.

    They are asked in threads that are left behind if they hang, since no deadline holds for a read in the kernel.
    """
    facts = Facts(host)
    if quick:
        slow = ("nvml", "kernel-log:NVRM", "kernel-log:NVRM: Xid")  # asked in turn they may take longer than there is
        works: list[Callable[[], object]] = [partial(_ask_of_card, facts, host, key) for key in slow]
        works.append(lambda: chain.diagnose(facts, HOST_RUNGS))
    else:
        works = [partial(facts.maybe, parser) for parser in parsers()]
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    until = time.monotonic() + HOST_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    # What a container waits for on the host itself is given up with the host.
    until = time.monotonic() + PROBE_SECONDS + HOST_SECONDS
    while (
        _only_containers(host.waited_for())
        and any(map(threading.Thread.is_alive, threads))
        and time.monotonic() < until
    ):
        time.sleep(0.02)
    return frozen(host, f"no answer within {HOST_SECONDS} s")


def _ask_of_card(facts: Facts, host: Host, key: str) -> None:
    if facts.maybe(pci.gpus):
        host.ask(key)


def _only_containers(keys: list[str]) -> bool:
    return bool(keys) and all(key.startswith("container:") for key in keys)


def this_machine() -> Facts:
    """Return the facts of this machine, each asked for when it is needed."""
    return Facts(machine())


def machine() -> Host:
    """Return this machine with its container engine, and the containers that show what the engine hands over."""
    host = live.host({"docker": engine_info, "container": lambda what: container_answer(what, Facts(host))})
    return host


def container_answer(what: str, facts: Facts) -> Answer:
    """Answer what a container shows, where the host has GPUs and the engine a way to hand them over."""
    gpus = all_gpus(facts) if host_gpus(facts) else None
    return probe(what, facts, gpus) if gpus else NotAsked("there is no GPU to hand over")


def engine_info(_: str) -> Answer:
    """Return what the Docker engine says of itself, or its fault."""
    where: dict[str, str | None] = {}
    try:
        where["Endpoint"], _, where["Context"] = endpoint()
        with Docker(seconds=ENGINE_SECONDS) as docker:
            info = docker.info()
    except EngineError as error:
        return Value({"fault": error.fault, "text": str(error), **where})
    told = {name: info[name] for name in INFO if name in info}
    return Value({**told, "Runtimes": sorted(info.get("Runtimes") or {}), **where})


def probe(what: str, facts: Facts, gpus: GpuRequest) -> Answer:
    """Return what a container of the newest GPU image tells: {"image", "event"}; absent where it is not built.

    `probe` is with all GPUs, `probe-without-gpus` tells which libraries of the driver the image has of its own, `compute`
    proves the first GPU by its numbers.
    """
    variant = choose(facts, "gpu", force=True)
    programs = {
        "probe": (gpus, ("probe",)),
        "probe-without-gpus": (None, ("probe", "--driver-libraries")),
        "compute": (gpus, ("compute",)),
    }
    if what not in programs:
        return NotAsked(f"there is no probe {what}")
    if what == "compute" and (why_not := _no_compute(facts)):
        return NotAsked(why_not)
    request, program = programs[what]
    try:
        with Docker() as docker:
            if docker.image(variant.tag) is None:
                return Absent()
            event = probe_image(docker, variant.tag, facts, request, program=program)
    except KitError as error:
        return Failed(str(error))
    return Value({"image": variant.tag, "event": event})


def _no_compute(facts: Facts) -> str | None:
    """Return why there is nothing to compute on, None where there is a GPU for it."""
    inside = facts.maybe(container.inside)
    if inside is None or not inside.tensorflow_gpus:
        return "TensorFlow has no GPU to compute on"
    return "a simulated GPU never computes" if inside.simulated else None
