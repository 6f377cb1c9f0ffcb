"""What a build takes from this machine: its base image, uv, wheels, the CA bundle, the network's settings."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolkit import paths
from toolkit.engine.docker import BuildFailedError, Docker
from toolkit.engine.downloads import ca_bundle, uv_command
from toolkit.images import wheels
from toolkit.images.plan import Sources
from toolkit.images.variants import Variant, spec
from toolkit.model import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may want of a build beside the variant."""

    ca: Path | None = None  # None: the machine's
    wheelhouse: Path | None = None
    bootstrap_base: bool = False
    debian_mirror: str | None = None
    no_cache: bool = False

    @property
    def mirror(self) -> dict[str, str]:
        """The mirror as the environment says it; nothing where none is named."""
        return {"DEBIAN_MIRROR": self.debian_mirror} if self.debian_mirror else {}


def checked(options: Options) -> Options:
    """Return options as they are. Raises UsageError where one names what a build cannot take."""
    if options.ca is not None and not (options.ca.is_file() and b"-----BEGIN " in options.ca.read_bytes()):
        raise UsageError(f"--ca-bundle {options.ca}: give a file of CA certificates in PEM's form")
    if options.wheelhouse is not None and not options.wheelhouse.is_dir():
        raise UsageError(f"--wheelhouse {options.wheelhouse}: give a folder that kit image fetch-wheels filled")
    if options.debian_mirror is not None and not re.fullmatch(r"\w+://\S+", options.debian_mirror):
        raise UsageError(f"--debian-mirror {options.debian_mirror}: give a URL, as http://deb.debian.org/debian")
    return options


def sources(engine: Docker, each: Variant, options: Options) -> Sources:
    """Return what a build takes from this machine. Raises UsageError where a wheelhouse lacks wheels."""
    base = engine.image(each.base) or {}
    digest = next(iter(base.get("RepoDigests") or ()), "")
    nothing = paths.make(paths.cache() / "nothing")
    folder = options.wheelhouse or nothing
    debs = wheels.debs(folder, each.base, platform.machine())
    if options.wheelhouse:
        _complete(each, options.wheelhouse)
    environment = {**os.environ, **options.mirror}
    return Sources(
        uv=_uv_folder(),
        wheels=folder,
        debs=debs if debs.is_dir() else nothing,
        base=digest or each.base,
        base_digest=digest.partition("@")[2] or str(base.get("Id", "")),
        ca=options.ca or ca_bundle(environment),
        environment=environment,
        revision=paths.revision(),
        kit_version=importlib.metadata.version("kit"),
        no_cache=options.no_cache,
    )


def _complete(each: Variant, folder: Path) -> None:
    """Raise UsageError with what a folder of wheels lacks, where it lacks some."""
    lacking = wheels.missing(folder, each.locks, wheels.target(each, None, platform.machine()))
    if lacking:
        named = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise UsageError(f"{folder} lacks {named}; fill it where there is a network: kit image fetch-wheels {folder}")


def ensure_base(engine: Docker, each: Variant, on_line: Callable[[str], None], options: Options) -> None:
    """Make sure that the base image can be had: in the engine, from a registry, or made from the distribution's mirror.

    Raises BuildFailedError where it cannot be had.
    """
    if engine.image(each.base) is not None:
        return
    command = ["bash", str(paths.engine_scripts() / "base.sh"), each.base]
    with subprocess.Popen(
        [*command, *(["--bootstrap"] if options.bootstrap_base else [])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**engine.environment, **options.mirror, "SOURCE_DATE_EPOCH": str(spec()["epoch"])},
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C comes to kit, which stops all of it
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                on_line(line.rstrip("\n"))
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode != 0:
        raise BuildFailedError(f"the base image {each.base} cannot be had")


def _uv_folder() -> Path:
    """Return a folder with nothing but uv in it, since a build context is sent whole."""
    folder = paths.cache() / "uv" / importlib.metadata.version("uv")
    if not (folder / "uv").exists():
        paths.make(folder)
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")  # another kit may do the same
        shutil.copy2(uv_command(), unfinished)
        unfinished.rename(folder / "uv")
    return folder
