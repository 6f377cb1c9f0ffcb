"""Where kit's own folders and the user's are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _bundled(name: str) -> Path:
    """Return a top-level folder of the project: beside the package in a checkout, inside it in a wheel."""
    beside = _PACKAGE.parent / name
    return beside if (_PACKAGE.parent / "pyproject.toml").exists() else _PACKAGE / "bundled" / name


def images() -> Path:
    return _bundled("images")


def workloads() -> Path:
    return _bundled("workloads")


def simgpu() -> Path:
    return _bundled("tests/simgpu")


def hosts() -> Path:
    return _bundled("tests/hosts")


def engine_scripts() -> Path:
    return _PACKAGE / "engine"


def revision() -> str:
    """Return the git revision of kit's checkout, with "-dirty" where it was changed; empty outside one."""
    if not (_PACKAGE.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(_PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or _home() / default) / "kit"


def _home() -> Path:
    """Return the home of the person who called kit, under sudo too."""
    if "SUDO_UID" not in os.environ or os.getuid() != 0:
        return Path.home()
    import pwd

    try:
        return Path(pwd.getpwuid(caller()[0]).pw_dir)
    except KeyError:
        return Path.home()


def cache() -> Path:
    """Return the folder of what kit can make again: environments, stand-in libraries."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state() -> Path:
    """Return the folder of build logs and image records."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def runs() -> Path:
    """Return the folder of run folders."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "runs"


def make(folder: Path) -> Path:
    """Make a folder with those above it, each new one the caller's, and return it."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(exist_ok=True)
        give_to_caller(folder)
    return folder


def caller() -> tuple[int, int]:
    """Return the user and group ids of the person who called kit, under sudo too."""
    if os.getuid() != 0:  # sudo -u somebody sets the variables too
        return os.getuid(), os.getgid()
    return int(os.environ.get("SUDO_UID", "0")), int(os.environ.get("SUDO_GID", "0"))


def give_to_caller(path: Path) -> None:
    """Make a file or folder the caller's, where kit runs by sudo."""
    if os.getuid() == 0:
        os.chown(path, *caller(), follow_symlinks=False)
