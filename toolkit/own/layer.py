"""A thin layer with somebody's own packages on an image of kit's: resolved over its locks, installed once, kept by digest."""

from __future__ import annotations

import hashlib
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from toolkit import paths
from toolkit.engine.docker import BuildFailedError, Docker
from toolkit.engine.downloads import uv_compile
from toolkit.engine.plan import LABEL, BuildPlan
from toolkit.images import wheels
from toolkit.images.build import NotBuiltError
from toolkit.images.failures import failure
from toolkit.images.locks import read
from toolkit.images.plan import Sources, inputs_digest
from toolkit.images.plan import plan as image_plan
from toolkit.images.sources import Options, sources
from toolkit.images.variants import Variant
from toolkit.model import KitError, UsageError

RECIPE = ("layer.Dockerfile", "install.sh", "stamp.sh")
# One TensorFlow under two names, of which the image has the one that fits its hardware.
TENSORFLOW = ("tensorflow", "tensorflow-cpu")
NAMES_A_FILE = re.compile(r"(?:(?:--requirement|--constraint)(?:\s+|=)|-[rc]\s*)(?P<file>\S+)")
INDEX = re.compile(r"(?:--(?:extra-)?index-url|--find-links|--no-index|-[if]\b)")


def beside(folder: Path) -> Path | None:
    """Return the requirements file of a folder, None where it has none."""
    file = folder / "requirements.txt"
    return file if file.is_file() else None


def image(engine: Docker, each: Variant, requirements: Path, on_progress: Callable[[str], None]) -> str:
    """Return the tag of an image with the packages of a requirements file on those of a variant, built where it is
    missing; the variant's own tag where it has all of them.

    What was resolved once stays, as long as neither the file nor the variant changes. Raises UsageError where the file
    asks for what cannot be there, NotBuiltError where the packages cannot be installed.
    """
    digest = inputs(each, requirements)
    tag = f"{each.repository}-own:{each.tag.partition(':')[2]}-{digest}"
    if engine.image(tag):
        return tag
    lock = paths.make(paths.state() / "layers" / digest) / "packages.txt"
    if not lock.exists():
        on_progress(f"resolving {requirements.name} over {each.tag}")
        unfinished = lock.with_suffix(".unfinished")
        unfinished.write_text(resolved(each, requirements), encoding="utf-8")
        unfinished.rename(lock)
        paths.give_to_caller(lock)
    pinned = list(read(lock.read_text(encoding="utf-8")))
    if not pinned:
        return each.tag
    on_progress(f"installing {', '.join(f'{pin.name} {pin.version}' for pin in pinned)}")
    log = lock.with_name("build.log")
    with log.open("w", encoding="utf-8", buffering=1) as file:

        def keep(line: str) -> None:
            file.write(line + "\n")
            on_progress(line)

        try:
            with engine.built(plan(each, sources(engine, each, Options()), lock.parent, digest), keep) as image_id:
                engine.tag(image_id, tag)
        except BuildFailedError as error:
            keep(f"ERROR: {error}")
            raise NotBuiltError(tag, (failure(each, log),), str(log)) from error
    return tag


def inputs(each: Variant, requirements: Path) -> str:
    """Return the digest of everything that a layer is made from, 12 hexadecimal digits."""
    parts = [inputs_digest(each).encode()]
    parts += [file.read_bytes() for file in (*(each.folder / name for name in RECIPE), *files(requirements))]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]


def files(requirements: Path) -> Iterator[Path]:
    """Give a requirements file and those that it names. UsageError where one is missing."""
    waiting, seen = [requirements], set[Path]()
    while waiting:
        file = waiting.pop(0)
        if not file.is_file():
            raise UsageError(f"there is no requirements file {file}")
        if file.resolve() in seen:
            continue
        seen.add(file.resolve())
        yield file
        for line in text(file).splitlines():
            if INDEX.match(line.strip()):
                raise UsageError(f"{file}: {line.strip()}: name an index by the environment, as UV_INDEX=https://…")
            if named := NAMES_A_FILE.match(line.strip()):
                waiting.append(file.parent / named["file"])


def text(requirements: Path) -> str:
    """Return what a requirements file says. UsageError where it is not UTF-8."""
    try:
        return requirements.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        again = "save it as such (in PowerShell: pip freeze | Out-File -Encoding utf8 requirements.txt)"
        raise UsageError(f"{requirements} is not UTF-8; {again}") from error


def resolved(each: Variant, requirements: Path) -> str:
    """Return the lock of what a requirements file asks for beside a variant's packages, for its Python and this machine.

    What the variant has is kept as it is. Only wheels: a source distribution would run its own code on this machine.
    """
    on = wheels.target(each, None, platform.machine())
    with tempfile.TemporaryDirectory() as scratch:
        out, twins = Path(scratch, "packages.txt"), Path(scratch, "tensorflow.txt")
        twins.write_text("".join(f"{name}=={each.tensorflow}\n" for name in TENSORFLOW), encoding="utf-8")
        command = [str(requirements.resolve()), "--output-file", str(out), "--quiet"]
        command += ["--no-header", "--no-annotate", "--generate-hashes", "--only-binary", ":all:"]
        command += ["--python-version", on.python]
        command += ["--python-platform", f"{on.machine}-manylinux_{wheels.GLIBC[0]}_{wheels.GLIBC[1]}"]
        for file in (*each.locks, twins):
            command += ["--constraint", str(file)]
        for name in sorted({*wheels.pins(each.locks, on), *TENSORFLOW}):
            command += ["--no-emit-package", name]
        done = uv_compile(command, scratch)
        if done.returncode != 0:
            raise refused(each, requirements, done.stderr.strip())
        return out.read_text(encoding="utf-8").partition("\n# The following packages were excluded")[0].strip() + "\n"


def refused(each: Variant, requirements: Path, words: str) -> KitError:
    """Return the error of a requirements file that uv does not resolve: the user's where it asks for what cannot be."""
    if rows := conflicts(text(requirements), has(each)):
        return UsageError(
            f"{requirements} does not go with {each.tag}, whose own packages stay as they are:\n"
            + "\n".join(rows)
            + "\nLeave the version of what the image has open, or take a TensorFlow that goes with it (--tf)."
        )
    wrong = any(each in words for each in ("No solution found", "parse", "not appear to be"))
    return (UsageError if wrong else KitError)(f"{requirements} cannot be resolved over {each.tag}:\n{words}")


def has(each: Variant) -> dict[str, str]:
    """Return the versions of a variant's packages on this machine, TensorFlow's under both of its names."""
    there = wheels.pins(each.locks, wheels.target(each, None, platform.machine()))
    return {name: pin.version for name, pin in there.items()} | dict.fromkeys(TENSORFLOW, each.tensorflow)


def conflicts(requirements: str, there: dict[str, str]) -> list[str]:
    """Return the lines of a requirements file that ask for another version than there is, each with that one."""
    found = []
    for line in requirements.splitlines():
        with suppress(InvalidRequirement):
            asked = Requirement(line.partition(" #")[0].strip())
            version = there.get(canonicalize_name(asked.name))
            if version and version not in asked.specifier:
                found.append(f"  {asked} is asked for, and {asked.name} {version} is there")
    return found


def plan(each: Variant, sources: Sources, lock: Path, digest: str) -> BuildPlan:
    """Return the build of a layer on a variant, from a folder that holds its lock."""
    order = image_plan(each, sources)
    return replace(
        order,
        target="layer",
        file=each.folder / "layer.Dockerfile",
        arguments={"BASE": each.tag, "SOURCE_DATE_EPOCH": order.arguments["SOURCE_DATE_EPOCH"]},
        contexts={"uv": sources.uv, "wheels": sources.wheels, "own": lock},
        labels={f"{LABEL}.layer": digest},
    )
