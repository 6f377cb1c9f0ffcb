"""Notebooks: JupyterLab in a container over somebody's folder, TensorBoard beside it, both on this machine's loopback alone."""

from __future__ import annotations

import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from toolkit import paths
from toolkit.engine.plan import Exit, Mount, Port, RunPlan
from toolkit.model import KitError, UsageError
from toolkit.own.container import Options, Place
from toolkit.own.container import plan as container_plan
from toolkit.workloads.plan import memory_limit

READY_SECONDS = 120  # an image that nobody read yet comes from the disk
POLL_SECONDS = 0.1
LAST = 15  # lines of the log in an error
JUPYTER, TENSORBOARD = 8888, 6006
LOGS = "/work/runs"
# TensorBoard waits until Jupyter listens, so that nobody waits for it. It is root that Jupyter refuses: the container's
# may do nothing, and is the caller where the engine is rootless.
START = f"""
(until python -c 'import socket; socket.create_connection(("127.0.0.1", {JUPYTER}))' 2>/dev/null; do sleep 1; done
 exec tensorboard --logdir {LOGS} --host 0.0.0.0 --port {TENSORBOARD}) &
exec jupyter lab --ip=0.0.0.0 --port={JUPYTER} --no-browser --allow-root --ServerApp.root_dir=/work \
  --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate
"""
SETTINGS = "/opt/venv/share/jupyter/lab/settings/overrides.json"


@dataclass(frozen=True, slots=True)
class Served:
    """Where notebooks and TensorBoard are."""

    link: str
    tensorboard: str
    folder: str
    image: str


def plan(
    folder: Path, options: Options, place: Place, memory_bytes: int, ports: tuple[Port, ...], token: str
) -> RunPlan:
    """Return the process that serves a folder, /work. A published port needs the bridge, so there is a network."""
    mounts = (
        Mount(folder, "/work", read_only=False),
        Mount(paths.workloads() / "bootstrap/jupyter.json", SETTINGS),
    )
    online = replace(options, network=True)
    environment = {"JUPYTER_TOKEN": token}
    order = container_plan(("sh", "-c", START), online, place, mounts, memory_bytes, "notebook", environment)
    return replace(order, ports=ports)


def run(
    folder: Path, options: Options, place: Place, port: int | None, on_ready: Callable[[Served], None]
) -> Exit | None:
    """Serve a folder until Ctrl-C, which returns None, or until Jupyter ends. `on_ready` is told as soon as it answers.

    Raises KitError with the end of its log where it ends before that, or does not answer within READY_SECONDS.
    """
    place.engine.sweep()
    memory = memory_limit(Path("/proc/meminfo").read_text(encoding="ascii"))
    token = secrets.token_hex(24)
    ports = (Port(JUPYTER, free_port(port)), Port(TENSORBOARD, free_port()))
    log: deque[str] = deque(maxlen=LAST)
    with place.engine.serving(
        plan(folder, options, place, memory, ports, token), lambda _, line: log.append(line)
    ) as ended:
        until = time.monotonic() + READY_SECONDS
        while not answers(ports[0].here):
            last = ended(POLL_SECONDS)
            if last or time.monotonic() > until:
                how = f"ended with code {last.code}" if last else f"did not answer within {READY_SECONDS} s"
                raise KitError("\n".join([f"Jupyter {how}; its last words:", *log]))
        here = [f"http://127.0.0.1:{each.here}" for each in ports]
        on_ready(Served(f"{here[0]}/lab?token={token}", here[1], str(folder), place.image))
        try:
            return ended(None)
        except KeyboardInterrupt:
            return None


def free_port(wanted: int | None = None) -> int:
    """Return a port of the loopback that nobody listens on: the wanted one, else any. UsageError where that is taken."""
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left is free
        try:
            trying.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            raise UsageError(f"--port {wanted}: {error.strerror}; leave it out for one that is free") from error
        port: int = trying.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Return whether Jupyter answers at a port of the loopback."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
