"""Captured and composed machines (tests/hosts) get the diagnosis that stands in them, and damaged ones a sound result."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from toolkit import chain, checks, facts, faults
from toolkit.host import Host, capture, from_json
from toolkit.model import RUNGS, KitError, NotAsked

HOSTS = sorted((Path(__file__).parent / "hosts").glob("*.json"))


def machine(answers: dict[str, Any]) -> Host:
    return Host(lambda key: from_json(answers[key]) if key in answers else NotAsked("not in this capture"))


@pytest.mark.parametrize("file", HOSTS, ids=lambda file: file.stem)
def test_machine_gets_its_diagnosis(file: Path) -> None:
    document = capture.read(file)
    expect = document["expect"]
    diagnosis = chain.diagnose(facts.collect(capture.replay(file)))
    assert diagnosis.root_cause == expect["root_cause"]
    assert [found.id for found in diagnosis.findings] == expect["findings"]
    counts = {rung.rung: rung.gpus for rung in diagnosis.chain}
    assert {rung: counts[rung] for rung in expect["gpus"]} == expect["gpus"]
    assert not [check for check in diagnosis.checks if check.status == "crashed"]


@pytest.mark.parametrize("file", HOSTS, ids=lambda file: file.stem)
def test_findings_say_why_and_what_to_do(file: Path) -> None:
    for found in chain.diagnose(facts.collect(capture.replay(file))).findings:
        assert found.id in faults.vocabulary()
        assert found.cause
        assert found.fix
        assert found.evidence


def damaged(data: Any, rng: random.Random, junk: list[Any]) -> Any:
    """Return an answer with one of its leaves, at any depth, taken away or replaced."""
    if isinstance(data, dict) and data and rng.random() < 0.8:
        key = rng.choice(sorted(data, key=str))
        if rng.random() < 0.2:
            return {name: value for name, value in data.items() if name != key}
        return {**data, key: damaged(data[key], rng, junk)}
    if isinstance(data, list) and data and rng.random() < 0.8:
        place = rng.randrange(len(data))
        return [*data[:place], damaged(data[place], rng, junk), *data[place + 1 :]]
    return rng.choice(junk)


@pytest.mark.parametrize("file", HOSTS, ids=lambda file: file.stem)
def test_damaged_captures_never_crash(file: Path, tmp_path: Path) -> None:
    text = json.dumps(capture.read(file))
    document = json.loads(text)
    rng = random.Random(file.stem)
    junk: list[Any] = [None, 7, "", "\x00\xff" * 50, [], {}, [[1]], {"value": {"x": [None]}}, "9" * 100_000, True]
    for _ in range(15):
        answers = dict(document["answers"])
        for key in rng.sample(sorted(answers), k=rng.randint(1, 4)):
            choice = rng.random()
            if choice < 0.3:
                del answers[key]
            elif choice < 0.8:
                answers[key] = {"value": rng.choice(junk)}
            else:
                answers[key] = rng.choice(junk)
        for key in rng.sample(sorted(answers), k=2):
            answers[key] = damaged(answers[key], rng, junk)
        diagnosis = chain.diagnose(facts.collect(machine(answers)))
        assert len(diagnosis.chain) == 9
        assert not [check for check in diagnosis.checks if check.status == "crashed"], diagnosis.checks
    for _ in range(10):
        cut = tmp_path / "cut.json"
        cut.write_text(text[: rng.randrange(len(text))])
        with pytest.raises(KitError):
            capture.read(cut)


def test_every_check_has_a_title_and_an_id_of_its_own() -> None:
    every = [check for rule in checks.rules() for check in rule.checks]
    assert len({checks.check_id(check) for check in every}) == len(every)
    assert all(checks.title(check) for check in every)


def test_every_rung_has_a_check() -> None:
    assert [rule.rung for rule in checks.rules() if rule.checks] == list(RUNGS)


def test_a_question_that_a_capture_was_not_asked_is_unknown_not_absent() -> None:
    diagnosis = chain.diagnose(facts.collect(machine({})))
    assert {rung.status for rung in diagnosis.chain} <= {"unknown", "skipped"}
    assert diagnosis.root_cause is None
    assert {check.status for check in diagnosis.checks} == {"skipped"}


def test_a_crashed_check_is_a_result() -> None:
    def broken(_: Any) -> None:
        """Breaks"""
        raise ZeroDivisionError("by zero")

    result, found = chain._check(broken, facts.collect(machine({})), blocked_by=None)
    assert (result.status, result.reason, found) == ("crashed", "ZeroDivisionError: by zero", [])


def test_redaction_keeps_relations_and_nothing_personal() -> None:
    one, two = "GPU-5a100000-0000-4000-8000-000000000001", "GPU-5a100000-0000-4000-8000-000000000002"
    answers = {
        "a": {"value": f"{one} {two} /home/alice/x 02:fc:00:00:00:01 tcp://10.1.2.3:2375 C:\\Users\\Alice\\x 12.5.3.2"},
        "b": {"value": one},
        "env:AWS_SECRET_ACCESS_KEY": {"value": "hunter2"},
        "env:CUDA_VISIBLE_DEVICES": {"value": "0,1"},
        "process:7": {"value": {"user": "alice", "command": "python", "seconds": 3}},
        "process:8": {"value": {"user": "root", "command": "alice-daemon", "seconds": 3}},
    }
    red = capture.redacted({"answers": answers})["answers"]
    first, second, *rest = red["a"]["value"].split()
    assert red["b"]["value"] == first != second
    assert rest == ["/home/user/x", "00:00:00:00:00:00", "tcp://remote", "C:\\Users\\user\\x", "12.5.3.2"]
    assert red["env:CUDA_VISIBLE_DEVICES"]["value"] == "0,1"
    assert red["process:8"]["value"]["user"] == "root"
    assert not [word for word in ("hunter2", "5a100000", "Alice") if word in json.dumps(red)]
    assert red["process:7"]["value"] == {"user": "user", "command": "python", "seconds": 3}


def test_a_capture_replays_as_it_was_live(tmp_path: Path) -> None:
    live = capture.replay(HOSTS[0])
    before = chain.diagnose(facts.collect(live))
    capture.write(live, tmp_path / "again.json")
    after = chain.diagnose(facts.collect(capture.replay(tmp_path / "again.json")))
    assert (before.chain, before.findings, before.root_cause) == (after.chain, after.findings, after.root_cause)
