"""The container that somebody's own code gets: its image with their packages, its GPUs, and what it may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from toolkit import doctor
from toolkit.engine.docker import Docker
from toolkit.engine.downloads import CA_VARIABLES, PROXIES, ca_bundle
from toolkit.engine.plan import LABEL, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts
from toolkit.images import build
from toolkit.images.machine import container_user, selinux
from toolkit.images.variants import Variant, with_extra
from toolkit.model import UsageError
from toolkit.own import layer
from toolkit.workloads.image import chosen
from toolkit.workloads.plan import QUIET, check_device

# The GPUs' memory as it is needed and not all of it at once: in every process, whenever it imports TensorFlow, and
# before anything that it says to that of its own. Sources: TensorFlow's core/common_runtime/gpu/gpu_process_state.cc,
# https://docs.jax.dev/en/latest/gpu_memory_allocation.html
GROWTH = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
# A user without an entry in /etc/passwd: getpass.getuser() goes by these.
PERSON = {"HOME": "/tmp", "USER": "kit", "LOGNAME": "kit", "SHELL": "/bin/bash"}

CA = "/ca.crt"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of a container. `tensorflow` is a version, the newest that fits where none is named."""

    gpus: str = "auto"
    device: str = "auto"
    network: bool = False
    growth: bool = True
    tensorflow: str | None = None
    stdin: bool = False  # kit's own goes to it


@dataclass(frozen=True, slots=True)
class Place:
    """An image in an engine, and what of the machine a container of it gets."""

    engine: Docker
    facts: Facts
    image: str  # its tag
    gpus: GpuRequest | None = None
    proxies: dict[str, str] = field(default_factory=dict)
    ca: Path | None = None  # the bundle of certificates that this machine trusts; the image has none
    notes: tuple[str, ...] = ()  # what is not as somebody may think


def ready(
    engine: Docker, options: Options, extra: str, requirements: Path | None, on_progress: Callable[[str], None]
) -> Place:
    """Return the image with an extra, and with the packages of a requirements file where there is one, built if missing.

    Raises UsageError and KitError where the options ask for GPUs that are not there or cannot be handed over, or for
    packages that the image's own keep from being there, NotBuiltError where an image cannot be built.
    """
    facts = doctor.this_machine()
    check_device(options.device)
    row, gpus, on_cpu = wanted(options, facts)
    each = with_extra(row, extra)
    build.ready(engine, each, facts, on_progress)
    image = layer.image(engine, each, requirements, on_progress) if requirements else each.tag
    environment = dict(os.environ)
    proxies = {name: environment[name] for name in PROXIES if environment.get(name)}
    notes = (on_cpu,) if on_cpu else ()
    return Place(engine, facts, image, gpus, proxies, ca_bundle(environment), notes)


def wanted(options: Options, facts: Facts) -> tuple[Variant, GpuRequest | None, str | None]:
    """Return what `chosen` does; a container that is for the CPU gets no GPU."""
    return chosen("none" if options.device == "cpu" else options.gpus, options.device, facts, options.tensorflow)


def plan(
    command: tuple[str, ...],
    options: Options,
    place: Place,
    mounts: tuple[Mount, ...],
    memory_bytes: int,
    kind: str,
    environment: dict[str, str] | None = None,
) -> RunPlan:
    """Return the process of a container in the folder /work, as the caller, with what it may use. `kind` is its label."""
    number = options.device.partition(":")[2]
    online = place.proxies | (dict.fromkeys(CA_VARIABLES, CA) if place.ca else {})
    return RunPlan(
        command=command,
        environment={
            **QUIET,
            **PERSON,
            **(GROWTH if options.growth else {}),
            **({"CUDA_VISIBLE_DEVICES": number} if number else {}),
            **(online if options.network else {}),
            **(environment or {}),
        },
        mounts=(*mounts, *([Mount(place.ca, CA)] if options.network and place.ca else [])),
        image=place.image,
        user=container_user(place.facts),
        gpus=place.gpus,
        limits=Limits(memory_bytes=memory_bytes),
        labels={f"{LABEL}.workload": kind},
        selinux=selinux(place.facts),
        network=options.network,
        folder="/work",
        stdin=options.stdin,
    )


def folder(given: Path) -> Path:
    """Return a folder by its full path; UsageError where it is none."""
    if not given.is_dir():
        raise UsageError(f"{given} is {'a file: give the folder that it is in' if given.exists() else 'not there'}")
    return given.resolve()
