"""Starts a program of workloads/ in a container of an image, as a run would be, and hears what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from toolkit import paths, records
from toolkit.engine.docker import Docker
from toolkit.engine.plan import LABEL, Exit, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts
from toolkit.images.machine import container_user, selinux
from toolkit.model import KitError

PROBE_SECONDS = 120  # a driver that hangs must not hang kit; importing TensorFlow from a slow disk may take one
MEMORY_BYTES = 8 << 30
# Its user has no home in most images.
ENVIRONMENT = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "1"}
PYTHONS = ("python", "python3")  # the run's own first
# The words of Docker's init, and of the engine where there is none. Samples: '[FATAL tini (7)] exec python failed: No
# such file or directory', 'exec: "python": executable file not found in $PATH'.
NO_PROGRAM = re.compile(r'exec:? "?python3?"?(?: failed: No such file|: executable file not found)')


@dataclass(frozen=True, slots=True)
class Told:
    """What a program said in a container: its events in order, its other lines, and how it ended."""

    events: tuple[dict[str, Any], ...]
    log: tuple[str, ...]
    ended: Exit | None  # None: it outlived its deadline

    @property
    def no_python(self) -> bool:
        return not self.events and any(NO_PROGRAM.search(line) for line in self.log)

    def last(self, event: str) -> dict[str, Any] | None:
        return next((each for each in reversed(self.events) if each["event"] == event), None)

    def last_words(self, program: str) -> str:
        how = f"ended with code {self.ended.code} and" if self.ended else "gave"
        return f"the {program} {how} no answer:\n" + "\n".join(self.log[-10:])


def probe(
    engine: Docker, image: str, facts: Facts, gpus: GpuRequest | None, program: tuple[str, ...] = ("probe",)
) -> dict[str, Any]:
    """Return the event that a program of workloads/ ends with. `program` is its folder, whose name the event has, with
    its arguments.

    Raises KitError with its last lines where it ends without one.
    """
    told = started(engine, image, facts, gpus, program)
    event = told.last(program[0])
    if event is None:
        raise KitError(told.last_words(program[0]))
    return event


def started(
    engine: Docker,
    image: str,
    facts: Facts,
    gpus: GpuRequest | None,
    program: tuple[str, ...],
    mounts: tuple[Mount, ...] = (),
    devices: tuple[str, ...] = (),
    seconds: float = PROBE_SECONDS,
) -> Told:
    """Return what a program said until it ended, run by the image's Python in the place of its entrypoint.

    Raises KitError where the engine refuses the container, or where it says nothing before its deadline.
    """
    # A folder of modules that an image names stays named.
    modules = ":".join(filter(None, ("/workloads", _variable(engine.image(image), "PYTHONPATH"))))
    told = Told((), (), None)
    for python in PYTHONS:
        order = RunPlan(
            command=(f"/workloads/{program[0]}/run.py", *program[1:]),
            environment={**ENVIRONMENT, "PYTHONPATH": modules},
            mounts=(Mount(paths.workloads(), "/workloads"), *mounts),
            image=image,
            entrypoint=(python,),
            user=container_user(facts),
            gpus=gpus,
            limits=Limits(memory_bytes=MEMORY_BYTES),
            devices=devices,
            labels={f"{LABEL}.workload": program[0]},
            deadline_seconds=seconds,
            selinux=selinux(facts),
        )
        told = _heard(engine, order)
        if not told.no_python:
            break
    return told


def _heard(engine: Docker, order: RunPlan) -> Told:
    events: list[dict[str, Any]] = []
    log: list[str] = []

    def on_line(stream: str, line: str) -> None:
        event = records.event(line) if stream == "stdout" else None
        if event is None:
            log.append(line)
        else:
            events.append(event)

    ended: Exit | None = None
    try:
        ended = engine.run(order, on_line)
    except KitError as error:
        log.append(str(error))
        if not events and not NO_PROGRAM.search(str(error)):
            raise
    return Told(tuple(events), tuple(log), ended)


def _variable(image: dict[str, Any] | None, name: str) -> str:
    """Return a variable of an image's own environment, empty where it has none."""
    environment = (image or {}).get("Config", {}).get("Env") or []
    return next((each.partition("=")[2] for each in environment if each.startswith(f"{name}=")), "")
