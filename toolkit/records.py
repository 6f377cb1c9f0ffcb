"""Run folders and image records: names, writing and reading."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from toolkit import paths
from toolkit.model import KitError

FULL = (errno.ENOSPC, errno.EDQUOT)
OUT = "out"  # the folder in it for what a script of somebody's own writes
ELSEWHERE = ".elsewhere"  # beside kit's own runs
RESERVE = ".reserve"  # held while a run goes on, so that its record can be written on a disk that got full
RESERVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder: result.json, events.jsonl, log.txt, metrics.csv, and what the workload saves (model.keras).

    On a full disk the run goes on without its logs and comes to its record all the same.
    """

    path: Path
    events: TextIO = field(repr=False)
    log: TextIO = field(repr=False)

    @property
    def run_id(self) -> str:
        return self.path.name

    def artifacts(self) -> dict[str, str]:
        """Return the files of the run by name, as out/model.keras those of a script, with their full paths."""
        files = sorted(
            file for folder in (self.path, self.path / OUT) for file in folder.glob("[!.]*") if file.is_file()
        )
        return {str(file.relative_to(self.path)): str(file) for file in files}

    def add(self, log: TextIO, line: str) -> bool:
        """Add a line to one of the logs, and return whether there was room for it."""
        with _room() as there:
            log.write(line + "\n")
        return bool(there)

    def write(self, name: str, content: bytes) -> bool:
        """Write a file anew, never through a link that the workload left in its place; return whether there was room."""
        file = self.path / name
        file.unlink(missing_ok=True)
        with _room() as there, file.open("xb") as made:
            made.write(content)
        if not there:
            file.unlink(missing_ok=True)
        return bool(there)

    def close(self, result: dict[str, Any]) -> None:
        """Write result.json whole or not at all, end the logs, and give every file to the caller."""
        (self.path / RESERVE).unlink(missing_ok=True)
        for log in (self.events, self.log):
            with _room():  # for lines that there was none for
                log.close()
        write_json(self.path / "result.json", result)
        for file in self.path.iterdir():
            paths.give_to_caller(file)


def new_run(workload: str, parent: Path | None) -> RunFolder:
    """Make a run's folder, named by time and workload, under `parent` or kit's own runs.

    Raises KitError where the folder cannot be made.
    """
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{workload}-{secrets.token_hex(2)}"
    folder = (parent or paths.runs()).absolute() / run_id
    try:
        paths.make(folder)
        _reserve(folder)
        if parent:
            _remember(folder)
        return RunFolder(folder, _open(folder / "events.jsonl"), _open(folder / "log.txt"))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise KitError(f"cannot make the run folder {folder}: {error.strerror}; choose another with --out") from error


def _remember(folder: Path) -> None:
    """Note the newest run that is not among kit's own, for it to be found as the last one."""
    with contextlib.suppress(OSError):  # no more than a convenience
        file = paths.make(paths.runs()) / ELSEWHERE
        file.write_text(f"{folder}\n", encoding="utf-8")
        paths.give_to_caller(file)


def elsewhere() -> Path | None:
    """Return the newest run that was made with --out, None where nothing is known of one."""
    try:
        return Path((paths.runs() / ELSEWHERE).read_text(encoding="utf-8").rstrip("\n"))
    except OSError:
        return None


def reopen(folder: Path) -> RunFolder:
    """Open the folder of a run that did not come to its end, to go on with it. KitError where it cannot be written."""
    try:
        _reserve(folder)
        opened = RunFolder(folder, _open(folder / "events.jsonl", "a"), _open(folder / "log.txt", "a"))
    except OSError as error:
        raise KitError(f"cannot go on with the run in {folder}: {error.strerror}") from error
    for name in ("result.json", "report.html"):  # of the part before: a kill leaves no record that is not true
        (folder / name).unlink(missing_ok=True)
    if not (folder / "events.jsonl").read_bytes().endswith(b"\n"):
        opened.events.write("\n")  # the kill may have cut a line
    return opened


def results() -> Iterator[dict[str, Any]]:
    """Give the result.json of every run of kit's own folder, the oldest first; runs elsewhere (--out) are not known."""
    for file in sorted(paths.runs().glob("*/result.json")):
        if result := read_json(file):
            yield result


def goes_on(folder: Path) -> bool:
    """Return whether a kit that lives writes into a run folder: it holds a lock on events.jsonl, which ends with it."""
    try:
        with (folder / "events.jsonl").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system without locks
        return False
    return False


def event(line: str) -> dict[str, Any] | None:
    """Return the event that a workload told in a line, None where it is something else that it printed."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "event" in told else None


def json_text(data: dict[str, Any]) -> str:
    """Return a document as JSON, which has no word for what is not a number: that is null."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: known(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [known(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(known(data), indent=2, allow_nan=False) + "\n"


def write_json(file: Path, data: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all, owned by the caller."""
    paths.make(file.parent)
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with unfinished.open("x", encoding="utf-8") as made:  # never through a link that a workload left in its place
        made.write(json_text(data))
    paths.give_to_caller(unfinished)
    unfinished.replace(file)


def read_json(file: Path) -> dict[str, Any] | None:
    """Return a JSON file's object, None where there is none or it is not readable as such."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def image_record(image_id: str) -> Path:
    """Return the file that holds how an image was proven."""
    return paths.state() / "images" / f"{image_id.removeprefix('sha256:')}.json"


def beside_image_record(image_id: str) -> dict[str, Path]:
    """Return the files that tell of an image, by what follows its id in their names: '.json' is its record."""
    record = image_record(image_id)
    return {file.name.removeprefix(record.stem): file for file in sorted(record.parent.glob(f"{record.stem}.*"))}


@contextlib.contextmanager
def _room() -> Iterator[list[bool]]:
    """Write within; what is given is empty afterwards where the disk is full."""
    there = [True]
    try:
        yield there
    except OSError as error:
        if error.errno not in FULL:
            raise
        there.clear()


def _reserve(folder: Path) -> None:
    """Take the room that a run's record needs. What is written is random: some file systems compress."""
    try:
        (folder / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))
    except OSError:
        (folder / RESERVE).unlink(missing_ok=True)
        raise


def _open(file: Path, mode: Literal["w", "a"] = "w") -> TextIO:
    """Open a file of a run and hold a lock on it as long as this kit is at it."""
    opened = file.open(mode, encoding="utf-8", buffering=1)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return opened
