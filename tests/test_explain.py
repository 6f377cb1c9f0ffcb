"""Logs of builds that failed: each shows its own signature, and none shows what only follows or is noise."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from toolkit import explain
from toolkit.explain.buildkit import telling
from toolkit.explain.lines import Line, lines
from toolkit.explain.table import table
from toolkit.images.failures import KIT, failure
from toolkit.images.variants import variant

LOGS = Path(__file__).parent / "logs/build"
EXPECTED: dict[str, dict[str, str | None]] = json.loads((LOGS / "expected.json").read_text(encoding="utf-8"))
KNOWN = [name for name, row in EXPECTED.items() if row["signature"]]
SIGNATURES = table().signatures


def text(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8").splitlines()


def root(log: Iterable[str]) -> str | None:
    """Return the name of the signature that a build's log shows first."""
    return next((each.signature.name for each in explain.shown(telling(lines(log)))), None)


def test_kits_own_steps_are_of_signatures_that_there_are() -> None:
    assert KIT.keys() <= {each.name for each in SIGNATURES}


def test_every_log_is_expected_and_every_cited_one_is_there() -> None:
    assert {file.stem for file in LOGS.glob("*.log")} == EXPECTED.keys()
    for each in SIGNATURES:
        of_source = each.source.partition("tests/logs/build")[2]
        for cited in re.findall(r"[\w.*-]+\.log", of_source):
            showing = {file.stem for file in LOGS.glob(cited)}
            assert any(EXPECTED[name]["signature"] == each.name for name in showing), (each.name, cited)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_log_gives_its_fault_with_the_lines_that_say_so(name: str) -> None:
    file = LOGS / f"{name}.log"
    found = failure(variant("cpu"), file)
    assert (found.id, root(text(name))) == (EXPECTED[name]["fault"], EXPECTED[name]["signature"])
    assert found.evidence
    assert found.fix
    for each in found.evidence:
        where, number = each.where.rsplit(":", 1)
        assert where == str(file)
        start = each.what.split()[0]
        assert start in text(name)[int(number) - 1], "the evidence is not what that line says"


@pytest.mark.parametrize("name", KNOWN)
def test_noise_of_other_steps_changes_nothing(name: str) -> None:
    """What a step that succeeded printed, retried or not, is not why the build failed."""
    others = [each.example for each in SIGNATURES if each.name != EXPECTED[name]["signature"]]
    noise = [
        f"#9{number} 1.{number} {re.sub(r'^(#[0-9]+ )?([0-9.]+ )?', '', line)}" for number, line in enumerate(others)
    ]
    assert root([*noise, *text(name)]) == EXPECTED[name]["signature"]
    interleaved = [line for pair in zip(text(name), noise * len(text(name)), strict=False) for line in pair]
    assert root(interleaved) == EXPECTED[name]["signature"]


@pytest.mark.parametrize("name", KNOWN)
def test_other_times_steps_and_colours_change_nothing(name: str) -> None:
    changed = [re.sub(r"^#(\d+) (\d+\.\d+ )?", _later, line) for line in text(name)]
    assert root(changed) == EXPECTED[name]["signature"]
    assert root(f"\x1b[31m{line}\x1b[0m\r" for line in text(name)) == EXPECTED[name]["signature"]


def _later(prefix: re.Match[str]) -> str:
    return f"#{int(prefix[1]) + 100} " + (f"{float(prefix[2]) + 1000:.3f} " if prefix[2] else "")


@pytest.mark.parametrize("name", KNOWN)
def test_a_log_that_is_cut_short_still_tells(name: str) -> None:
    """Without its beginning, and without BuildKit's repetition at its end."""
    log = text(name)
    first = explain.shown(telling(lines(log)))[0].lines[0].number
    assert root(log[first - 1 :]) == EXPECTED[name]["signature"]
    end = log.index("------") if "------" in log else len(log)
    if first <= end:
        assert root(log[:end]) == EXPECTED[name]["signature"]


def test_what_follows_is_not_the_cause() -> None:
    log = text("no-network-apt")
    assert any("Unable to locate package" in line for line in log)
    assert [each.signature.name for each in explain.shown(telling(lines(log)))] == ["name-not-resolved"]
    alone = [line for line in log if "Temporary failure" not in line]
    assert root(alone) == "apt-lacks-package"


def test_a_build_that_succeeds_shows_nothing() -> None:
    steps = [line for line in text("disk-full-uv") if line.startswith(("#0", "#1", "#2", "#3", "#6"))]
    assert len(steps) > 5
    assert explain.shown(lines(steps)) == ()


def test_sentences_that_uv_wrapped_are_one_line() -> None:
    log = [
        "#7 0.604   × No solution found when resolving dependencies:",  # noqa: RUF001
        "#7 0.604   ╰─▶ Because tensorflow-cpu==2.11.1 has no wheels with a matching",
        "#9 0.605       of another step",
        "#7 0.604       Python ABI tag and you require tensorflow-cpu==2.11.1",
        "#7 0.604 ",
    ]
    assert list(lines([log[0], log[1], log[3], log[4]])) == [
        Line(1, log[0][9:], 7, 0.604),
        Line(2, f"{log[1][9:]} {log[3][15:]}", 7, 0.604),
        Line(4, "", 7, 0.604),
    ]
    assert f"{log[1][9:]} {log[3][15:]}" in [line.text for line in lines([*log[:3], "#7 ...", *log[3:]])]


def test_hostile_input_neither_hangs_nor_grows() -> None:
    def hostile() -> Iterator[str]:
        yield "x" * 50_000_000
        yield "#1 0.1   ╰─▶ Because"
        yield from ("#1 0.1       " + "and " * 100 for _ in range(20_000))
        yield "certificate " * 1_000_000
        yield "\0\x1b[" * 100_000

    began = time.perf_counter()
    assert explain.shown(lines(hostile())) == ()
    assert max(len(line.text) for line in lines(list(hostile())[1:20_002])) < 10_000
    assert time.perf_counter() - began < 20
