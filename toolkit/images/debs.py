"""The Debian packages of a build, in a folder: what its Dockerfile would otherwise take from a mirror."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from toolkit import paths
from toolkit.engine.docker import BuildFailedError, Docker
from toolkit.images import wheels
from toolkit.images.failures import failure
from toolkit.images.plan import plan
from toolkit.images.sources import Options, ensure_base, sources
from toolkit.images.variants import Variant, spec
from toolkit.model import KitError

STAGE = "debs-for-later"  # of the Dockerfile: its result is the packages alone


def fetch(each: Variant, folder: Path, on: wheels.Target, on_line: Callable[[str], None]) -> tuple[str, ...]:
    """Fill a folder's debs with every Debian package that a variant's build installs on its base, and return their files.

    The base itself downloads them, in the engine, since only its own apt knows what it lacks. What was there stays until
    the new ones are there. Raises KitError where no engine answers, where it cannot download, or has another machine.
    """
    if on.machine != platform.machine():
        raise KitError(f"only a machine of its kind, {on.machine}, can tell which Debian packages its base lacks")
    python = next((row["python"] for row in spec()["base"] if row["name"] == each.base), on.python)
    if python != on.python:
        raise KitError(f"{each.base} has Python {python}; name the base that has Python {on.python} with --base")
    log = paths.make(paths.state() / "builds") / f"{time.strftime('%Y%m%d-%H%M%S')}-{each.core}-debs.log"
    with Docker() as engine, log.open("w", encoding="utf-8", buffering=1) as file:

        def keep(line: str) -> None:
            file.write(line + "\n")
            on_line(line)

        try:
            ensure_base(engine, each, keep, Options())
            whole = plan(each, sources(engine, each, Options()))
            order = replace(whole, target=STAGE, arguments={"BASE": whole.arguments["BASE"]}, labels={})
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                engine.export(order, Path(scratch, "debs"), keep)
                into = wheels.debs(folder, each.base, on.machine)
                paths.make(into.parent)
                shutil.rmtree(into, ignore_errors=True)
                Path(scratch, "debs").rename(into)
        except BuildFailedError as error:
            raise KitError(f"{failure(each, log).cause} The log: {log}") from error
    into.chmod(0o755)  # buildx leaves it to its owner alone
    for path in (into, *into.rglob("*")):
        paths.give_to_caller(path)
    return there(each, folder, on)


def there(each: Variant, folder: Path, on: wheels.Target) -> tuple[str, ...]:
    """Return the Debian packages that a folder has for a variant's base."""
    return tuple(sorted(path.name for path in wheels.debs(folder, each.base, on.machine).rglob("*.deb")))
