"""A workload: one folder of workloads/, or of a folder of the user's own."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from toolkit import paths
from toolkit.model import UsageError


@dataclass(frozen=True, slots=True)
class Workload:
    """A folder with a workload.toml: what that says, and where it is.

    `inputs` are the forms that it takes its data in, `best_accuracy` the best that its data allows, `data` whether it takes
    a table of the user's instead.
    """

    name: str
    folder: Path
    title: str
    entry: str
    inputs: tuple[str, ...] = ("numpy",)
    best_accuracy: float | None = None
    data: bool = False

    @property
    def own(self) -> bool:
        """Whether it is the user's, and not one that kit brings."""
        return self.folder.parent != paths.workloads()


def workloads(own: Path | None = None) -> dict[str, Workload]:
    """Return the workloads by name: those that kit brings, and those of a folder of the user's own before them.

    Raises UsageError where the folder is none, or a workload.toml is not readable as one.
    """
    if own and not own.is_dir():
        raise UsageError(f"--workloads {own}: there is no such folder")
    files = [
        file for root in (paths.workloads(), own) if root for file in sorted(root.resolve().glob("*/workload.toml"))
    ]
    return {file.parent.name: _read(file) for file in files}


def workload(name: str, own: Path | None = None) -> Workload:
    """Return a workload; UsageError with the names that there are."""
    there = workloads(own)
    if name not in there:
        raise UsageError(f"there is no workload {name!r}; choose from {', '.join(sorted(there))}")
    return there[name]


def _read(file: Path) -> Workload:
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        said["inputs"] = tuple(said.get("inputs", ("numpy",)))
        return Workload(file.parent.name, file.parent, **said)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{file}: {error}; it needs a title and an entry, as workloads/side_effects has") from error
