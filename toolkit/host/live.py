"""Answers from the machine that kit runs on. Every probe has a deadline."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.host import Host, proc
from toolkit.model import Absent, Answer, Failed, NotAsked, Value

DEADLINE_SECONDS = 3.0
DRIVER_SECONDS = 8.0  # without persistence mode it initialises every GPU first
KILLED_SECONDS = 0.5
MAX_BYTES = 1 << 20


def host(doors: dict[str, Callable[[str], Answer]] | None = None) -> Host:
    """Return this machine. `doors` answers further schemes (the container engine's), each given the key's rest.

    KIT_SYSROOT names a folder to read files and device nodes under instead of /, for a host mounted into a container.
    """
    root = Path(os.environ.get("KIT_SYSROOT") or "/")
    schemes: dict[str, Callable[[str], Answer]] = {
        "file": lambda path: _read(_under(root, path)),
        "first-line": lambda rest: _first_line(root, rest),
        "hex": lambda path: _hex(_under(root, path)),
        "list": lambda path: _list(_under(root, path)),
        "link": lambda path: _link(_under(root, path)),
        "access": lambda path: _access(_under(root, path)),
        "disk": lambda path: _disk(_under(root, path)),
        "env": lambda name: Value(os.environ[name]) if name in os.environ else Absent(),
        "run": run,
        "machine": lambda _: Value(platform.machine()),
        "system": lambda _: Value(platform.system()),
        "uid": lambda _: Value(str(os.getuid())) if hasattr(os, "getuid") else Absent(),  # Windows has none
        "nvml": lambda _: driver_program("nvml"),
        "cuda": lambda _: driver_program("cuda"),
        "process": lambda pid: proc.process(root, pid),
        "holders": lambda prefix: proc.holders(root, prefix),
        "kernel-log": lambda word: proc.kernel_log(run, word),
        **(doors or {}),
    }

    def answer(key: str) -> Answer:
        scheme, _, rest = key.partition(":")
        if scheme not in schemes:
            return NotAsked(f"{scheme} was not probed")
        try:
            return schemes[scheme](rest)
        except (FileNotFoundError, NotADirectoryError):
            return Absent()
        except OSError as error:
            return Failed(error.strerror or str(error))

    return Host(answer)


def run(command: str) -> Answer:
    """Return a command's exit code and output as {"code", "stdout", "stderr"}; absent where there is no such program."""
    try:
        done = subprocess.run(
            command.split(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return Failed(f"no answer within {DEADLINE_SECONDS:g} s")
    return Value(
        {"code": done.returncode, "stdout": done.stdout[-MAX_BYTES:], "stderr": done.stderr[-MAX_BYTES:]}
    )  # the newest lines stand last


def driver_program(name: str) -> Answer:
    """Return what a program of toolkit/host reads of the driver (nvml, cuda), as a child that can be killed, since a
    broken driver may block whoever calls it."""
    child = _driver_child(name)
    late = f"no answer within {DRIVER_SECONDS:g} s"
    try:
        out, err = child.communicate(timeout=DRIVER_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        try:
            child.communicate(timeout=KILLED_SECONDS)
        except subprocess.TimeoutExpired:
            return Failed(f"{late}, and the probe cannot be killed: it hangs in the driver")
        return Failed(late)
    try:
        return Value(json.loads(out))
    except ValueError:
        return Failed(f"the probe of {name} ended with code {child.returncode}: {err.strip()[-300:]}")


@contextmanager
def gpu_use(on_use: Callable[[list[dict[str, Any]]], None], seconds: float = 1.0) -> Iterator[None]:
    """Hand memory and utilization of every GPU on, from a thread, once in so many seconds for as long as it is open."""
    child = _driver_child("nvml", str(seconds))

    def read() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            on_use(json.loads(line))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        child.kill()
        reader.join(KILLED_SECONDS)  # one that hangs in the driver is not waited for
        if not reader.is_alive():
            child.communicate()


def _driver_child(name: str, *arguments: str) -> subprocess.Popen[str]:
    # -P, since a json.py or pynvml.py of the caller's folder must not be taken for the real one.
    # Without CUDA_VISIBLE_DEVICES, since the machine is asked for and not the shell.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"toolkit.host.{name}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"},
    )


def _under(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _read(path: Path) -> Answer:
    with path.open("rb") as file:
        return Value(file.read(MAX_BYTES).decode(errors="replace"))


def _first_line(root: Path, rest: str) -> Answer:
    """Answer `path:prefix` with the file's first line that starts so."""
    path, _, prefix = rest.rpartition(":")
    with _under(root, path).open(errors="replace") as file:
        return next((Value(line.rstrip("\n")) for line in file if line.startswith(prefix)), Absent())


def _hex(path: Path) -> Answer:
    with path.open("rb") as file:
        return Value(file.read(64).hex())


def _list(path: Path) -> Answer:
    return Value(sorted(entry.name for entry in path.iterdir()))


def _link(path: Path) -> Answer:
    return Value(path.readlink().name) if path.is_symlink() else Absent()


def _access(path: Path) -> Answer:
    if not path.exists():
        return Absent()
    return Value("open" if os.access(path, os.R_OK | os.W_OK) else "denied")


def _disk(path: Path) -> Answer:
    """Answer what the file system of a path holds and has left, without what it keeps for root."""
    usage = shutil.disk_usage(path)
    return Value({"total_bytes": usage.total, "free_bytes": usage.free})
