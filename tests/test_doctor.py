"""How the doctor asks a live machine: hanging questions, the caller's folder, the newest lines."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from toolkit import chain, doctor
from toolkit.facts import Facts
from toolkit.host import Host, live
from toolkit.model import Absent, Answer, Value


@pytest.mark.parametrize("hanging", ["list:/etc/cdi", "file:/proc/modules", "list:/sys/bus/pci/devices"])
@pytest.mark.parametrize("quick", [False, True])
def test_a_question_that_hangs_is_a_finding_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch, hanging: str, quick: bool
) -> None:
    monkeypatch.setattr(doctor, "HOST_SECONDS", 0.3)
    never = threading.Event()

    def answer(key: str) -> Answer:
        if key == hanging:
            never.wait()
        if key == "docker:info":
            return Value({"ServerVersion": "26.1.5", "CDISpecDirs": ["/etc/cdi"]})
        return Absent()

    diagnosis = chain.diagnose(Facts(doctor._asked(Host(answer), quick=quick)))
    asked = not (quick and hanging == "list:/etc/cdi")
    assert ("probe-timed-out" in [found.id for found in diagnosis.findings]) == asked
    if asked:
        (found,) = (found for found in diagnosis.findings if found.id == "probe-timed-out")
        assert hanging in [each.where for each in found.evidence]
    never.set()


@pytest.mark.parametrize("program", ["nvml", "cuda"])
def test_files_of_the_callers_folder_are_not_imported(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "pynvml.py", "ctypes.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the caller')")
    monkeypatch.chdir(tmp_path)
    assert isinstance(live.driver_program(program), Value)


def test_long_output_keeps_its_newest_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old line\n" * 200_000 + "NVRM: Xid newest\n")
    answer = live.run(f"cat {tmp_path}/log")
    assert isinstance(answer, Value)
    assert answer.data["stdout"].endswith("NVRM: Xid newest\n")


def test_nothing_known_is_not_healthy(tmp_path: Path) -> None:
    from tests.test_cli import kit

    empty = tmp_path / "empty.json"
    empty.write_text('{"schema": "kit.capture/1", "answers": {}}')
    done = kit("doctor", "--replay", str(empty))
    assert done.returncode == 3
    assert "has its GPUs" not in done.stdout
    assert "Not known to be well" in done.stdout
