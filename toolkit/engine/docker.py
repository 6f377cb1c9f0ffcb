"""The Docker engine: the SDK runs containers, buildx builds images (the SDK cannot use BuildKit)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from toolkit.engine.plan import LABEL, BuildPlan, Exit, GpuRequest, OnLine, RunPlan
from toolkit.model import EngineFault, KitError

API_SECONDS = 10
STOP_SECONDS = 10


class EngineError(KitError):
    """The engine cannot be used; `fault` says in which of the known ways."""

    def __init__(self, fault: EngineFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class Docker:
    """A connection to the Docker engine of the current context."""

    def __init__(self) -> None:
        """Connect, or raise EngineError with the fault: not-installed, down or permission-denied."""
        import docker
        from docker.context import ContextAPI
        from docker.errors import DockerException

        try:
            if named := os.environ.get("DOCKER_HOST"):
                _knock(named)
                self._client = docker.from_env(timeout=API_SECONDS)
            else:
                context = ContextAPI.get_current_context()
                _knock(context.Host)
                self._client = docker.DockerClient(base_url=context.Host, tls=context.TLSConfig, timeout=API_SECONDS)
            self._client.ping()
        except (DockerException, OSError) as error:
            raise EngineError(*_fault(error)) from error

    def __enter__(self) -> Docker:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def info(self) -> dict[str, Any]:
        """Return the engine's own description, GET /info of its API."""
        info: dict[str, Any] = self._client.info()
        return info

    def image(self, reference: str) -> dict[str, Any] | None:
        """Return the engine's description of an image (GET /images/{name}/json), None where there is none."""
        from docker.errors import ImageNotFound

        try:
            attributes: dict[str, Any] = self._client.images.get(reference).attrs
        except ImageNotFound:
            return None
        return attributes

    def tag(self, image_id: str, tag: str) -> None:
        """Name an image."""
        repository, _, version = tag.rpartition(":")
        self._client.images.get(image_id).tag(repository, version)

    def run(self, plan: RunPlan, on_line: OnLine) -> Exit:
        """Run the plan's container to its end, hand its lines on as they come, and leave nothing behind.

        KeyboardInterrupt stops the container (STOP_SECONDS to say goodbye), hands its last lines on and is raised again.
        """
        from docker.errors import APIError, ImageNotFound

        began = time.perf_counter()
        try:
            container = self._client.containers.create(**container_options(plan))
        except ImageNotFound as error:
            raise KitError(f"the image {plan.image} is not in the engine; build it: kit build") from error
        except APIError as error:
            raise KitError(f"the engine refused the container: {error.explanation}") from error
        with ExitStack() as leave:
            leave.callback(container.remove, force=True, v=True)
            split = _LineSplitter(on_line)
            stream = container.attach(stream=True, demux=True, logs=True)
            leave.callback(stream._response.close)  # docker-py's own stream.close() leaves the response's socket open
            try:
                container.start()
            except APIError as error:
                raise KitError(f"the engine could not start the container: {error.explanation}") from error
            started = time.perf_counter() - began
            if plan.deadline_seconds is not None:
                killer = threading.Timer(plan.deadline_seconds, container.kill)
                killer.start()
                leave.callback(killer.cancel)
            try:
                split.feed(stream)
            except KeyboardInterrupt:
                # In the background, since its last words must be read while it stops.
                stopper = threading.Thread(target=container.stop, kwargs={"timeout": STOP_SECONDS}, daemon=True)
                stopper.start()
                split.feed(stream)
                stopper.join(API_SECONDS)
                raise
            code = container.wait(timeout=API_SECONDS)["StatusCode"]
            container.reload()
            return Exit(code, bool(container.attrs["State"].get("OOMKilled")), started)

    def sweep(self) -> int:
        """Remove the containers of kits that are gone, killed ones included, and return how many there were."""
        from docker.errors import APIError

        gone = 0
        for container in self._client.containers.list(all=True, filters={"label": f"{LABEL}.owner"}):
            if owner_lives(container.labels[f"{LABEL}.owner"], running=container.status == "running"):
                continue
            try:
                container.remove(force=True, v=True)
                gone += 1
            except APIError:  # another kit swept it first
                continue
        return gone

    def build(self, plan: BuildPlan, on_line: Callable[[str], None]) -> str:
        """Build by buildx, hand each line of its progress on, and return the image's id.

        Raises KitError where the engine has no BuildKit, BuildFailedError where the build itself fails.
        """
        with tempfile.TemporaryDirectory() as scratch:
            id_file = Path(scratch, "id")
            process = subprocess.Popen(
                build_command(plan, id_file),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C comes to kit, which stops buildx itself
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    on_line(line.rstrip("\n"))
            except BaseException:
                process.terminate()
                process.wait()
                raise
            finally:
                process.stdout.close()
            if process.wait() != 0:
                raise BuildFailedError("docker buildx build failed")
            return id_file.read_text().strip()


class BuildFailedError(KitError):
    """A step of the Dockerfile failed; the build's log tells which."""


def container_options(plan: RunPlan) -> dict[str, Any]:
    """Return the SDK's arguments for a plan: unprivileged, read-only, without network, limited."""
    from docker.types import Mount

    assert plan.image is not None
    assert plan.limits is not None
    return {
        "image": plan.image,
        "command": list(plan.command),
        "environment": plan.environment,
        "user": plan.user,
        "mounts": [Mount(m.target, str(m.source), type="bind", read_only=m.read_only) for m in plan.mounts],
        "device_requests": device_requests(plan.gpus),
        "devices": list(plan.devices),
        "labels": {**plan.labels, f"{LABEL}.owner": owner()},
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "mem_limit": plan.limits.memory_bytes,
        "pids_limit": plan.limits.pids,
        "shm_size": plan.limits.shm_bytes,
    }


def device_requests(gpus: GpuRequest | None) -> list[Any]:
    """Return the SDK's device requests for GPUs: CDI names, or the nvidia runtime's count and capabilities."""
    from docker.types import DeviceRequest

    if gpus is None:
        return []
    if gpus.way == "cdi":
        return [DeviceRequest(driver="cdi", device_ids=[f"nvidia.com/gpu={device}" for device in gpus.devices])]
    capabilities = [["gpu", "compute", "utility"]]
    if gpus.devices == ("all",):
        return [DeviceRequest(count=-1, capabilities=capabilities)]
    return [DeviceRequest(device_ids=list(gpus.devices), capabilities=capabilities)]


def build_command(plan: BuildPlan, id_file: Path) -> list[str]:
    """Return the command line of a build; secrets and contexts by path, so that nothing of them is in the image."""
    command = [docker_command(), "buildx", "build", "--progress", "plain", "--load", "--provenance", "false"]
    command += ["--iidfile", str(id_file)]
    for name, value in plan.arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    for name, path in plan.contexts.items():
        command += ["--build-context", f"{name}={path}"]
    for name, path in plan.secrets.items():
        command += ["--secret", f"id={name},src={path}"]
    for name, value in plan.labels.items():
        command += ["--label", f"{name}={value}"]
    return [*command, str(plan.context)]


def docker_command() -> str:
    """Return a `docker` client that has buildx; the first on PATH may be one without.

    Raises KitError where none has it.
    """
    candidates = [found for found in (shutil.which("docker"), "/usr/bin/docker") if found and Path(found).exists()]
    for candidate in candidates:
        version = subprocess.run(
            [candidate, "buildx", "version"], capture_output=True, check=False, timeout=API_SECONDS
        )
        if version.returncode == 0:
            return candidate
    raise KitError("no Docker client with buildx; install docker-buildx (Debian, Ubuntu) or docker-buildx-plugin")


def owner() -> str:
    """Return what identifies this kit process: boot, process id and its start, so that a reused id is not taken for it."""
    return f"{_boot_id()}/{os.getpid()}/{_process_start(os.getpid())}"


def owner_lives(label: str, *, running: bool) -> bool:
    """Return whether the kit that made a container may still need it."""
    boot, pid, start = label.split("/")
    if boot != _boot_id():
        return running  # another machine's, or from before a reboot: then it no longer runs
    return _process_start(int(pid)) == start


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _process_start(pid: int) -> str | None:
    """Return field 22 of /proc/<pid>/stat, the start time in clock ticks, None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _knock(url: str) -> None:
    """Open and close an engine's Unix socket, so that its own error tells why it cannot be used; docker-py wraps it in
    three others and leaves its socket open."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(API_SECONDS)
            knocking.connect(url.removeprefix("unix://"))


def _fault(error: Exception) -> tuple[EngineFault, str]:
    """Return which fault a failed connection shows, and a text that names what to do."""
    if isinstance(error, PermissionError):
        return "permission-denied", "this user may not use the Docker socket; run: sudo usermod -aG docker $USER"
    if not shutil.which("docker") and not shutil.which("dockerd"):
        return "not-installed", "no Docker engine is installed; run: sudo make engine"
    return "down", "the Docker engine does not answer; start it: sudo systemctl start docker (or sudo make engine)"


class _LineSplitter:
    """Turns the chunks of the two streams into lines."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line

    def feed(self, stream: Any) -> None:
        """Hand every line of a demultiplexed stream on, the unfinished last ones at its end."""
        rest = {"stdout": b"", "stderr": b""}
        for chunks in stream:
            for name, chunk in zip(("stdout", "stderr"), chunks, strict=True):
                *whole, rest[name] = (rest[name] + (chunk or b"")).split(b"\n")
                for line in whole:
                    self._on_line(name, line.decode(errors="replace"))  # type: ignore[arg-type]
        for name, line in rest.items():
            if line:
                self._on_line(name, line.decode(errors="replace"))  # type: ignore[arg-type]
