"""The catalogue of logs: each example gets its own cause first, however times, addresses, paths, noise and cuts change it."""

from __future__ import annotations

import io
import itertools
import json
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.explained import answer
from toolkit import explain, faults, scenarios
from toolkit.doctor import examine
from toolkit.explain.lines import lines
from toolkit.explain.reading import blocks
from toolkit.explain.search import of_lines
from toolkit.explain.table import HARMLESS, NOT_OURS, table
from toolkit.model import Explanation, Finding

FOLDER = Path(__file__).parent / "logs/examples"
ROWS: list[dict[str, Any]] = [
    json.loads(row) for file in sorted(FOLDER.glob("*.jsonl")) for row in file.read_text(encoding="utf-8").splitlines()
]
REPORTS = [json.loads(row) for row in (FOLDER.parent / "reports.jsonl").read_text(encoding="utf-8").splitlines()]
NAMES = {each.name: each for each in table().signatures}
CAUSES = {HARMLESS: "none", NOT_OURS: "unknown"}


def name(row: dict[str, Any]) -> str:
    return f"{row['signature']}-{ROWS.index(row)}"


@cache
def found_on(machine: str) -> tuple[Finding, ...]:
    return examine(scenarios.file(machine)).findings


def explained(log: str, machine: str | None = None) -> Explanation:
    return explain.explain(blocks(io.BytesIO(log.encode())), "log", found_on(machine) if machine else ())


def first(log: str) -> str | None:
    """Return the name of the signature that a log shows first; of a harmless one only where there is no other."""
    shown = sorted(explain.every(blocks(io.BytesIO(log.encode()))), key=lambda each: each.fault == HARMLESS)
    return shown[0].signature.name if shown else None


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_table_is_sound() -> None:
    known = {*faults.vocabulary(), *NAMES}
    assert len(NAMES) == len(table().signatures)
    for each in NAMES.values():
        assert {cause.fault for cause in each.causes} <= faults.vocabulary().keys(), each.name
        assert each.consequence_of <= known - {each.name, each.fault}, each.name
        assert 1 <= each.specificity <= 5, each.name
        assert each.source, each.name
        assert len(each.causes) == 1 or all(cause.tell for cause in each.causes), each.name


def test_no_two_rows_make_each_other_a_consequence() -> None:
    def follows(one: explain.Signature, other: explain.Signature) -> bool:
        return bool(one.consequence_of & ({other.name, other.fault} - {one.name, one.fault}))

    pairs = itertools.combinations(NAMES.values(), 2)
    assert [(one.name, other.name) for one, other in pairs if follows(one, other) and follows(other, one)] == []


def test_there_are_many_examples_and_each_says_where_it_is_from() -> None:
    assert len(ROWS) >= 400
    assert len({row["log"] for row in ROWS}) == len(ROWS)
    assert all(row["source"] for row in ROWS)
    assert {row["signature"] for row in ROWS} <= NAMES.keys()
    assert len({row["cause"] for row in ROWS}) >= 60


@pytest.mark.parametrize("each", NAMES.values(), ids=NAMES)
def test_the_example_of_a_row_shows_it(each: explain.Signature) -> None:
    shown = explain.every(of_lines(lines(each.example.splitlines())))
    assert [found.signature.name for found in shown][:1] == [each.name]


# --- the examples: none is stolen by another id ---------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_an_example_gets_its_cause_by_its_own_signature_and_what_it_says_is_in_it(row: dict[str, Any]) -> None:
    assert answer(row["log"]) == row["cause"]
    assert first(row["log"]) == row["signature"]
    lines = row["log"].splitlines()
    for found in explained(row["log"]).findings:
        assert found.evidence
        for each in found.evidence:
            assert each.what in lines[int(each.where.removeprefix("log:")) - 1]


@pytest.mark.parametrize("row", REPORTS, ids=lambda row: row["id"])
def test_a_report_gets_the_cause_that_its_thread_found(row: dict[str, Any]) -> None:
    """By its text alone; where a text has several causes, with the facts of a machine that has the thread's."""
    assert (answer(row["log"]) == row["cause"]) == ("capture" not in row)
    if "capture" in row:
        found = explained(row["log"], row["capture"]).findings
        assert [each.id for each in found] == [row["cause"]]


# Texts of which only the machine tells the cause: what is first with each machine of the library.
DECIDED = {
    'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].': {
        "toolkit-not-installed": "nvidia-runtime-not-installed",
        "no-gpu-vm": "no-nvidia-gpu",
        "snap-docker": "snap-docker",
        "docker-desktop-linux": "docker-desktop-linux-gpu",
    },
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.": {
        "driver-not-installed": "driver-not-loaded",
        "kernel-updated-without-headers": "kernel-module-not-built",
        "nouveau": "nouveau-active",
        "secure-boot-refuses-module": "secure-boot-blocks-module",
    },
    "Failed to initialize NVML: Unknown Error": {
        "container-cgroup-denies": "cgroup-devices-lost",
        "rootful-without-cgroups": "no-cgroups-setting-wrong",
    },
    "E tensorflow/stream_executor/cuda/cuda_driver.cc:318] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected": {
        "hidden-in-container": "cuda-visible-devices-hides-gpu",
        "container-without-nodes": "gpus-flag-missing",
    },
    "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory": {
        "utility-only": "driver-capabilities-missing",
        "container-without-nodes": "gpus-flag-missing",
    },
}


@pytest.mark.parametrize(
    ("log", "machine", "cause"), [(log, *decided) for log, machines in DECIDED.items() for decided in machines.items()]
)
def test_the_facts_of_the_machine_decide(log: str, machine: str, cause: str) -> None:
    undecided = explained(log)
    assert len(undecided.findings) > 1
    assert all("It is this one where" in found.cause for found in undecided.findings)
    found, *others = explained(log, machine).findings
    assert (found.id, others) == (cause, [])
    assert "This machine shows it" in found.cause
    assert found.fix == next(each.fix for each in found_on(machine) if each.id == cause)


# --- changed ones ---------------------------------------------------------------------------------------------------

# Lines that mean nothing, without those beside them that tell of a machine.
NOISE = [
    [each.what for found in explained(row["log"]).findings for each in found.evidence if "host" not in each.what]
    for row in ROWS
    if row["cause"] == "none"
]


def _times(log: str, draw: random.Random) -> str:
    def other(found: re.Match[str]) -> str:
        return re.sub(r"\d", lambda _: str(draw.randrange(10)), found[0])

    return re.sub(r"\b\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?|\b1[67]\d{8}\.\d+|\[ *\d+\.\d{6}\]", other, log)


def _addresses(log: str, draw: random.Random) -> str:
    return re.sub(r"0x[0-9a-f]{5,}", lambda _: hex(draw.getrandbits(44)), log)


def _paths(log: str, draw: random.Random) -> str:
    home = draw.choice(["/data/users/ada", "/opt/lab", "/srv/course"])
    return re.sub(r"/home/\w+|/root(?=/)|/opt/venv", home, log)


def _line_numbers(log: str, draw: random.Random) -> str:
    return re.sub(r"(\.(?:cc|h|py|go|c):)\d+", lambda found: f"{found[1]}{draw.randrange(9000)}", log)


def _prefixed(log: str, draw: random.Random) -> str:
    prefix = draw.choice(["train-1  | ", "2024-05-01T10:00:00.123456789Z stderr F ", "May 01 10:00:00 lab7 app[812]: "])
    return "\n".join(prefix + line for line in log.splitlines())


def _coloured(log: str, draw: random.Random) -> str:
    return "\n".join(f"\x1b[{draw.randrange(30, 38)}m{line}\x1b[0m\r" for line in log.splitlines())


def _noise_before(log: str, draw: random.Random) -> str:
    return "\n".join([*draw.choice(NOISE), log])


def _noise_after(log: str, draw: random.Random) -> str:
    return "\n".join([log, *draw.choice(NOISE)])


def _long(log: str, draw: random.Random) -> str:
    steps = [f"{step}/210 [=======>......] - ETA: 1s - loss: {draw.random():.4f}" for step in range(2_000)]
    return "\n".join([*steps, log, *steps])


CHANGES: list[Callable[[str, random.Random], str]] = [
    _times,
    _addresses,
    _paths,
    _line_numbers,
    _prefixed,
    _coloured,
    _noise_before,
    _noise_after,
    _long,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_what_does_not_matter_changes_nothing(change: Callable[[str, random.Random], str]) -> None:
    wrong = [
        (name(row), found)
        for row in ROWS
        if row["cause"] != "none" or "noise" not in change.__name__
        if (found := answer(change(row["log"], random.Random(row["log"])))) != row["cause"]
    ]
    assert wrong == []


def _noise_between(lines: list[str], draw: random.Random) -> list[str]:
    return [part for line in lines for part in (f"step {draw.random()}: loss 0.1", line)]


def _another_order(lines: list[str], draw: random.Random) -> list[str]:
    draw.shuffle(lines)
    return lines


@pytest.mark.parametrize("change", [_noise_between, _another_order], ids=lambda change: change.__name__.strip("_"))
def test_where_the_lines_stand_changes_nothing(change: Callable[[list[str], random.Random], list[str]]) -> None:
    """Where one message is of several lines they stay together."""
    wrong = []
    for row in ROWS:
        lines = change(row["log"].splitlines(), random.Random(row["log"]))
        if not _over_lines(row) and (found := answer("\n".join(lines))) != row["cause"]:
            wrong.append((name(row), found))
    assert wrong == []


def test_a_log_that_is_cut_still_tells() -> None:
    """At either end, as long as the lines stay that decided."""
    wrong = []
    for row in ROWS:
        signature = NAMES[row["signature"]]
        if signature.needs or any(cause.needs for cause in signature.causes) or _over_lines(row):
            continue  # another line decides too
        lines = row["log"].splitlines()
        numbers = [int(each.where.removeprefix("log:")) for each in explained(row["log"]).findings[0].evidence]
        cuts = (lines[min(numbers) - 1 :], lines[: max(numbers)], lines[min(numbers) - 1 : max(numbers)])
        answers = {answer("\n".join(cut)) for cut in cuts}
        if answers != {row["cause"]}:
            wrong.append((name(row), answers))
    assert wrong == []


def _over_lines(row: dict[str, Any]) -> bool:
    """Return whether no single line of an example shows its signature."""
    return not any(first(line) == row["signature"] for line in row["log"].splitlines())


# --- anything at all ------------------------------------------------------------------------------------------------

PIECES = st.sampled_from([line for row in ROWS for line in row["log"].splitlines()] or ["x"])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(PIECES, st.text(max_size=80), st.binary(max_size=80)), max_size=30),
    st.binary(max_size=4).filter(lambda head: head[:2] != b"\x1f\x8b"),
)
def test_any_input_gets_a_verdict(pieces: list[str | bytes], head: bytes) -> None:
    log = head + b"\n".join(piece.encode(errors="replace") if isinstance(piece, str) else piece for piece in pieces)
    record = explain.explain(blocks(io.BytesIO(log)), "log")
    assert record.verdict in {"fault", "benign", "unknown"}
    assert record.findings or record.verdict == "benign"
    for found in record.findings:
        assert found.id in faults.vocabulary()
        assert found.evidence


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_a_piece_of_an_example_never_shows_more_than_its_patterns_say(seed: int, data: st.DataObject) -> None:
    """What was cut anywhere, in the middle of a line too, names a fault only with a line of the piece as evidence."""
    log = ROWS[seed % len(ROWS)]["log"]
    begin, end = sorted((data.draw(st.integers(0, len(log))), data.draw(st.integers(0, len(log)))))
    piece = log[begin:end]
    for found in explained(piece).findings:
        assert all(each.what in piece for each in found.evidence)
