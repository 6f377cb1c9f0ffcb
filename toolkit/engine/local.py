"""The embedded engine: the same locked packages in an environment of kit's cache, the workload as a child process."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal

from toolkit import paths
from toolkit.engine.downloads import uv_command, uv_environment
from toolkit.engine.plan import Exit, OnLine, RunPlan
from toolkit.model import KitError

SUPPORTED_PYTHON = ((3, 11), (3, 13))  # what the locks are resolved for


def environment(locks: tuple[Path, ...], on_line: Callable[[str], None]) -> Path:
    """Return the Python of an environment that holds exactly what is in the locks, made by uv on first use.

    It is kept under kit's cache by the locks' digest, and moved into place whole, so that an interrupted
    installation is never taken for an environment. Raises KitError with uv's own words where it cannot be made.
    """
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    low, high = SUPPORTED_PYTHON
    own = low <= sys.version_info[:2] <= high
    version = f"{sys.version_info[0]}.{sys.version_info[1]}" if own else f"{high[0]}.{high[1]}"
    home = paths.make(paths.cache() / "environments") / f"{locks[-1].stem}-{digest}-python{version}"
    python = home / "bin/python"
    if python.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)  # its Python is gone
    uv = uv_command()
    with tempfile.TemporaryDirectory(dir=home.parent, ignore_cleanup_errors=True) as scratch:
        unfinished = Path(scratch, "environment")
        _uv(
            [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable if own else version, str(unfinished)],
            on_line,
        )
        into = ["--python", str(unfinished / "bin/python"), *(part for lock in locks for part in ("-r", str(lock)))]
        _uv([uv, "pip", "install", "--require-hashes", "--no-deps", "--compile-bytecode", *into], on_line)
        try:
            unfinished.rename(home)
        except OSError:  # another kit was first
            if not python.exists():
                raise
    return python


def _uv(command: list[str], on_line: Callable[[str], None]) -> None:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=uv_environment()
    )
    assert process.stdout is not None
    words = []
    with process.stdout:
        for line in process.stdout:
            words.append(line)
            on_line(line.rstrip("\n"))
    if process.wait() != 0:
        raise KitError(f"uv could not make the local environment:\n{''.join(words[-15:]).rstrip()}")


def library_path(python: Path) -> str:
    """Return the folders of NVIDIA's wheels in an environment, joined for LD_LIBRARY_PATH; empty where there are none."""
    return ":".join(
        str(folder) for folder in sorted(python.parent.parent.glob("lib/python3*/site-packages/nvidia/*/lib"))
    )


def run(plan: RunPlan, on_line: OnLine) -> Exit:
    """Run the plan's command as a child to its end and hand its lines on as they come.

    KeyboardInterrupt asks the child to stop (10 s, then it is killed), hands its last lines on and is raised again.
    """
    process = subprocess.Popen(
        plan.command,
        env={**os.environ, **plan.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C comes to kit, which stops the child itself
    )
    lock = threading.Lock()

    def pump(name: Literal["stdout", "stderr"], pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with lock:
                    on_line(name, line.rstrip("\n"))

    assert process.stdout is not None
    assert process.stderr is not None
    pumps = [
        threading.Thread(target=pump, args=("stdout", process.stdout), daemon=True),
        threading.Thread(target=pump, args=("stderr", process.stderr), daemon=True),
    ]
    for thread in pumps:
        thread.start()
    try:
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    finally:
        for thread in pumps:
            thread.join(5)
    return Exit(code, False)
