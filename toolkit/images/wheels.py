"""A folder of wheels: every package of a variant's locks, so that a build needs no network."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging import tags
from packaging.markers import Marker
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from toolkit import paths
from toolkit.engine.downloads import INDEXES, ca_bundle, network, uv_compile
from toolkit.images.locks import Pin, read
from toolkit.images.variants import Variant, locked_for, pythons, spec
from toolkit.model import KitError, UsageError, WheelsRecord

# The oldest glibc of image.toml's bases, Debian 12's: https://packages.debian.org/bookworm/libc6. What the locks hold
# comes in the same wheels for any later one.
GLIBC = (2, 36)
OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}  # the minor that a machine's wheels start at, with the older names of some:
OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # https://peps.python.org/pep-0600/
PIECE_BYTES = 1 << 16  # at most so much is lost where a connection breaks
SILENT_SECONDS = 60
ATTEMPTS = 5
OVERLOADED = (429, 502, 503, 504)

OnBytes = Callable[[int], None]  # the bytes of one wheel that are there
OnProgress = Callable[[str, int, int], None]  # the wheel, bytes so far, bytes of all that are fetched


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels are for: a Python ("3.11") and a machine ("x86_64" or "aarch64"), on Linux."""

    python: str
    machine: str

    def takes(self, marker: Marker | None) -> bool:
        """Return whether a line of a lock is for it, by the line's marker."""
        environment = {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }
        return marker is None or marker.evaluate(environment)

    def tags(self) -> list[Tag]:
        """Return the tags of wheels that it takes, the best first."""
        major, minor = map(int, self.python.split("."))
        platforms = []
        for glibc in range(GLIBC[1], OLDEST_GLIBC[self.machine] - 1, -1):
            platforms.append(f"manylinux_{GLIBC[0]}_{glibc}_{self.machine}")
            if glibc in OLD_NAMES:
                platforms.append(f"{OLD_NAMES[glibc]}_{self.machine}")
        platforms.append(f"linux_{self.machine}")
        version = (major, minor)
        return [
            *tags.cpython_tags(version, platforms=platforms),
            *tags.compatible_tags(version, f"cp{major}{minor}", platforms),
        ]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file of an index."""

    file: str
    url: str
    sha256: str
    size_bytes: int


def target(each: Variant, python: str | None, machine: str) -> Target:
    """Return what a variant's wheels are for: its base's Python where none is named. UsageError where kit has no wheels for it."""
    bases = {row["name"]: row["python"] for row in spec()["base"]}
    named = python is not None
    python = python if named else bases.get(each.base)
    if python is None:
        raise UsageError(
            f"kit does not know which Python {each.base} has: give it with --python, or in a [[base]] row of "
            "images/tensorflow/image.toml"
        )
    if python not in pythons(each):
        whose = f"--python {python}" if named else f"{each.base} has Python {python}"
        raise UsageError(f"{whose}: {locked_for(each)}")
    machines = ("x86_64",) if each.hardware == "gpu" else tuple(OLDEST_GLIBC)
    if machine not in machines:
        raise UsageError(f"--machine {machine}: the {each.hardware} images are for {' and '.join(machines)}")
    return Target(python, machine)


def pins(locks: Iterable[Path], on: Target) -> dict[str, Pin]:
    """Return what locks ask of a target, by package."""
    asked = (pin for lock in locks for pin in read(lock.read_text(encoding="utf-8")))
    return {pin.name: pin for pin in asked if on.takes(pin.marker)}


def debs(folder: Path, base: str, machine: str) -> Path:
    """Return where a folder of wheels has the Debian packages for a base. Sample: 'debs/debian-bookworm-slim-x86_64'."""
    return folder / "debs" / f"{re.sub(r'[^0-9A-Za-z.]+', '-', base)}-{machine}"


def missing(folder: Path, locks: Iterable[Path], on: Target) -> tuple[str, ...]:
    """Return the packages of locks, as name==version, that a folder has no fitting wheel of, by the names of its files."""
    fitting = set(on.tags())
    there = {(name, version) for name, version, tagged in map(_parsed, folder.glob("*.whl")) if tagged & fitting}
    return tuple(
        f"{pin.name}=={pin.version}"
        for pin in pins(locks, on).values()
        if (pin.name, Version(pin.version)) not in there
    )


def _parsed(file: Path) -> tuple[str, Version | None, frozenset[Tag]]:
    """Return the package, version and tags that a wheel's name says; no tags where it is not a wheel's."""
    try:
        name, version, _, tagged = parse_wheel_filename(file.name)
    except InvalidWheelFilename:
        return "", None, frozenset()
    return name, version, tagged


def fetch(each: Variant, folder: Path, on: Target, on_progress: OnProgress) -> WheelsRecord:
    """Fill a folder with the wheels of a variant, each checked against its lock; what is there and right is kept.

    A download that was cut off goes on where it was. Raises KitError where a wheel cannot be had, is not the one that
    was locked, or does not fit on the disk.
    """
    began = time.perf_counter()
    paths.make(folder)
    wanted = found(pins(each.locks, on), on)
    absent = [wheel for wheel in wanted if not _right(folder / wheel.file, wheel.sha256)]
    total = sum(wheel.size_bytes for wheel in absent)
    here = sum(_size(_partial(folder, wheel)) for wheel in absent)
    free = shutil.disk_usage(folder).free
    if free < total - here:
        raise KitError(
            f"not enough space in {folder}: {(total - here) / 1e9:.1f} GB are to come, {free / 1e9:.1f} GB are free"
        )
    before = 0
    with _session() as session:
        for wheel in absent:
            _download(session, wheel, folder, partial(_add, on_progress, wheel.file, before, total))
            before += wheel.size_bytes
    return WheelsRecord(
        folder=str(folder),
        variant=each.tag,
        python=on.python,
        wheels=tuple(wheel.file for wheel in wanted),
        fetched=tuple(wheel.file for wheel in absent),
        size_bytes=sum((folder / wheel.file).stat().st_size for wheel in wanted),
        seconds=time.perf_counter() - began,
    )


def _add(on_progress: OnProgress, file: str, before: int, total: int, so_far: int) -> None:
    on_progress(file, before + so_far, total)


def found(wanted: dict[str, Pin], on: Target) -> list[Wheel]:
    """Return the best wheel of each package for a target, where uv finds it by its own settings of indexes and passwords.

    Raises KitError with uv's own words where it finds none.
    """
    with tempfile.TemporaryDirectory() as scratch:
        lock, out = Path(scratch, "lock.txt"), Path(scratch, "pylock.toml")
        lock.write_text("".join(pin.line for pin in wanted.values()), encoding="utf-8")
        command = [str(lock), "--output-file", str(out), "--quiet", "--no-header"]
        command += ["--format", "pylock.toml", "--no-deps", "--only-binary", ":all:", "--python-version", on.python]
        command += ["--python-platform", f"{on.machine}-manylinux_{GLIBC[0]}_{GLIBC[1]}"]
        done = uv_compile(command, scratch)
        if done.returncode != 0:
            raise KitError(f"uv does not find the wheels:\n{done.stderr.strip()}")
        packages = tomllib.loads(out.read_text(encoding="utf-8"))["packages"]
        order = {tag: rank for rank, tag in enumerate(on.tags())}
        return [_best(package, wanted[canonicalize_name(package["name"])], order, scratch) for package in packages]


def _best(package: dict[str, Any], pin: Pin, order: dict[Tag, int], folder: str) -> Wheel:
    """Return the wheel of a package that a target likes best.

    Sample of a package: {"name": "absl-py", "wheels": [{"url": "https://…/absl_py-2.5.1-py3-none-any.whl",
    "size": 137673, "hashes": {"sha256": "7212…"}}]}; "path" in the place of "url" where the index is a folder.
    """
    ranked = []
    for row in package.get("wheels", ()):
        url = row["url"] if "url" in row else Path(folder, row["path"]).resolve().as_uri()
        file = unquote(urlsplit(url).path.rpartition("/")[2])
        ranks = [order[tag] for tag in _parsed(Path(file))[2] if tag in order]
        if ranks and row["hashes"]["sha256"] in pin.sha256:
            ranked.append((min(ranks), Wheel(file, url, row["hashes"]["sha256"], row.get("size", 0))))
    if not ranked:
        raise KitError(f"the index has no wheel of {pin.name} {pin.version} that was locked and fits")
    return min(ranked, key=lambda each: each[0])[1]


def _session() -> Any:
    """Return a session of downloads that trusts what this machine trusts, and waits for an index that is overloaded."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=Retry(3, backoff_factor=0.5, status_forcelist=OVERLOADED)))
    if ca := ca_bundle(dict(os.environ)):
        session.verify = str(ca)
    return session


def _download(session: Any, wheel: Wheel, folder: Path, on_bytes: OnBytes) -> None:
    """Fetch a wheel, on from what is there of it, and give it its name when its digest is right."""
    part = _partial(folder, wheel)
    fresh = not part.exists()
    _complete(session, wheel, part, on_bytes)
    if not fresh and not _right(part, wheel.sha256):  # what was there is at fault, or what came now
        part.unlink()
        _complete(session, wheel, part, on_bytes)
    if not _right(part, wheel.sha256):
        got = _digest(part)
        part.unlink()
        raise KitError(f"{wheel.url} is not what was locked: its sha256 is {got}, and not {wheel.sha256}")
    part.rename(folder / wheel.file)
    paths.give_to_caller(folder / wheel.file)


def _complete(session: Any, wheel: Wheel, part: Path, on_bytes: OnBytes) -> None:
    """Fetch what is not there of a wheel, over as many connections as it takes while something comes."""
    from requests.exceptions import ChunkedEncodingError, RequestException, SSLError, Timeout
    from requests.exceptions import ConnectionError as Disconnected

    if wheel.url.startswith("file:"):
        shutil.copyfile(unquote(urlsplit(wheel.url).path), part)
        return
    failures = 0
    while True:
        before = _size(part)
        try:
            _continue(session, wheel.url, part, on_bytes)
            return
        except SSLError as error:
            raise KitError(
                f"the certificate of {urlsplit(wheel.url).hostname} is not trusted; name your CA bundle in SSL_CERT_FILE: "
                f"{error}"
            ) from error
        except (Disconnected, Timeout, ChunkedEncodingError) as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures == ATTEMPTS:
                raise KitError(f"{wheel.url} breaks off; run again, it goes on where it stopped: {error}") from error
            time.sleep(failures)
        except RequestException as error:
            raise KitError(f"{wheel.url} cannot be fetched: {error}") from error


def _continue(session: Any, url: str, part: Path, on_bytes: OnBytes) -> None:
    """Fetch what is behind the bytes that are there; all of it where the index cannot give a part."""
    there = _size(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    password = _passwords(network(dict(os.environ))).get(urlsplit(url).hostname or "")
    with session.get(url, stream=True, headers=headers, auth=password, timeout=SILENT_SECONDS) as answer:
        if there and answer.status_code == 416:  # nothing is behind them: the digest tells whether they are right
            return
        answer.raise_for_status()
        there = there if answer.status_code == 206 else 0
        with part.open("ab" if there else "wb") as file:
            for piece in answer.iter_content(PIECE_BYTES):
                file.write(piece)
                there += len(piece)
                on_bytes(there)


def _passwords(told: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return the users and passwords in the URLs of indexes, by host. Sample: 'lab=https://me:secret@pypi.lab/simple'."""
    indexes = (re.sub(r"^[\w.-]+=", "", index) for name in INDEXES for index in told.get(name, "").split())
    parts = [urlsplit(index) for index in indexes]
    return {
        each.hostname: (unquote(each.username), unquote(each.password or ""))
        for each in parts
        if each.hostname and each.username
    }


def _partial(folder: Path, wheel: Wheel) -> Path:
    return folder / f"{wheel.file}.partial"


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _right(file: Path, sha256: str) -> bool:
    return file.exists() and _digest(file) == sha256


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
