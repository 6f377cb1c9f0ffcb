"""The Docker engine: the SDK runs containers, buildx builds images (the SDK cannot use BuildKit)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from toolkit.engine.plan import LABEL, BuildPlan, Exit, GpuRequest, OnBytes, OnLine, RunPlan, Stream
from toolkit.model import EngineFault, KitError, UsageError

API_SECONDS = 60  # a busy daemon may take long to start or remove a container
STOP_SECONDS = 10


class EngineError(KitError):
    """The engine cannot be used; `fault` says in which of the known ways."""

    def __init__(self, fault: EngineFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class RefusedError(KitError):
    """The engine does not start a container; the text holds its reason."""


class Docker:
    """A connection to the Docker engine of the current context."""

    def __init__(self, seconds: float = API_SECONDS) -> None:
        """Connect, or raise EngineError with the fault: not-installed, down, permission-denied or remote."""
        import docker
        from docker.errors import DockerException

        url, tls, self._context = endpoint()
        if not url.startswith(("unix://", "npipe://")):
            raise EngineError(
                "remote", f"the Docker engine is at {url}: kit mounts folders of this machine, so it needs one here"
            )
        try:
            _knock(url)
            self._client = docker.DockerClient(base_url=url, tls=tls, timeout=seconds)
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
        """Return the engine's description of an image (GET /images/{name}/json), None where there is none.

        Raises UsageError for what no image can be called.
        """
        from docker.errors import APIError, ImageNotFound, NullResource

        try:
            attributes: dict[str, Any] = self._client.images.get(reference).attrs
        except (ImageNotFound, NullResource):
            return None
        except APIError as error:
            if error.status_code != HTTPStatus.BAD_REQUEST:
                raise
            raise UsageError(f"{reference} is no image's name: {error.explanation}") from error
        return attributes

    def tag(self, image_id: str, tag: str) -> None:
        """Name an image."""
        repository, _, version = tag.rpartition(":")
        self._client.images.get(image_id).tag(repository, version)

    def run(self, plan: RunPlan, on_line: OnLine, on_bytes: OnBytes | None = None) -> Exit:
        """Run the plan's container to its end, hand its lines on as they come, and leave nothing behind.

        `on_bytes` is handed what it writes as it is, an unfinished line too. KeyboardInterrupt stops the container
        (STOP_SECONDS to say goodbye), hands its last lines on and is raised again. Raises KitError where the engine refuses
        the container, or where it outlives its deadline.
        """
        with (
            self._created(plan) as container,
            _attached(container) as stream,
            _fed(container) if plan.stdin else nullcontext(),
        ):
            over = _handing_on(stream, _Lines(on_line, on_bytes))
            try:
                container.start()
                ended = over(plan.deadline_seconds)
            except KeyboardInterrupt:
                threading.Thread(target=container.stop, kwargs={"timeout": STOP_SECONDS}, daemon=True).start()
                if not over(STOP_SECONDS + 5):
                    threading.Thread(target=_remove, args=(container,), daemon=True).start()
                raise
            if not ended:
                threading.Thread(target=_remove, args=(container,), daemon=True).start()
                raise KitError(f"the container gave no answer within {plan.deadline_seconds:g} s")
            return _exit(container)

    @contextmanager
    def serving(self, plan: RunPlan, on_line: OnLine) -> Iterator[Callable[[float | None], Exit | None]]:
        """Run the plan's container beside kit and stop it afterwards; give what waits for it, so many seconds at most, and
        returns how it ended, None where it still runs. Its lines come from a thread. Raises as `run` does."""
        with self._created(plan) as container, _attached(container) as stream:
            over = _handing_on(stream, _Lines(on_line))
            try:
                container.start()
                yield lambda seconds: _exit(container) if over(seconds) else None
            finally:
                container.stop(timeout=STOP_SECONDS)
                over(STOP_SECONDS)

    def attend(self, plan: RunPlan) -> int:
        """Run the plan's container on kit's own stdin, stdout and stderr and return its exit code. Raises as `run` does.

        Docker's own client carries them: it knows terminals and their sizes.
        """
        with self._created(plan) as container:
            # Its own keys to detach begin with Ctrl-P, which shells use.
            command = [docker_command(), "start", "--attach", "--interactive", "--detach-keys", "ctrl-^,ctrl-^"]
            process = subprocess.Popen([*command, container.id], env=self.environment)
            try:
                return process.wait()
            except BaseException:
                _remove(container)  # then the client ends by itself and leaves the terminal as it was
                process.wait(STOP_SECONDS)
                raise

    @contextmanager
    def _created(self, plan: RunPlan) -> Iterator[Any]:
        """Give the container of a plan, not started; it is gone afterwards. KitError where the engine refuses it."""
        from docker.errors import APIError, DockerException, ImageNotFound
        from requests.exceptions import RequestException

        try:
            container = self._client.containers.create(**container_options(plan))
            try:
                yield container
            finally:
                _remove(container)
        except ImageNotFound as error:
            raise KitError(f"the image {plan.image} is not in the engine; build it: kit build") from error
        except APIError as error:
            raise RefusedError(f"the engine refused the container: {error.explanation}") from error
        except (DockerException, RequestException) as error:
            raise KitError(f"the engine stopped answering: {error}") from error

    def sweep(self) -> int:
        """Remove the containers of kits that are gone, killed ones included, and return how many there were."""
        from docker.errors import APIError

        gone = 0
        ours = {"label": f"{LABEL}.owner"}
        for container in self._client.containers.list(all=True, filters=ours, ignore_removed=True):
            if owner_lives(container.labels[f"{LABEL}.owner"], running=container.status == "running"):
                continue
            try:
                container.remove(force=True, v=True)
                gone += 1
            except APIError:  # another kit swept it first
                continue
        return gone

    @contextmanager
    def built(self, plan: BuildPlan, on_line: Callable[[str], None]) -> Iterator[str]:
        """Build by buildx, hand each line of its progress on, and give the image's id; what is not tagged meanwhile is gone
        afterwards, but for the engine's build cache.

        Raises KitError where the engine has no BuildKit, BuildFailedError where the build itself fails.
        """
        # A name for the time of the build: the id that buildx writes to a file is not the engine's own where images
        # are kept by containerd. https://github.com/docker/buildx/issues/3952
        name = f"{LABEL}/building:{os.getpid()}"
        try:
            self._buildx(plan, ["--load", "--tag", name], on_line)
            yield str(self._client.images.get(name).id)
        finally:
            self._unname(name)

    def export(self, plan: BuildPlan, folder: Path, on_line: Callable[[str], None]) -> None:
        """Write the files of a build's stage to a folder. Raises as `built` does."""
        self._buildx(plan, ["--output", f"type=local,dest={folder}"], on_line)

    def _buildx(self, plan: BuildPlan, output: list[str], on_line: Callable[[str], None]) -> None:
        process = subprocess.Popen(
            build_command(plan, output, self.builder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**self.environment, **{_secret(name): text for name, text in plan.secret_texts.items()}},
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C comes to kit, which stops buildx itself
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
            if code := process.wait():
                raise BuildFailedError(f"docker buildx build ended with code {code}")
        finally:
            _stop(process)

    def _unname(self, name: str) -> None:
        """Take an image's name away, where it has it and the engine answers."""
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        with suppress(DockerException, RequestException):
            self._client.images.remove(name)

    @property
    def api(self) -> Any:
        """The SDK's client of the engine's HTTP API, a requests.Session, for this package's own use."""
        return self._client.api

    @property
    def builder(self) -> str:
        """The builder of this engine itself, which sees its images; a user's own builder may be elsewhere."""
        return self._context or "default"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Docker's own commands talk to this engine."""
        return {**os.environ, **({"DOCKER_CONTEXT": self._context} if self._context else {})}


class BuildFailedError(KitError):
    """The image cannot be built; the build's log tells why."""


def container_options(plan: RunPlan) -> dict[str, Any]:
    """Return the SDK's arguments for a plan: unprivileged, read-only, limited, without network unless it wants one."""
    from docker.types import Mount

    assert plan.image is not None
    assert plan.limits is not None
    return {
        "image": plan.image,
        "entrypoint": plan.entrypoint and list(plan.entrypoint),
        "command": list(plan.command),
        "environment": {**plan.environment, "NVIDIA_VISIBLE_DEVICES": visible_devices(plan.gpus)},
        "user": plan.user,
        "mounts": [Mount(m.target, str(m.source), type="bind", read_only=m.read_only) for m in plan.mounts],
        "runtime": "nvidia" if plan.gpus and plan.gpus.way == "runtime" else None,
        "device_requests": device_requests(plan.gpus),
        "group_add": node_groups() if plan.gpus else [],
        "devices": list(plan.devices),
        "labels": {**plan.labels, f"{LABEL}.owner": owner()},
        "network_mode": "bridge" if plan.network else "none",
        "ports": {f"{port.inside}/tcp": ("127.0.0.1", port.here) for port in plan.ports},
        "working_dir": plan.folder,
        "stdin_open": plan.stdin,
        "tty": plan.terminal,
        "stop_signal": plan.stop_signal,
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", *(["label=disable"] if plan.selinux else [])],
        "init": True,
        "mem_limit": plan.limits.memory_bytes,
        "pids_limit": plan.limits.pids,
        "shm_size": plan.limits.shm_bytes,
    }


def device_requests(gpus: GpuRequest | None) -> list[Any]:
    """Return the SDK's device requests for GPUs: CDI names, or what the toolkit's hook is asked for; the nvidia runtime
    goes by the environment."""
    from docker.types import DeviceRequest

    if gpus is None or gpus.way == "runtime":
        return []
    if gpus.way == "cdi":
        return [DeviceRequest(driver="cdi", device_ids=[f"nvidia.com/gpu={device}" for device in gpus.devices])]
    capabilities = [["gpu", "compute", "utility"]]
    if gpus.devices == ("all",):
        return [DeviceRequest(count=-1, capabilities=capabilities)]
    return [DeviceRequest(device_ids=list(gpus.devices), capabilities=capabilities)]


def visible_devices(gpus: GpuRequest | None) -> str:
    """Return NVIDIA_VISIBLE_DEVICES for a request: void where none is meant to come by the runtime, which may be the
    engine's default and reads the image's own value otherwise."""
    return ",".join(gpus.devices) if gpus and gpus.way != "cdi" else "void"


def node_groups() -> list[int]:
    """Return the groups that own NVIDIA's device nodes where not everybody may open them."""
    nodes = [node.stat() for node in Path("/dev").glob("nvidia*") if node.is_char_device()]
    return sorted({node.st_gid for node in nodes if not node.st_mode & 0o006})


def build_command(plan: BuildPlan, output: list[str], builder: str) -> list[str]:
    """Return the command line of a build; secrets and contexts by path, so that nothing of them is in the image."""
    command = [docker_command(), "buildx", "build", "--builder", builder, "--progress", "plain", *output]
    command += ["--provenance", "false", "--target", plan.target]
    if plan.file:
        command += ["--file", str(plan.file)]
    if plan.no_cache:
        command += ["--no-cache"]
    for name, value in plan.arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    for name, path in plan.contexts.items():
        command += ["--build-context", f"{name}={path}"]
    for name, path in plan.secrets.items():
        command += ["--secret", f"id={name},src={path}"]
    for name in plan.secret_texts:
        command += ["--secret", f"id={name},env={_secret(name)}"]
    for name, value in plan.labels.items():
        command += ["--label", f"{name}={value}"]
    return [*command, str(plan.context)]


def _secret(name: str) -> str:
    """Return the variable of buildx's environment that holds a secret's text."""
    return f"KIT_SECRET_{name.upper()}"


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
    raise BuildFailedError(
        "no Docker client with buildx; install docker-buildx (Debian, Ubuntu) or docker-buildx-plugin"
    )


def owner() -> str:
    """Return what identifies this kit: boot, process namespace, process id and its start, since ids are used again."""
    return f"{_boot_id()}/{_namespace()}/{os.getpid()}/{_process_start(os.getpid())}"


def owner_lives(label: str, *, running: bool) -> bool:
    """Return whether the kit that made a container may still need it."""
    boot, namespace, pid, start = label.split("/")
    if (boot, namespace) != (_boot_id(), _namespace()):
        return running  # a kit elsewhere, or from before a reboot: then it no longer runs
    return _process_start(int(pid)) == start


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _process_start(pid: int) -> str | None:
    """Return field 22 of /proc/<pid>/stat, the start time in clock ticks, None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def endpoint() -> tuple[str, Any, str | None]:
    """Return the engine's URL, its TLS configuration, and the name of its context, as Docker's own client chooses them."""
    from docker.context import ContextAPI
    from docker.tls import TLSConfig

    if url := os.environ.get("DOCKER_HOST"):
        return url, TLSConfig() if os.environ.get("DOCKER_TLS_VERIFY") else False, None
    name = os.environ.get("DOCKER_CONTEXT")
    context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    if context is None:
        raise EngineError("down", f"there is no Docker context {name or 'of that name'}; see: docker context ls")
    return context.Host, context.TLSConfig, context.name


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
    start = "sudo systemctl start docker (or sudo make engine)"
    return "down", f"the Docker engine does not answer ({error}); start it: {start}"


def _stop(process: subprocess.Popen[str]) -> None:
    """End buildx with what it started, which ends the step that the engine is at; nothing where it ended by itself."""
    assert process.stdout is not None
    process.stdout.close()  # what it still says blocks it no more
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _remove(container: Any) -> None:
    """Remove a container; one that hangs in the kernel is left for the next sweep rather than waited for."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    with suppress(DockerException, RequestException):
        container.remove(force=True, v=True)


@contextmanager
def _attached(container: Any) -> Iterator[Any]:
    """Give what a container writes, pairs of bytes of its stdout and stderr, from its start."""
    stream = container.attach(stream=True, demux=True, logs=True)
    try:
        yield stream
    finally:
        stream._response.close()  # docker-py's own stream.close() leaves its socket open


@contextmanager
def _fed(container: Any) -> Iterator[None]:
    """Let kit's own stdin go to a container, and its end too."""
    opened = container.attach_socket(params={"stdin": 1, "stream": 1})
    into = getattr(opened, "_sock", opened)

    def feed() -> None:
        with suppress(OSError):
            while piece := os.read(0, 1 << 16):
                into.sendall(piece)
        with suppress(OSError):
            into.shutdown(socket.SHUT_WR)

    threading.Thread(target=feed, daemon=True).start()  # nothing ends its wait for what somebody may type
    try:
        yield
    finally:
        opened.close()


def _exit(container: Any) -> Exit:
    """Return how a container ended that said its last."""
    code = container.wait(timeout=API_SECONDS)["StatusCode"]
    container.reload()
    return Exit(code, bool(container.attrs["State"].get("OOMKilled")))


def _handing_on(stream: Any, lines: _Lines) -> Callable[[float | None], bool]:
    """Hand on what a container writes, and return what waits for the end of that, so many seconds, and tells if it came.

    A thread does it, since Ctrl-C would end whoever reads or gets the lines in their midst. It is not joined: until Python
    3.13 a thread counts as ended when Ctrl-C ends a join. https://github.com/python/cpython/issues/90882
    """
    failed: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            for pair in stream:
                lines.feed(pair)
            lines.end()
        except BaseException as error:  # raised where it is waited for
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=read, daemon=True).start()

    def over(seconds: float | None) -> bool:
        ended = done.wait(seconds)
        if failed:
            raise failed[0]
        return ended

    return over


class _Lines:
    """Turns the chunks of the two streams into lines."""

    def __init__(self, on_line: OnLine, on_bytes: OnBytes | None = None) -> None:
        self._on_line, self._on_bytes = on_line, on_bytes
        self._rest: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}

    def feed(self, pair: tuple[bytes | None, bytes | None]) -> None:
        """Hand the lines on that these chunks end."""
        for name, chunk in zip(self._rest, pair, strict=True):
            if chunk and self._on_bytes:
                self._on_bytes(name, chunk)
            *whole, self._rest[name] = (self._rest[name] + (chunk or b"")).split(b"\n")
            for line in whole:
                self._on_line(name, line.decode(errors="replace"))

    def end(self) -> None:
        """Hand the unfinished last lines on."""
        for name, line in self._rest.items():
            if line:
                self._on_line(name, line.decode(errors="replace"))
