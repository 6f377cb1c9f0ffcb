"""The version tables: every row has a source, the look-ups know real cards and versions, and logs are read in NVIDIA's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit import compat
from toolkit.compat import products, rules, tables
from toolkit.facts import kernel
from toolkit.host import Host, from_json
from toolkit.model import NotAsked

TABLES = sorted(Path(compat.__file__).parent.glob("*.json"))


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_every_row_has_a_source(file: Path) -> None:
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    rows = [row for part in table.values() if isinstance(part, list) for row in part]
    assert rows
    assert all(row["source"] for row in rows)


@pytest.mark.parametrize(
    ("device", "product", "generation", "capability"),
    [
        ("20b0", "A100 SXM4 40GB", "Ampere", "8.0"),
        ("1EB8", "Tesla T4", "Turing", "7.5"),
        ("2330", "H100 SXM5 80GB", "Hopper", "9.0"),
        ("2b85", "GeForce RTX 5090", "Blackwell", "12.0"),
        ("1d01", "GeForce GT 1030", "Pascal", "6.1"),
        ("102d", "Tesla K80", "Kepler", "3.7"),
    ],
)
def test_cards(device: str, product: str, generation: str, capability: str) -> None:
    card = compat.card(device)
    assert card
    assert (card.product, card.architecture.name, card.compute_capability) == (product, generation, capability)


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("K80", "3.7"), ("Tesla K40", "3.5"), ("GTX 680", "3.0"), ("GTX 750", "5.0"), ("GeForce GTX TITAN X", "5.2"),
        ("Quadro P6000", "6.1"), ("gtx1080ti", "6.1"), ("NVIDIA TITAN X (Pascal)", "6.1"), ("Titan V", "7.0"),
        ("Tesla V100-SXM2-16GB", "7.0"), ("T4", "7.5"), ("Quadro RTX 6000", "7.5"), ("A100", "8.0"),
        ("NVIDIA A100-SXM4-80GB", "8.0"), ("NVIDIA A100 80GB PCIe MIG 1g.10gb", "8.0"), ("RTX 3090", "8.6"),
        ("3090", "8.6"), ("NVIDIA GeForce RTX 3050 6GB Laptop GPU", "8.6"), ("A16", "8.6"), ("Jetson Orin", "8.7"),
        ("rtx 4070 super", "8.9"), ("NVIDIA GeForce RTX 4090 Laptop GPU", "8.9"), ("L4", "8.9"), ("RTX 6000 Ada", "8.9"),
        ("NVIDIA H100 80GB HBM3", "9.0"), ("GH200", "9.0"), ("B200", "10.0"), ("NVIDIA GB200", "10.0"), ("B300", "10.3"),
        ("RTX 5090", "12.0"), ("RTX PRO 6000 Blackwell", "12.0"), ("GB10", "12.1"),
    ],
)  # fmt: skip
def test_products_by_name(name: str, capability: str) -> None:
    card = products.product(name)
    assert card
    assert card.compute_capability == capability


@pytest.mark.parametrize(
    "name",
    [
        "",
        "RTX",
        "RTX 6000",
        "RTX 4000",
        "6000",
        "Titan X",
        "GT 730",
        "Blackwell",
        "RTX 9090",
        "Radeon RX 7900",
        "GTX 97",
    ],
)
def test_no_card_is_guessed_of_a_name(name: str) -> None:
    assert products.product(name) is None


def test_nothing_is_guessed() -> None:
    assert compat.card("ffff") is None
    assert compat.family_driver("10.2") is None
    assert compat.family_driver("") is None
    assert tables.toolkit_driver("12.7") is None
    assert compat.tensorflow_build("2.9.3") is None
    assert compat.tensorflow_build("2.22.0") is None


@pytest.mark.parametrize(
    ("text", "os", "release"),
    [
        ("2.19.1", "linux", "2.19.1"),
        ("2.19.0", "linux", "2.19.0"),
        ("2.19", "linux", "2.19.1"),
        ("2.15.0.post1", "linux", "2.15.0.post1"),
        ("2.15.0", "linux", "2.15.0"),
        ("2.15.0.post1", "windows", None),
        *(
            (text, "linux", None)
            for text in ("2.21.0rc1", "2.21.0.0", "2.21.0.", "2.1", "2.", "2", "2.9", "v2.19", "abc", "")
        ),
    ],
)
def test_a_release_is_named_by_itself_or_its_minor_version_alone(
    text: str, os: tables.WheelOs, release: str | None
) -> None:
    assert tables.release(text, os) == release
    build = tables.build(text, os)
    assert (build.tensorflow if build else None) == release


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("GH200 144G HBM3e", True), ("NVIDIA GB200", True), ("GB300", True), ("10de:2E12", True), ("Jetson Orin", True),
        ("7.2", True), ("B200", False), ("H100", False), ("9.0", False), ("10de:2330", False), ("RTX 9090", False),
        ("9.9", False),
    ],
)  # fmt: skip
def test_cards_of_arm_machines_alone(name: str, arm: bool) -> None:
    assert bool(products.gpu(name).arm_source) is arm


def test_every_product_of_arm_machines_is_a_card() -> None:
    found = [card.product for card in tables.products() if tables.arm_source(card.product)]
    for row in tables.table("arm")["products"]:
        assert [name for name in found if row["product"] in name], row


def test_drivers_of_a_toolkit() -> None:
    assert compat.family_driver("12.5.1") == "525.60.13"
    assert compat.family_driver("12.5.1", windows=True) == "527.41"
    assert tables.toolkit_driver("12.5.1") == "555.42.06"
    assert tables.toolkit_driver("12.5") == "555.42.02"
    assert tables.toolkit_driver("13.0.0", windows=True) is None


def test_coverage_of_a_build() -> None:
    built = compat.tensorflow_build("2.21.0")
    assert built
    coverage = {
        each: compat.coverage(each, built) for each in ("5.2", "6.1", "7.5", "8.0", "8.6", "8.9", "9.0", "12.0")
    }
    assert coverage == {
        "5.2": "too-old", "6.1": "compiled", "7.5": "compiled", "8.0": "compiled",
        "8.6": "compiled", "8.9": "compiled", "9.0": "compiled", "12.0": "jit",
    }  # fmt: skip
    assert compat.coverage("9.0", ("sm_70", "sm_80")) == "too-new"
    assert compat.coverage("8.0", ("sm_70", "sm_86")) == "too-new"


def test_branches() -> None:
    known = products.product("K80")
    assert known
    assert [rules.branch(each, windows=True) for each in ("470.05", "475.14", "496.13", "537.13")] == [
        470,
        470,
        495,
        535,
    ]
    assert [compat.drives(known.architecture, branch) for branch in (390, 470, 471, 495)] == [True, True, False, False]
    assert rules.reaches("535", "535.104.05") is None
    assert [rules.reaches(each, "535.104.05") for each in ("535.54.03", "535.104.05", "550.54")] == [False, True, True]


@pytest.mark.parametrize("kind", kernel.COMPLAINTS)
def test_complaints_are_read_in_the_drivers_words(kind: str) -> None:
    answers = {
        "list:/sys/bus/pci/devices": {"value": ["0000:02:00.0"]},
        "file:/sys/bus/pci/devices/0000:02:00.0/vendor": {"value": "0x10de"},
        "file:/sys/bus/pci/devices/0000:02:00.0/class": {"value": "0x030000"},
        "kernel-log:NVRM": {"value": f"[    5.559842] {kernel.COMPLAINTS[kind]['example']}"},
    }
    found = kernel.complaints(Host(lambda key: from_json(answers[key]) if key in answers else NotAsked("")))
    assert isinstance(found, tuple)
    assert [each.kind for each in found] == [kind]
    assert kernel.COMPLAINTS[kind]["source"]
