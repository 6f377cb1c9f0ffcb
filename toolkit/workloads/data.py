"""The user's own table that a workload trains on, as kit sees it from outside: a file, told from others by its digest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit import paths
from toolkit.engine.plan import Mount
from toolkit.model import UsageError

if TYPE_CHECKING:
    from toolkit.workloads.packaged import Workload
    from toolkit.workloads.plan import Options

PARQUET_READER = (
    paths.workloads() / "parquet.txt"
)  # no image has it: it comes in a layer on one, made when first needed
KINDS = (".csv", ".tsv", ".npz", ".parquet")
INSIDE = "/data"


def file(path: Path) -> Path:
    """Return a table's file by its full path. UsageError where it is none, or of another kind than those that are read."""
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"--data {path}: give a file whose name ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if not path.is_file():
        raise UsageError(f"--data {path}: {'that is no file' if path.exists() else 'there is no such file'}")
    if not path.stat().st_size:
        raise UsageError(f"--data {path}: the file is empty")
    return path.absolute()  # a link keeps its name, which says what it is


def checked(options: Options, work: Workload) -> Options:
    """Return options with the full path of their table and its digest; UsageError where they do not go together.

    With a digest already, which an earlier run noted, it must be the same.
    """
    told = {"--target": options.target, "--features": options.features, "--impute": options.impute}
    if options.data is None:
        if option := next((each for each, value in {**told, "--stream": options.stream}.items() if value), None):
            raise UsageError(f"{option} is of a table of your own: give it with --data FILE")
        return options
    if not work.data:
        raise UsageError(f"the workload {work.name} takes no --data: its workload.toml does not say data = true")
    if not options.target:
        raise UsageError(f"--data {options.data}: say which of its columns is to be predicted, with --target COLUMN")
    if options.impute not in (None, "median"):
        raise UsageError(f"--impute {options.impute}: give median, or leave it out to have missing values refused")
    path = file(Path(options.data))
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if options.data_sha256 not in (None, digest):
        raise UsageError(f"{path} has changed since that run: its sha256 was {options.data_sha256}, and is {digest}")
    return replace(options, data=str(path), data_sha256=digest)


def mount(path: str | None) -> tuple[Mount, ...]:
    """Return what puts a table into a container, nothing where there is none."""
    return (Mount(Path(path), inside(path)),) if path else ()


def inside(path: str) -> str:
    """Return where a table is in the container."""
    return f"{INSIDE}/{Path(path).name}"


def needs_reader(path: str | None) -> bool:
    """Return whether a table is read by packages that the images lack."""
    return path is not None and path.lower().endswith(".parquet")


def readable_locally(path: str | None) -> None:
    """Raise UsageError where the local engine, which has the packages of the lock alone, cannot read a table."""
    if needs_reader(path):
        raise UsageError(f"{path}: without a container kit reads no Parquet; save the table as .csv or .npz")
