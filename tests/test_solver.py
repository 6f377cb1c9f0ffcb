"""The solver: questions with their answers, and what must hold of every answer."""

from __future__ import annotations

import json
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from toolkit import compat, scenarios
from toolkit.compat import machine, products, rules, solver, tables
from toolkit.compat.flavour import library_flavour
from toolkit.facts import Facts
from toolkit.host import capture
from toolkit.model import KitError, UsageError, document

QUESTIONS = json.loads((Path(__file__).parent / "compat/questions.json").read_text(encoding="utf-8"))
BEST_LAST = ("no", "unknown", "jit", "native")
LINUX_DRIVERS = [row["linux"] for row in reversed(tables.table("cuda_drivers")["toolkits"])]
CARDS = (
    "GTX 680",
    "K80",
    "GTX 980",
    "GTX 1080",
    "V100",
    "T4",
    "A100",
    "RTX 3090",
    "RTX 4090",
    "H100",
    "B200",
    "RTX 5090",
)


def told(expected: Any, answer: Any) -> Any:
    """Return the part of an answer that an expectation speaks of."""
    if isinstance(expected, dict):
        return {name: told(value, answer[name]) for name, value in expected.items()}
    return answer


@pytest.mark.parametrize("row", QUESTIONS, ids=lambda row: row["why"][:60])
def test_questions(row: dict[str, Any]) -> None:
    answer = document("compat", solver.solve(solver.question(**row["ask"])))
    assert told(row["expect"], answer) == row["expect"]


def test_the_document_is_the_contract() -> None:
    answer = document("compat", solver.solve(solver.question("2.19", "535.104.05", ["RTX 3090"], "3.11", "1.26")))
    assert list(answer) == [
        "schema", "runs", "driver", "code", "compute_capability", "reasons", "tensorflow", "python", "cuda", "cudnn",
        "driver_min", "numpy", "gpu_build", "recommended",
    ]  # fmt: skip
    assert answer["schema"] == "kit.compat/1"
    assert [list(answer[name]) for name in ("code", "python", "driver_min", "numpy", "recommended")] == [
        ["kind", "via"], ["min", "max"], ["full", "minor"], ["range", "allowed"], ["tensorflow", "tensorflow_full", "why"],
    ]  # fmt: skip
    assert all(list(reason) == ["rule", "source"] and all(reason.values()) for reason in answer["reasons"])


@pytest.mark.parametrize(
    "ask",
    [
        {"tensorflow": "banana"}, {"tensorflow": "v2.19"}, {"tensorflow": ""}, {"tensorflow": "2.19.*"},
        {"driver": "five"}, {"driver": "535.104.05-1"}, {"driver": "12.2"}, {"driver": ""}, {"driver": "535.104.05.1"},
        {"python": "3"}, {"python": "py311"}, {"python": "3.x"}, {"numpy": "new"}, {"numpy": ""},
        {"os": "macos"}, {"os": "Linux"}, {"gpus": [""]}, {"gpus": ["A100", " "]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_version_is_wrong_usage(ask: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        solver.question(**ask)


@pytest.mark.parametrize("card", CARDS)
def test_a_newer_driver_never_makes_it_worse_but_where_the_card_is_dropped(card: str) -> None:
    known = products.product(card)
    assert known
    last = known.architecture.last_branch
    drivers = [each for each in LINUX_DRIVERS[::3] if last is None or rules.branch(each) <= last]
    for build in tables.builds():
        answers = [
            BEST_LAST.index(solver.runs(build.tensorflow, solver.question(driver=driver, gpus=[card])))
            for driver in drivers
        ]
        assert all(older <= newer for older, newer in pairwise(answers)), build.tensorflow
    if last is not None:
        dropped = [each for each in LINUX_DRIVERS if rules.branch(each) > last]
        assert all(solver.solve(solver.question(driver=each, gpus=[card])).runs == "no" for each in dropped)


@pytest.mark.parametrize(("card", "os"), [*product(CARDS, solver.SYSTEMS)])
def test_what_is_recommended_runs_and_nothing_newer_runs_better(card: str, os: solver.Os) -> None:
    for driver in (None, *LINUX_DRIVERS[::5]):
        asked = solver.question(driver=driver, gpus=[card], os=os)
        best = solver.recommend(asked)
        answers = {row.tensorflow: row.runs for row in solver.versions(asked)}
        if best.tensorflow is None:
            assert not {"native", "jit"} & set(answers.values())
            continue
        assert answers[best.tensorflow] in ("native", "jit")
        newer = list(answers)[: list(answers).index(best.tensorflow)]
        assert all(BEST_LAST.index(answers[each]) < BEST_LAST.index(answers[best.tensorflow]) for each in newer)
        assert all(row.driver == "full" for row in solver.versions(asked) if row.tensorflow == best.tensorflow_full)


@pytest.mark.parametrize("pair", [("A100", "T4"), ("A100", "GTX 980"), ("RTX 5090", "H100"), ("K80", "RTX 3090")])
def test_two_cards_run_what_each_of_them_runs_at_worst(pair: tuple[str, str]) -> None:
    for build, driver in product(tables.builds(), LINUX_DRIVERS[::4]):
        alone = [solver.runs(build.tensorflow, solver.question(driver=driver, gpus=[card])) for card in pair]
        both = solver.runs(build.tensorflow, solver.question(driver=driver, gpus=pair))
        assert both == min(alone, key=BEST_LAST.index)


def test_every_answer_has_a_reason_that_says_as_much() -> None:
    asked = solver.question("2.21", "590.44.01", ["GTX 1080"], "3.8", "1.19")
    rules = [reason.rule for reason in solver.solve(asked).reasons]
    assert "not 3.8" in rules[0]
    assert "not 1.19" in rules[1]
    assert "branch 580 is the last" in rules[2]


def test_newest_for_picks_among_the_images_that_there_are() -> None:
    asked = solver.question(driver="550.54.15", gpus=["A100", "Tesla M40"])
    assert solver.newest_for(asked, ["2.15.1", "2.21.0", "2.16.2", "2.9"]) == "2.16.2"
    assert solver.newest_for(asked, ["2.21.0"]) is None
    assert solver.newest_for(solver.question(driver="580.95.05", gpus=["RTX 5090"]), ["2.21.0"]) is None  # by JIT alone


def test_judge_tells_why_a_version_is_refused() -> None:
    refused = solver.judge("2.21.0", solver.question(driver="550.54.15", gpus=["Tesla M40"]))
    assert refused.runs == "no"
    assert "nothing of it runs on the Tesla M40 (5.2)" in refused.reasons[0].rule
    assert refused.recommended.tensorflow == "2.16.2"


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        ({"python": "3.14"}, "no TensorFlow of the table has a wheel for Python 3.14"),
        ({"numpy": "1.18"}, "no TensorFlow of the table takes NumPy 1.18"),
        (
            {"python": "3.8", "numpy": "2.1"},
            "no TensorFlow of the table has a wheel for Python 3.8 and takes NumPy 2.1",
        ),
        ({"gpus": ["GH200"]}, "no wheel for Linux on ARM (aarch64) has CUDA; on the CPU: 2.21.0"),
        ({"os": "windows", "python": "3.11"}, "no wheel for Windows that fits has CUDA; on the CPU: 2.21.0"),
        (
            {"gpus": ["H100"], "os": "windows"},
            "no TensorFlow from 2.10.0 to 2.21.0 is known to run on the H100; on the CPU: 2.21.0",
        ),
    ],
)
def test_why_none_is_recommended_speaks_of_what_is_given_alone(ask: dict[str, Any], why: str) -> None:
    best = solver.recommend(solver.question(**ask))
    assert (best.tensorflow, best.why) == (None, why)


@pytest.mark.parametrize(
    ("card", "os", "rule"),
    [
        ("GH200", None, "ARM machines alone have the GH200: its system is linux-aarch64"),
        ("GB10", "linux", "no x86_64 machine has the GB10: its system is linux-aarch64"),
    ],
)
def test_a_card_of_arm_machines_names_their_system_with_its_source(card: str, os: str | None, rule: str) -> None:
    found = [reason for reason in solver.solve(solver.question(gpus=[card], os=os)).reasons if reason.rule == rule]
    assert [reason.source for reason in found] == [tables.arm_source(card)]


@pytest.mark.parametrize(
    ("tensorflow", "cards", "source"),
    [
        ("2.11", ["H100"], "https://docs.nvidia.com/cudnn/developer/forward-compatibility.md"),
        ("2.17", ["RTX 5090"], "https://docs.nvidia.com/cudnn/developer/forward-compatibility.md"),
    ],
)
def test_a_cudnn_that_is_older_than_the_card_is_named_with_its_source(
    tensorflow: str, cards: list[str], source: str
) -> None:
    answer = solver.judge(tensorflow, solver.question(driver="580.95.05", gpus=cards))
    assert answer.runs == "unknown"
    assert any(reason.rule.startswith("cuDNN") and source in reason.source for reason in answer.reasons)


@pytest.mark.parametrize(
    ("cards", "os", "named"),
    [
        (["A100"], "linux", True),
        (["A100", "RTX 3090"], "linux", False),
        (["RTX 3090"], "linux", False),
        (["A100"], "wsl2", False),
    ],
)
def test_forward_compatibility_is_a_way_for_data_centre_cards_alone(cards: list[str], os: str, named: bool) -> None:
    answer = solver.solve(solver.question("2.19", "470.57.02", cards, os=os))
    assert answer.runs == "no"
    assert ("cuda-compat-12-5" in answer.reasons[0].rule) is named


@pytest.mark.parametrize(
    ("tensorflow", "capabilities", "flavour"),
    [
        ("2.21", ["12.0"], "newest"),  # cuDNN 9.3 has no code for it, 9.11 has
        ("2.21", ["6.1"], "tested"),  # cuDNN 9.11 drops it
        ("2.21", ["9.0"], "tested"),
        ("2.21", ["6.1", "12.0"], "tested"),
        ("2.20", ["10.0", "7.5"], "newest"),
        ("2.19", ["12.0"], "tested"),  # pinned: there is no newer one
    ],
)
def test_library_flavour(tensorflow: str, capabilities: list[str], flavour: str) -> None:
    build = compat.build(tensorflow)
    assert build
    assert library_flavour(build, capabilities) == flavour


# --- machines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "os", "driver", "cards", "runs", "tensorflow"),
    [
        ("blackwell-compiled-at-start", "linux", "580.105.08", ["12.0", "12.0"], "jit", "2.21.0"),
        ("one-card-too-old-for-tensorflow", "linux", "550.54.15", ["8.0", "5.2"], "native", "2.16.2"),
        ("driver-too-old-for-cuda", "linux", "470.256.02", ["8.0", "8.0"], "native", "2.14.1"),
        ("blackwell-driver-too-old", "linux", "535.230.02", ["10.0", "10.0"], "no", None),
        ("arm-server", "linux-aarch64", "550.54.15", ["8.0", "8.0"], "no", None),
        ("wsl2-driver-too-old", "wsl2", "516.94", ["8.6", "8.6"], "native", "2.14.1"),
        ("windows-conda", "windows", "531.79", ["8.6"], "native", "2.10.1"),
        ("windows-no-driver", "windows", "", None, "no", "2.10.1"),
        ("windows-no-nvidia", "windows", "", [], "no", "2.21.0"),
        ("no-gpu-physical", "linux", "", [], "no", "2.21.0"),
        ("pascal-open-module", "linux", "", ["6.0", "6.0"], "no", "2.21.0"),
        ("unknown-card-dropped-by-driver", "linux", "", [None, None], "no", None),
    ],
)
def test_machines(
    name: str, os: str, driver: str, cards: list[str | None] | None, runs: str, tensorflow: str | None
) -> None:
    asked = machine.question(Facts(capture.replay(scenarios.file(name))))
    assert (asked.os, asked.driver) == (os, driver)
    assert (None if asked.gpus is None else [card.compute_capability for card in asked.gpus]) == cards
    answer = solver.solve(asked)
    assert (answer.runs, answer.recommended.tensorflow) == (runs, tensorflow)


def test_a_machine_fills_only_what_is_not_given() -> None:
    facts = Facts(capture.replay(scenarios.file("driver-too-old-for-cuda")))
    asked = machine.filled(solver.question("2.19", gpus=["RTX 5090"]), facts)
    assert (asked.tensorflow, asked.driver) == ("2.19", "470.256.02")
    assert [card.name for card in asked.gpus or ()] == ["RTX 5090"]


def test_a_mac_is_told_that_it_has_no_wheels_here() -> None:
    with pytest.raises(KitError, match="macOS"):
        machine.question(Facts(capture.replay(scenarios.file("mac"))))
