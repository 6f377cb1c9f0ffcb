"""Locks: what a variant asks for, resolved by uv to exact versions with hashes, and what a refresh changes."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from toolkit.compat import tables
from toolkit.engine.downloads import uv_compile
from toolkit.images.variants import OLDEST_PYTHON, Extra, Variant, extras_of, spec, variants, with_extra
from toolkit.model import KitError, LockChange, LockRecord

CUDA_LIBRARY = re.compile(r"^nvidia-.*\n(?: .*\n)*", re.MULTILINE)  # a package of a lock, with its hashes
# What uv resolves: https://docs.astral.sh/uv/reference/settings/#environments
PROJECT = """[project]
name = "image"
version = "0"
requires-python = ">={}"
dependencies = {}
[tool.uv]
environments = {}
override-dependencies = {}
"""


@dataclass(frozen=True, slots=True)
class Lock:
    """One file of locks/: what it is asked for, and the locks whose versions it keeps, CUDA libraries aside."""

    file: Path
    requirements: tuple[str, ...]
    environments: tuple[str, ...]  # what it is resolved for, as markers
    keeps: tuple[Path, ...] = ()
    layer: bool = False  # lies on the packages of those, so that it leaves them out
    cuda: bool = False  # keeps the versions of their CUDA libraries too


def requirements(each: Variant) -> tuple[str, ...]:
    """Return what a variant's core asks for: TensorFlow, what the workloads need, and for GPUs the CUDA libraries.

    The tested ones are those that TensorFlow's own metadata names: its pins, or the lower bounds of its ranges, which
    are the versions that it was built and tested with.
    """
    others = tuple(spec()["packages"])
    if each.hardware == "cpu":
        # No tensorflow-cpu is built for ARM: there TensorFlow itself has no CUDA.
        return (
            f"tensorflow-cpu=={each.tensorflow} ; platform_machine == 'x86_64'",
            f"tensorflow=={each.tensorflow} ; platform_machine != 'x86_64'",
            *others,
        )
    asked = (f"tensorflow[and-cuda]=={each.tensorflow}", *others)
    if each.flavour == "newest":
        return asked
    build = tables.build(each.tensorflow)
    assert build is not None, f"no row of tensorflow.json for {each.tensorflow}"
    return (*asked, *(f"{package}=={lowest(pin)}" for package, pin in build.pins.items()))


def environments(each: Variant) -> tuple[str, ...]:
    """Return the machines and Pythons that a variant's TensorFlow has wheels for, as markers; CUDA is on x86_64 alone."""
    build = tables.build(each.tensorflow)
    assert build is not None, f"no row of tensorflow.json for {each.tensorflow}"
    major, minor = map(int, max(build.python, key=Version).split("."))
    python = f"sys_platform == 'linux' and python_full_version < '{major}.{minor + 1}'"
    machines = ("x86_64",) if each.hardware == "gpu" else ("x86_64", "aarch64")
    return tuple(f"{python} and platform_machine == '{machine}'" for machine in machines)


def lowest(pin: str) -> str:
    """Return the version that a pin names or starts at. Samples: '==12.3.107', '<13.0,>=12.5.82'."""
    return str(min(Version(each.version) for each in SpecifierSet(pin) if each.operator in ("==", ">=")))


@dataclass(frozen=True, slots=True)
class Pin:
    """A package of a lock: its version, the SHA-256 digests that its files may have, and for whom it is."""

    name: str
    version: str
    sha256: frozenset[str]
    marker: Marker | None = None

    @property
    def line(self) -> str:
        """What a lock for one Python and machine says of it."""
        return f"{self.name}=={self.version}" + "".join(f" --hash=sha256:{each}" for each in sorted(self.sha256)) + "\n"


def locks() -> tuple[Lock, ...]:
    """Return every lock that image.toml asks for, each after those that it keeps the versions of."""
    made: dict[Path, Lock] = {}
    for each in variants():
        twin = next((row for row in variants() if row.core == f"{each.minor}-gpu"), None)
        keeps = (twin.lock_file,) if twin and twin != each else ()  # the same NumPy, Keras, … whatever the hardware
        made[each.lock_file] = Lock(each.lock_file, requirements(each), environments(each), keeps)
    for each in variants():
        for extra in _lowest_first(extras_of(each)):
            file = each.extra_lock(extra)
            *lower, _ = with_extra(each, extra.name).extras
            below = (each.lock_file, *map(each.extra_lock, lower))
            own = bool(extra.gpu_packages) and each.hardware == "gpu"
            there = environments(each if own else replace(each, hardware="cpu"))
            asked = extra.gpu_packages if own else extra.packages
            made.setdefault(file, Lock(file, asked, there, below, layer=True, cuda=own))
    return tuple(made.values())


def _lowest_first(there: dict[str, Extra]) -> Iterator[Extra]:
    """Give the extras, each after the one that it lies on."""
    given: set[str | None] = {None}
    while len(given) <= len(there):
        for extra in there.values():
            if extra.name not in given and extra.on in given:
                given.add(extra.name)
                yield extra


def refresh(*, upgrade: bool = False, check: bool = False) -> LockRecord:
    """Resolve every lock again and return what changed; with `check` nothing is written.

    Versions that are locked are kept as long as they serve; with `upgrade` each is the newest that does.
    Raises KitError with uv's own words where something cannot be resolved.
    """
    changes = []
    for lock in locks():
        before = lock.file.read_text(encoding="utf-8") if lock.file.exists() else ""
        after = resolved(lock, "" if upgrade else before)
        if after != before:
            changes.append(LockChange(lock.file.name, _differences(versions(before), versions(after))))
            if not check:
                lock.file.parent.mkdir(exist_ok=True)
                lock.file.write_text(after, encoding="utf-8")
    return LockRecord(tuple(changes), written=not check)


def resolved(lock: Lock, preferred: str) -> str:
    """Return the text of a lock as uv resolves it, with the versions of a `preferred` one where they serve."""
    below = {name for file in lock.keeps for name in versions(file.read_text(encoding="utf-8"))}
    # Whatever version of a CUDA library a package names, it gets the one that is there.
    overridden = sorted(name for name in below if lock.cuda and name.startswith("nvidia-"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lock.txt")
        out.write_text(preferred, encoding="utf-8")
        project = Path(folder, "pyproject.toml")
        project.write_text(
            PROJECT.format(OLDEST_PYTHON, *map(json.dumps, (lock.requirements, lock.environments, overridden))),
            encoding="utf-8",
        )
        command = [str(project), "--quiet", "--universal"]
        command += ["--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-header", "--no-annotate"]
        command += ["--output-file", str(out)]
        for number, file in enumerate(lock.keeps):
            constraint = Path(folder, f"{number}.txt")
            text = file.read_text(encoding="utf-8")
            constraint.write_text(text if lock.cuda else CUDA_LIBRARY.sub("", text), encoding="utf-8")
            command += ["--constraint", str(constraint)]
        if lock.layer:
            for name in sorted(below):  # the layers below have them already
                command += ["--no-emit-package", name]
        done = uv_compile(command, folder)
        if done.returncode != 0:
            raise KitError(f"uv cannot resolve {lock.file.name}:\n{done.stderr.strip()}")
        text = out.read_text(encoding="utf-8")
    return text.partition("\n# The following packages were excluded")[0].rstrip() + "\n"


def read(lock: str) -> Iterator[Pin]:
    """Give what a lock pins, a package several times where its version depends on the Python or the machine.

    Sample: 'numpy==2.2.6 ; python_full_version < \'3.12\' \\', then the hashes, a line each: '    --hash=sha256:0678…'.
    """
    for entry in lock.replace("\\\n", " ").splitlines():
        line, *hashes = entry.split(" --hash=")
        if line.strip() and not line.lstrip().startswith(("#", "-")):
            asked = Requirement(line)
            (version,) = (each.version for each in asked.specifier)
            digests = frozenset(each.strip().removeprefix("sha256:") for each in hashes)
            yield Pin(canonicalize_name(asked.name), version, digests, asked.marker)


def versions(lock: str) -> dict[str, str]:
    """Return the versions of a lock by package, that of the oldest Python where several are locked."""
    found: dict[str, str] = {}
    for pin in read(lock):
        found.setdefault(pin.name, pin.version)
    return found


def _differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Return the packages whose versions differ, with the old and the new one."""
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}
