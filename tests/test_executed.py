"""A container that the engine refuses: a failed run where its reason is known, else kit's own error, and the folder closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import explain, records
from toolkit.engine.docker import RefusedError
from toolkit.engine.plan import Exit, OnLine
from toolkit.executed import NOT_STARTED, executed
from toolkit.explain.lines import lines


def refused(reason: str, folder: records.RunFolder, log: list[str]) -> Exit | None:
    def process(_: OnLine) -> Exit:
        raise RefusedError(f"the engine refused the container: {reason}")

    return executed(process, folder, lambda _, line: log.append(line))


def test_a_known_reason_is_how_the_run_failed(tmp_path: Path) -> None:
    log: list[str] = []
    folder = records.new_run("x", tmp_path)
    ended = refused("unresolvable CDI devices nvidia.com/gpu=all", folder, log)
    folder.close({"schema": "kit.run/1"})
    assert ended == Exit(NOT_STARTED, out_of_memory=False)
    found = explain.why(lines(log), "log.txt")
    assert found
    assert found.id == "cdi-not-set-up"


def test_any_other_reason_is_raised_and_the_folder_closed(tmp_path: Path) -> None:
    folder = records.new_run("x", tmp_path)
    with pytest.raises(RefusedError, match="no reason that kit knows"):
        refused("no reason that kit knows", folder, [])
    told = records.read_json(folder.path / "result.json")
    assert told
    assert (told["status"], folder.log.closed) == ("failed", True)
