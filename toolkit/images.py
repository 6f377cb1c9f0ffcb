"""Images: what a variant is, how it is built, and how it is proven before anyone starts it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit import chain, paths, records
from toolkit.engine import standin
from toolkit.engine.docker import BuildFailedError, Docker
from toolkit.engine.downloads import PROXIES, ca_bundle, uv_command
from toolkit.engine.plan import LABEL, BuildPlan, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts, container, driver, platform
from toolkit.facts import engine as engine_facts
from toolkit.faults import finding
from toolkit.host import Host
from toolkit.model import (
    BuildRecord,
    Evidence,
    Finding,
    KitError,
    NotAsked,
    Sentence,
    UsageError,
)

SIMULATED_GPUS = 2
PROBE_SECONDS = 120  # a driver that hangs must not hang kit; importing TensorFlow from a slow disk may take one


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of image.toml."""

    repository: str
    folder: Path
    name: str
    tensorflow: str
    base: str
    requirements: str
    lock: str

    @property
    def tag(self) -> str:
        return f"{self.repository}:{self.tensorflow}-{self.name}"

    @property
    def lock_file(self) -> Path:
        return self.folder / self.lock


def variants(image: str = "tensorflow") -> tuple[Variant, ...]:
    """Return the variants of an image, in the order of its image.toml."""
    folder = paths.images() / image
    spec = tomllib.loads((folder / "image.toml").read_text(encoding="utf-8"))
    return tuple(Variant(spec["repository"], folder, **row) for row in spec["variant"])


def variant(name: str) -> Variant:
    """Return a variant by its name; UsageError with the names that there are."""
    for each in variants():
        if each.name == name:
            return each
    raise UsageError(f"there is no variant {name!r}; choose from {', '.join(each.name for each in variants())}")


def fitting(facts: Facts) -> Variant:
    """Return the variant for a machine: gpu where GPUs are there and can be handed over, else cpu."""
    return variant("gpu" if host_gpus(facts) and all_gpus(facts) else "cpu")


def host_gpus(facts: Facts) -> int:
    """Return the GPUs that the host's driver can use."""
    nvml = facts.maybe(driver.nvml)
    return len(nvml.gpus) if nvml else 0


def all_gpus(facts: Facts) -> GpuRequest | None:
    """Return the request for all GPUs in the engine's way, None where it has none."""
    way = engine_facts.way(facts)
    if way is None:
        return None
    named = facts(engine_facts.state).cdi_devices if way == "cdi" else ("all",)
    return GpuRequest(way, ("all",) if "all" in named else tuple(name for name in named if name.isdigit()))


def container_user(facts: Facts) -> str:
    """Return the container's uid and gid: the caller's; in a rootless engine 0, which is the caller outside."""
    docker = facts.maybe(engine_facts.state)
    if docker and docker.rootless:
        return "0:0"
    uid, gid = paths.caller()
    return f"{uid}:{gid}"


def selinux(facts: Facts) -> bool:
    """Return whether the engine labels its containers, which keeps them from the host's folders."""
    docker = facts.maybe(engine_facts.state)
    return docker is not None and any("selinux" in option for option in docker.security)


# --- plan ------------------------------------------------------------------------------------------------------------


def inputs_digest(each: Variant) -> str:
    """Return the digest of everything that an image is made from, 16 hexadecimal digits."""
    parts = [(each.folder / "Dockerfile").read_bytes(), each.lock_file.read_bytes(), each.base.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def plan(each: Variant, uv: Path, environment: dict[str, str], ca: Path | None) -> BuildPlan:
    """Return the build of a variant. `uv` is a folder that holds uv alone, `ca` the CA bundle that downloads need."""
    lock_digest = hashlib.sha256(each.lock_file.read_bytes()).hexdigest()
    return BuildPlan(
        context=each.folder,
        arguments={
            "BASE": each.base,
            "LOCK": each.lock,
            **{name: environment[name] for name in PROXIES if environment.get(name)},
        },
        contexts={"uv": uv},
        secrets={"ca": ca} if ca else {},
        labels={
            f"{LABEL}.image": each.repository,
            f"{LABEL}.variant": each.name,
            f"{LABEL}.inputs": inputs_digest(each),
            f"{LABEL}.lock": f"sha256:{lock_digest}",
            **{f"{LABEL}.version.{name}": version for name, version in locked_versions(each).items()},
            "org.opencontainers.image.version": each.tensorflow,
            "org.opencontainers.image.base.name": each.base,
        },
    )


def locked_versions(each: Variant) -> dict[str, str]:
    """Return the versions of the lock that an image is chosen by: TensorFlow, Keras, NumPy, the CUDA runtime, cuDNN."""
    named = {"tensorflow": "tensorflow", "tensorflow-cpu": "tensorflow", "keras": "keras", "numpy": "numpy"}
    named |= {"nvidia-cuda-runtime-cu12": "cuda", "nvidia-cudnn-cu12": "cudnn"}
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", each.lock_file.read_text(encoding="utf-8"), re.MULTILINE)
    versions: dict[str, str] = {}
    for package, version in pins:  # the first of a package is that of the oldest Python, the images' own
        if package in named:
            versions.setdefault(named[package], version)
    return versions


# --- build -----------------------------------------------------------------------------------------------------------


def current(engine: Docker, each: Variant) -> bool:
    """Return whether the engine has this variant, proven, as its inputs are now: only a proven image has the tag."""
    image = engine.image(each.tag)
    return image is not None and (image["Config"].get("Labels") or {}).get(f"{LABEL}.inputs") == inputs_digest(each)


def build(engine: Docker, each: Variant, facts: Facts, on_line: Callable[[str], None]) -> BuildRecord:
    """Build a variant, verify it, and tag it if it is good; what failed is in the record's findings.

    Raises KitError where kit cannot do its work (no BuildKit, no base image to be had).
    """
    began = time.perf_counter()
    log = paths.make(paths.state() / "builds") / f"{time.strftime('%Y%m%d-%H%M%S')}-{each.name}.log"
    ensure_base(engine, each, on_line)
    order = plan(each, _uv_folder(), dict(os.environ), ca_bundle(dict(os.environ)))
    with log.open("w", encoding="utf-8", buffering=1) as file:

        def keep(line: str) -> None:
            file.write(line + "\n")
            on_line(line)

        try:
            with engine.built(order, keep) as image_id:
                on_line("verifying")
                return _proven(engine, each, facts, image_id, log, began)
        except BuildFailedError:
            return _failed_build(each, log, time.perf_counter() - began)


def _proven(engine: Docker, each: Variant, facts: Facts, image_id: str, log: Path, began: float) -> BuildRecord:
    """Return the record of a built image, tagged and kept if it is good; one that was proven before is not proven again."""
    findings: tuple[Finding, ...] = ()
    known = records.read_json(records.image_record(image_id))
    if known and known.get("verified", {}).get("status") == "passed":
        verified, versions = known["verified"], known["versions"]
    else:
        verified, versions, findings = verify(engine, image_id, each, facts)
    good = verified["status"] == "passed"
    image = engine.image(image_id)
    record = BuildRecord(
        image=each.repository,
        tag=each.tag if good else None,
        image_id=image_id,
        variant=each.name,
        versions=versions,
        size_bytes=image["Size"] if image else 0,
        seconds=time.perf_counter() - began,
        cached=_all_cached(log.read_text(encoding="utf-8")),
        verified=verified,
        findings=findings,
        log=str(log),
    )
    if good:
        engine.tag(image_id, each.tag)
        records.write_json(records.image_record(image_id), asdict(record))
    return record


def ensure_base(engine: Docker, each: Variant, on_line: Callable[[str], None]) -> None:
    """Make sure that the base image can be had: in the engine, from a registry, or made from Debian's mirror."""
    if engine.image(each.base) is not None:
        return
    script = Path(__file__).parent / "engine/base.sh"
    done = subprocess.run(
        ["bash", script, each.base], capture_output=True, text=True, check=False, env=engine.environment
    )
    for line in done.stderr.splitlines():
        on_line(line)
    if done.returncode != 0:
        raise KitError(f"the base image {each.base} cannot be had:\n{done.stderr.strip()}")


def _uv_folder() -> Path:
    """Return a folder with nothing but uv in it, since a build context is sent whole."""
    source = Path(uv_command())
    import importlib.metadata

    folder = paths.cache() / "uv" / importlib.metadata.version("uv")
    if not (folder / "uv").exists():
        paths.make(folder)
        shutil.copy2(source, folder / "uv.unfinished")
        (folder / "uv.unfinished").rename(folder / "uv")
    return folder


def _all_cached(log: str) -> bool:
    """Return whether every step of the Dockerfile came from the cache. Sample of a line: '#7 CACHED'."""
    steps = set(re.findall(r"^#(\d+) \[(?!internal)[^\]]*\d+/\d+\] (?:RUN|COPY)", log, re.MULTILINE))
    return steps <= set(re.findall(r"^#(\d+) CACHED", log, re.MULTILINE))


def _failed_build(each: Variant, log: Path, seconds: float) -> BuildRecord:
    last = useful_lines(log.read_text(encoding="utf-8"))
    found = finding(
        "build-failed",
        f"A step of {each.folder.name}/Dockerfile failed.",
        [Sentence(f"Read the whole log: {log}")],
        [Evidence(str(log), line) for line in last],
    )
    return BuildRecord(
        each.repository, None, "", each.name, {}, 0, seconds, False, {"status": "not-built"}, (found,), str(log)
    )


def useful_lines(log: str, count: int = 12) -> list[str]:
    """Return the last lines of a build log that say why it failed, without buildx's echo of the Dockerfile."""
    lines = [re.sub(r"^#\d+ (?:[\d.]+ )?", "", line) for line in log.splitlines()]
    end = next((index for index, line in enumerate(lines) if line.strip() == "------"), len(lines))
    return [line for line in lines[:end] if line.strip()][-count:]


# --- verify ----------------------------------------------------------------------------------------------------------


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
