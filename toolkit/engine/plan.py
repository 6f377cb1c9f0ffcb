"""What an engine is asked to do, as frozen records computed without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Stream = Literal["stdout", "stderr"]
OnLine = Callable[[Stream, str], None]
OnBytes = Callable[[Stream, bytes], None]

LABEL = "org.kit"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host at a path of the container."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """Which GPUs to hand over, and by which of the engine's ways: CDI, the nvidia runtime, or the toolkit's hook."""

    way: Literal["cdi", "runtime", "hook"]
    devices: tuple[str, ...]  # ("all",) or indices


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container may use; memory in bytes."""

    memory_bytes: int
    pids: int = 4096
    shm_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of a container and the one of this machine's loopback that leads to it."""

    inside: int
    here: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One process to run: in a container where there is an image, else as a child of kit."""

    command: tuple[str, ...]
    environment: dict[str, str]
    mounts: tuple[Mount, ...] = ()
    image: str | None = None
    entrypoint: tuple[str, ...] | None = None  # in the place of the image's own
    user: str = ""
    gpus: GpuRequest | None = None
    limits: Limits | None = None
    devices: tuple[str, ...] = ()  # further device nodes, "host:container:permissions"
    labels: dict[str, str] = field(default_factory=dict)
    deadline_seconds: float | None = None  # then the container is killed
    selinux: bool = False  # the engine labels containers: they may not read the host's folders unless that is off
    network: bool = False  # the engine's bridge; a container with ports needs it
    ports: tuple[Port, ...] = ()
    folder: str | None = None  # that the process starts in, where it is not the image's
    stdin: bool = False  # kit's own goes to it
    terminal: bool = False
    stop_signal: str | None = None  # what asks it to end, where it is not the image's


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process ended."""

    code: int
    out_of_memory: bool


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """One call of `docker buildx build`."""

    context: Path
    target: str  # the stage
    arguments: dict[str, str]
    contexts: dict[str, Path]
    secrets: dict[str, Path]
    secret_texts: dict[str, str]
    labels: dict[str, str]
    no_cache: bool = False
    file: Path | None = None  # where it is not the context's Dockerfile
