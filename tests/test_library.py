"""The library of machines as a whole: coverage of the vocabulary, two faults at once, views that fit."""

from __future__ import annotations

import io
import itertools
import subprocess
from functools import cache
from typing import Any

import pytest
from rich.console import Console

from toolkit import chain, doctor, pages, scenarios
from toolkit.facts import Facts
from toolkit.faults import vocabulary
from toolkit.host import Host, capture, from_json
from toolkit.model import RUNGS, NotAsked
from toolkit.show import doctor as view
from toolkit.show import script

# Faults that a log alone shows: they belong to one program's run, not to the state of a machine.
ONLY_A_LOG_SHOWS = {fault for fault, words in vocabulary().items() if words.get("shown_by") == "log"}
BASE = "server-2x-a100"


@cache
def broken_rung(name: str) -> int | None:
    diagnosis = chain.diagnose(Facts(capture.replay(scenarios.file(name))))
    return next((RUNGS.index(rung.rung) for rung in diagnosis.chain if rung.status == "broken"), None)


def test_every_fault_has_a_machine_or_is_only_shown_by_a_log() -> None:
    shown = set(pages._shown())
    assert vocabulary().keys() - shown - ONLY_A_LOG_SHOWS == set(), "give each a machine in tests/hosts"
    assert shown & ONLY_A_LOG_SHOWS == set(), "these have a machine by now"


def test_every_machine_says_what_it_is() -> None:
    titles = [scenarios.read(name)["title"] for name in scenarios.names()]
    assert len(set(titles)) == len(titles) >= 60


COMPOSABLE = [name for name in scenarios.names() if capture.extends(scenarios.file(name)) == f"{BASE}.json"]
FAULTY = [name for name in COMPOSABLE if broken_rung(name) is not None]


@cache
def read_below(name: str) -> frozenset[str]:
    """Return the questions that judging a machine up to its broken rung asks."""
    host = capture.replay(scenarios.file(name))
    chain.diagnose(Facts(host), RUNGS[: (broken_rung(name) or 0) + 1])
    return frozenset(host.answers)


def composed(lower: str, upper: str) -> Host:
    """Return a machine with the lower one's fault, and above its broken rung what the upper one has there."""
    own = capture.own_answers(scenarios.file(upper))
    above = {key: answer for key, answer in own.items() if key not in read_below(lower)}
    answers: dict[str, Any] = {**scenarios.read(BASE)["answers"], **above, **capture.own_answers(scenarios.file(lower))}
    return Host(lambda key: from_json(answers[key]) if key in answers else NotAsked("not in this capture"))


@pytest.mark.parametrize("number", range(len(FAULTY)), ids=FAULTY)
def test_of_two_faults_the_lower_one_is_the_root(number: int) -> None:
    lower = FAULTY[number]
    expected = scenarios.read(lower)["expect"]["root_cause"]
    for upper in FAULTY[number % 4 :: 4]:  # every fourth, others for the next one
        if (broken_rung(lower) or 0) < (broken_rung(upper) or 0):
            assert chain.diagnose(Facts(composed(lower, upper))).root_cause == expected, upper


def test_two_faults_of_separate_answers_are_both_as_they_stand() -> None:
    pairs = 0
    own = {name: capture.own_answers(scenarios.file(name)) for name in FAULTY}
    rung = {name: broken_rung(name) or 0 for name in FAULTY}
    base = scenarios.read(BASE)["answers"]
    for lower, upper in itertools.permutations(FAULTY, 2):
        below, above = own[lower], own[upper]
        if rung[lower] >= rung[upper] or below.keys() & above.keys():
            continue
        pairs += 1
        answers: dict[str, Any] = {**base, **below, **above}
        host = Host(lambda key, of=answers: from_json(of[key]) if key in of else NotAsked("not in this capture"))
        assert chain.diagnose(Facts(host)).root_cause == scenarios.read(lower)["expect"]["root_cause"], (lower, upper)
    assert pairs > 300


@pytest.mark.parametrize("name", scenarios.names())
def test_view_fits_in_forty_lines_and_script_is_sound(name: str) -> None:
    diagnosis = doctor.examine(replay=scenarios.file(name))
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(view.diagnosis(diagnosis, verbose=False))
    assert len(console.export_text().splitlines()) <= 40
    text = script.text(diagnosis)
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, (checked.stderr, text)
    assert "set -euo pipefail" in text


def test_pages_are_there_for_every_fault() -> None:
    for fault in itertools.islice(vocabulary(), 200):
        page = pages.page(fault)
        assert page.title
        assert page.fixes
        assert (page.example is None) == (fault in ONLY_A_LOG_SHOWS)
