"""The version tables: every row has a source, the look-ups know real cards and versions, and logs are read in NVIDIA's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit import compat
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


def test_nothing_is_guessed() -> None:
    assert compat.card("ffff") is None
    assert compat.family_driver("10.2") is None
    assert compat.family_driver("") is None
    assert compat.toolkit_driver("12.7") is None
    assert compat.tensorflow_build("2.10.1") is None


def test_drivers_of_a_toolkit() -> None:
    assert compat.family_driver("12.5.1") == "525.60.13"
    assert compat.family_driver("12.5.1", windows=True) == "527.41"
    assert compat.toolkit_driver("12.5.1") == "555.42.06"
    assert compat.toolkit_driver("12.5") == "555.42.02"
    assert compat.toolkit_driver("13.0.0", windows=True) is None


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
