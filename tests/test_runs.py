"""kit runs: which runs there are, one of them by its name, what differs between two, and what is removed."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import math
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.test_cli import KIT, kit
from toolkit import paths, records
from toolkit.model import UsageError
from toolkit.runs import folders, tensorboard, training
from toolkit.runs.compare import Comparison, compare
from toolkit.show import run as run_view
from toolkit.show import runs as view
from toolkit.workloads import again

RECORDED = Path(__file__).parent / "runs"
WELL = "20261124-181949-side_effects-e9a0"
SHORT = "20261124-182317-side_effects-ace2"
FAILED = "20261124-182329-side_effects-2ac2"
INTERRUPTED = "20261124-182336-side_effects-4bdb"
KILLED = "20261124-182342-side_effects-0b39"
BEST = 0.952


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give kit's own folder of runs, with the recorded ones in it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shutil.copytree(RECORDED, paths.runs())
    return paths.runs()


# --- which there are -------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_whatever_became_of_them() -> None:
    assert [(run.folder.name, run.status) for run in folders.runs(RECORDED)] == [
        (KILLED, "unfinished"),
        (INTERRUPTED, "interrupted"),
        (FAILED, "failed"),
        (SHORT, "succeeded"),
        (WELL, "succeeded"),
    ]


def test_there_may_be_no_runs(tmp_path: Path) -> None:
    assert folders.runs(tmp_path / "none") == []
    with pytest.raises(UsageError, match="kit run workload makes one"):
        folders.find("last", tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (WELL, WELL),
        ("20261124-1819", WELL),
        ("last", KILLED),
        (str(RECORDED / SHORT), SHORT),
        (str(RECORDED / "nowhere" / ".." / SHORT) + "/", SHORT),
    ],
)
def test_a_run_by_its_name(name: str, found: str) -> None:
    assert folders.find(name, RECORDED) == RECORDED / found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("20261124-18", f"5 runs begin with 20261124-18: {KILLED}, {INTERRUPTED}"),
        ("2025", f"no run is or begins with '2025'; there are {KILLED}"),
        ("", "no run is or begins with ''"),
        ("/", "/ is no run folder"),
        (str(RECORDED), "is no run folder"),
        (str(RECORDED.parent), "is no run folder"),
    ],
)
def test_a_name_that_means_no_run_or_several(name: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        folders.find(name, RECORDED)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("20260101-000000-mine-beef", {}),
        ("20260101-000000-mine-beef", {"events.jsonl": "Dear diary,\n"}),
        ("project", {"events.jsonl": '{"event": "started", "time": 1}\n'}),
        ("20260101-000000-mine-beef", {"result.json": '{"schema": "kit.build/1"}'}),
        ("20260101-000000-mine-beef", {"result.json": "[]", "events.jsonl": ""}),
    ],
)
def test_what_looks_like_a_run_folder_and_is_none(tmp_path: Path, name: str, files: dict[str, str]) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    assert not folders.is_run(folder)
    assert folders.runs(tmp_path) == []


def test_of_a_killed_run_the_events_tell(tmp_path: Path) -> None:
    folder = tmp_path / KILLED
    shutil.copytree(RECORDED / KILLED, folder)
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event": "epoch", "ti')  # where the kill cut it off
    run = folders.read(folder)
    assert (run.record.workload, run.record.device, run.record.versions["keras"]) == ("side_effects", "cpu", "3.15.1")
    assert [row["epoch"] for row in training.epochs(folders.events(folder))] == [1, 2, 3, 4]


def test_a_record_of_a_run_that_kit_could_not_go_on_with_is_read(tmp_path: Path) -> None:
    folder = tmp_path / KILLED
    records.write_json(
        folder / "result.json", {"schema": "kit.run/1", "run_id": KILLED, "status": "failed", "error": "no engine"}
    )
    run = folders.read(folder)
    assert (run.status, run.record.workload, run.record.notes) == ("failed", "side_effects", ("no engine",))


def test_a_run_that_goes_on_has_no_record_until_its_end(tmp_path: Path) -> None:
    folder = shutil.copytree(RECORDED / FAILED, tmp_path / FAILED)
    assert folders.read(folder).status == "failed"
    opened = records.reopen(folder)
    opened.events.close()
    opened.log.close()
    assert folders.read(folder).status == "unfinished"


def test_a_repeat_may_go_to_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shutil.copytree(RECORDED / WELL, paths.runs() / WELL)
    assert again.found("last", tmp_path / "new", unfinished=False) == paths.runs() / WELL


def test_the_last_run_may_be_elsewhere(own: Path, tmp_path: Path) -> None:
    assert folders.find("last", paths.runs()).name == KILLED
    made = records.new_run("mine", tmp_path / "there")
    made.close({"schema": "kit.run/1"})
    assert folders.find("last", paths.runs()) == made.path
    assert folders.find("last", own.parent / "runs") == made.path
    later = f"29991231-000000-mine-{made.run_id[-4:]}"
    shutil.copytree(own / WELL, own / later)
    assert folders.find("last", paths.runs()).name == later
    shutil.rmtree(own / later)
    shutil.rmtree(made.path)
    assert folders.find("last", paths.runs()).name == KILLED


def test_a_run_is_repeated_where_it_was(tmp_path: Path) -> None:
    folder = shutil.copytree(RECORDED / WELL, tmp_path / WELL)
    assert (again.workloads(folder), again.engine(folder)) == (None, "auto")
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event": "asked", "workload": "mine", "options": {}, "workloads": "/w", "engine": "local"}\n')
    assert (again.workloads(folder), again.engine(folder)) == (Path("/w"), "local")
    assert "ran on --engine local" in (again.difference(folder, {"Id": "sha256:0"}) or "")
    assert again.difference(folder, None) is None


def test_json_has_no_number_that_is_none(tmp_path: Path) -> None:
    records.write_json(tmp_path / "a.json", {"loss": float("nan"), "all": [1.5, (float("inf"), {"x": True})]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "all": [1.5, [None, {"x": True}]]}


# --- how a training went ---------------------------------------------------------------------------------------------


def test_metrics_csv_keeps_every_bit() -> None:
    events = folders.events(RECORDED / WELL)
    rows = list(csv.DictReader(io.StringIO(training.metrics_csv(events))))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [
        {name: event[name] for name in rows[0]} for event in events if event["event"] == "epoch"
    ]


def test_metrics_csv_of_a_resumed_run_has_each_epoch_once() -> None:
    told = [
        {"event": "epoch", "time": 0, "epoch": n, "epochs": 3, "loss": x, "mae": 1} for n, x in ((1, 5.0), (2, 4.0))
    ]
    again = [{"event": "epoch", "time": 9, "epoch": n, "epochs": 3, "loss": x} for n, x in ((2, 4.5), (3, 3.0))]
    assert training.metrics_csv([*told, *again]).splitlines() == [
        "epoch,loss,accuracy,val_loss,val_accuracy,mae",
        "1,5.0,,,,1",
        "2,4.5,,,,",
        "3,3.0,,,,",
    ]


@pytest.mark.parametrize(
    ("name", "results", "best", "level", "says"),
    [
        (WELL, {}, BEST, "good", "0.952 at best, which 210 samples tell to ±0.029"),
        (WELL, {"val_accuracy": 0.922}, BEST, "fair", "train longer"),
        (WELL, {}, None, None, ""),
        (SHORT, {}, BEST, "fair", "the validation loss still falls"),
        (WELL, {"val_accuracy": 107 / 210}, None, "poor", "answer 0 always (0.510)"),
        (WELL, {"val_loss": math.nan}, BEST, "poor", "diverged"),
        (FAILED, {}, BEST, None, ""),
    ],
)
def test_verdict(name: str, results: dict[str, Any], best: float | None, level: str | None, says: str) -> None:
    record = folders.read(RECORDED / name).record
    changed = replace(record, results={**record.results, **results})
    verdict = training.verdict(changed, training.epochs(folders.events(RECORDED / name)), best)
    assert (verdict and verdict.level) == level
    assert says in (verdict.text if verdict else "")


def test_of_many_classes_the_most_confused_are_shown() -> None:
    matrix = [[5 if i == j else i if j == 0 else 0 for j in range(30)] for i in range(30)]
    assert training.confused(matrix, 2) == [(29, 0, 29), (28, 0, 28)]
    output = Console(width=100, file=io.StringIO(), record=True)
    output.print(run_view.confusion(matrix, [f"c{n}" for n in range(30)]))
    text = output.export_text()
    assert re.search(r"c29 +│ c0 +│ 29", text)
    assert len(text.splitlines()) < 20


def test_events_without_a_time_or_a_number_of_epochs_are_taken() -> None:
    strange = [{"event": "epoch", "epoch": 1, "loss": 0.5}, {"event": "epoch", "epoch": "two", "loss": 0.4}]
    assert tensorboard.events_file(strange)
    assert training.metrics_csv(strange).splitlines()[1:] == ["1,0.5,,,"]
    output = Console(file=io.StringIO())
    with run_view.running(output) as (on_event, _):
        for event in strange:
            on_event(event)


def test_a_validation_loss_that_rises_is_no_reason_to_train_longer() -> None:
    record = folders.read(RECORDED / SHORT).record
    rows = [{"epoch": number + 1, "val_loss": loss} for number, loss in enumerate((0.6, 0.4, 0.5, 0.7))]
    verdict = training.verdict(record, rows, BEST)
    assert verdict
    assert "lowest at epoch 2" in verdict.text


# --- what differs ----------------------------------------------------------------------------------------------------


def compared(a: str, b: str) -> Comparison:
    return compare(*((folders.read(RECORDED / each), folders.events(RECORDED / each)) for each in (a, b)))


def test_compare_tells_what_differs_and_no_more() -> None:
    comparison = compared(WELL, SHORT)
    different = {(each.part, each.name): (each.a, each.b) for each in comparison.differences}
    assert different["results", "epochs"] == (30, 10)
    assert different["results", "boundary of age"] == ([62.74], [40.71])
    assert ("data", "histogram of age") in different
    assert ("speed", "steps_per_second") in different
    assert comparison.same == ("run", "versions", "gpu")
    assert comparison.unknown == ("options",)


def test_a_run_differs_in_nothing_from_itself() -> None:
    comparison = compared(WELL, WELL)
    assert comparison.differences == ()
    assert comparison.unknown == ("options",)  # of which these records tell nothing, so that it is not called the same


def test_compare_sees_versions_gpus_and_options() -> None:
    run, events = folders.read(RECORDED / WELL), folders.events(RECORDED / WELL)
    versions = {**run.record.versions, "keras": "3.14.0"}
    other = replace(
        run, record=replace(run.record, versions=versions, device="gpu", gpus={"host": 2}, options={"seed": 1})
    )
    assert {(each.part, each.name, each.a, each.b) for each in compare((run, events), (other, events)).differences} == {
        ("versions", "keras", "3.15.1", "3.14.0"),
        ("gpu", "device", "cpu", "gpu"),
        ("gpu", "host", 0, 2),
        ("gpu", "container", 0, None),
        ("gpu", "tensorflow", 0, None),
        ("options", "seed", None, 1),
    }


# --- what goes -------------------------------------------------------------------------------------------------------


def test_rm_removes_what_was_agreed_to_and_no_more(own: Path) -> None:
    record = folders.remove((own / WELL, own / SHORT, own / WELL), lambda run, _: run.folder.name == WELL)
    assert record.removed == (WELL,)
    assert list(record.kept) == [SHORT]
    assert record.freed_bytes == folders.size_bytes(RECORDED / WELL)
    assert not (own / WELL).exists()
    assert folders.size_bytes(own / SHORT) == folders.size_bytes(RECORDED / SHORT)


def test_rm_leaves_a_run_that_goes_on(own: Path) -> None:
    folder = records.new_run("side_effects", None)
    fcntl.flock(folder.events, fcntl.LOCK_EX)
    assert folders.read(folder.path).status == "running"
    assert folders.remove((folder.path,), lambda *_: True).kept == {folder.run_id: "it is running; stop it first"}
    folder.events.close()
    folder.log.close()
    assert folders.read(folder.path).status == "unfinished"


def test_tensorboards_file_is_made_of_records_with_their_crcs() -> None:
    told = [
        {"event": "epoch", "time": 1.5, "epoch": 1, "epochs": 2, "loss": 0.5, "val_loss": 0.25, "peak_memory_bytes": 9}
    ]
    content = tensorboard.events_file(told)
    records_ = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        records_.append(content[12 : 12 + length])
        content = content[12 + length + 4 :]
    begin, training, validation = records_
    assert begin == b"\x09" + struct.pack("<d", 1.5) + b"\x1a\x0dbrain.Event:2"
    assert b"loss/training" in training
    assert training.endswith(struct.pack("<f", 0.5))
    assert b"loss/validation" in validation
    # The CRC-32C of 32 zeros is 8a9136aa: https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
    crc = 0x8A9136AA
    assert tensorboard._masked_crc(bytes(32)) == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
    assert tensorboard.events_file([]) == b""


def test_rm_follows_no_link(own: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.tex").write_text("years of work")
    (own / WELL / "mine").symlink_to(tmp_path / "elsewhere")
    link = own / "20270101-000000-side_effects-aaaa"
    link.symlink_to(own / SHORT)
    record = folders.remove((own / WELL, folders.find(str(link), own)), lambda *_: True)
    assert record.removed == (WELL,)
    assert "symbolic link" in record.kept[link.name]
    assert (tmp_path / "elsewhere" / "thesis.tex").exists()
    assert (own / SHORT / "result.json").exists()


@pytest.mark.parametrize(("answer", "code", "stays"), [("y", 0, False), ("n", 1, True), ("", 1, True)])
def test_rm_asks_a_person(own: Path, answer: str, code: int, stays: bool) -> None:
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [KIT, "runs", "rm", SHORT], stdin=theirs, capture_output=True, text=True, check=False, timeout=60
    )
    os.close(ours)
    os.close(theirs)
    assert "Remove it? [y/N]" in done.stderr
    assert (done.returncode, (own / SHORT).exists()) == (code, stays)


# --- what people and scripts see ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "keys"),
    [
        (["list"], 0, ["schema", "runs"]),
        (["show", "last"], 0, ["schema", "run", "record", "epochs"]),
        (["compare", WELL, "20261124-182317"], 0, ["schema", "runs", "differences", "same", "unknown"]),
        (["open", WELL], 0, ["schema", "run_id", "report"]),
        (["rm", SHORT], 1, ["schema", "removed", "kept", "freed_bytes"]),
        (["rm", "--yes", SHORT], 0, ["schema", "removed", "kept", "freed_bytes"]),
        (["rm", "--yes", SHORT, "/"], 2, ["schema", "error"]),
        (["show", "2025"], 2, ["schema", "error"]),
    ],
)
def test_documents(own: Path, arguments: list[str], code: int, keys: list[str]) -> None:
    done = kit("runs", *arguments, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, list(document), document["schema"]) == (code, keys, "kit.runs/1"), done.stderr
    assert len(list(own.iterdir())) == len(list(RECORDED.iterdir())) - (arguments == ["rm", "--yes", SHORT])


def test_the_document_of_the_list_has_these_fields() -> None:
    assert folders.summary(folders.read(RECORDED / WELL)) | {"began": "", "folder": ""} == {
        "run_id": WELL,
        "workload": "side_effects",
        "began": "",
        "engine": "docker",
        "image": "kit/tensorflow:2.21.0-cpu",
        "device": "cpu",
        "accuracy": 0.9238095283508301,
        "status": "succeeded",
        "seconds": 21.83405303955078,
        "folder": "",
    }


def test_open_makes_a_missing_report_and_hands_it_to_the_browser(own: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{tmp_path}/opened\n')
    browser.chmod(0o755)
    assert kit("runs", "open", KILLED, BROWSER=str(browser)).returncode == 0
    report = own / KILLED / "report.html"
    assert (tmp_path / "opened").read_text().strip() == report.as_uri()
    assert "unfinished" in report.read_text()


def printed(renderable: Any, width: int = 110) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_ids_in_the_list_are_whole_to_be_copied() -> None:
    lines = printed(view.listing(folders.runs(RECORDED))).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [KILLED, INTERRUPTED, FAILED, SHORT, WELL]
    assert "0.924" in lines[-1]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (WELL, ["validation accuracy 0.924", "as good as this data allows", "95", "folder"]),
        (FAILED, ["failed", "workload-failed"]),
        (KILLED, ["unfinished", "0.5975"]),
    ],
)
def test_show(name: str, says: list[str]) -> None:
    run, events = folders.read(RECORDED / name), folders.events(RECORDED / name)
    text = printed(view.run(run, events, BEST))
    assert [each for each in says if each not in text] == []
    assert "without a container" not in text


def test_compare_is_read() -> None:
    assert "the same  run, versions, gpu" in printed(view.compared(compared(WELL, SHORT)))
    assert "0.46 times" in printed(view.compared(compared(WELL, SHORT)))
    assert printed(view.compared(compared(WELL, WELL))).startswith(f"{WELL} and {WELL}: the same")


@pytest.mark.parametrize(
    ("values", "curve"),
    [
        ([], ""),
        ([1.0], "▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([7, 0, math.nan, 7], "█▁ █"),
        ([math.inf], " "),
        ([2.0, 2.0], "▁▁"),
    ],
)
def test_sparkline(values: list[float], curve: str) -> None:
    assert run_view.sparkline(values) == curve


def test_a_long_sparkline_keeps_its_width_and_its_end() -> None:
    curve = run_view.sparkline([*[0.0] * 9999, 1.0])
    assert len(curve) <= 24
    assert curve[-1] == "█"


def use(memory_bytes: int, utilization: float) -> dict[str, Any]:
    gpu = {"index": 0, "memory_bytes": memory_bytes, "memory_total_bytes": 80_000_000_000, "utilization": utilization}
    return {"event": "gpu-use", "time": 0, "gpus": [gpu]}


def frames(events: list[dict[str, Any]]) -> Iterator[str]:
    for table in run_view.progressed(events):
        yield printed(table)


def test_the_live_view_draws_curves_and_the_use_of_gpus() -> None:
    told = folders.events(RECORDED / WELL)
    curves, gpus = frames([*told, use(1_000_000_000, 0.1), use(3_100_000_000, 0.93)])
    assert curves.split()[:2] == ["loss", "█▇▆▅▄▃▂▂▂▁▁▁▁▁▁"]
    assert gpus.split() == ["GPU", "0", "▁█", "3.1", "of", "80.0", "GB", "▁█", "93%", "busy"]


def test_a_run_is_shown_live_on_a_terminal() -> None:
    terminal = io.StringIO()
    with run_view.running(Console(force_terminal=True, width=110, file=terminal, highlight=False)) as (on_event, _):
        for event in folders.events(RECORDED / WELL):
            on_event(event)
    assert "Num GPUs Available:  0" in terminal.getvalue()
    assert "dense_1 (Dense)" in terminal.getvalue()
    assert "█▇▆▅▄▃▂▂▂▁▁▁▁▁▁" in terminal.getvalue()
