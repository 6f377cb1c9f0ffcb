"""Cards by the names that people, NVML and NVIDIA's price lists give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from toolkit.compat import tables
from toolkit.compat.tables import Card, card

BRANDS = frozenset({"nvidia", "geforce", "tesla"})
# What names the maker, the shape or the size of a card, none of which decides what code it runs.
SILENT = re.compile(
    r"nvidia|geforce|tesla|gpu|laptop|notebook|mobile|max|q|design|with|generation|edition|workstation|server"
    r"|sxm\d?|pcie|nvl|dgxs|fhhl|hbm\d\w?|gddr\d\w?|\d+gb?|rev|oem|mig"
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card that is asked about; the compute capability is None where its name is not in the table."""

    name: str
    compute_capability: str | None
    arm_source: str | None = None  # where it is written that ARM machines alone have it


def gpu(text: str) -> Gpu:
    """Return the card that a text names: a product ("RTX 3090"), a PCI id ("10de:2204") or a compute capability ("8.6")."""
    if re.fullmatch(r"\d{1,2}\.\d", text):
        sources = [tables.arm_source(each.product) for each in tables.products() if each.compute_capability == text]
        arm_source = next(iter(sources), None) if all(sources) else None
        return Gpu(f"compute capability {text}", text if sources else None, arm_source)
    named = card(text[5:]) if re.fullmatch(r"10de:[0-9a-f]{4}", text, re.IGNORECASE) else product(text)
    return Gpu(text, named.compute_capability, tables.arm_source(named.product)) if named else Gpu(text, None)


def product(name: str) -> Card | None:
    """Return a card of a product's name, as NVML or people write it; None where none or cards of several compute
    capabilities go by it.

    Samples: "NVIDIA A100-SXM4-80GB", "Tesla T4", "rtx3090", "GeForce RTX 4090 Laptop GPU", "RTX 6000 Ada". "RTX 6000"
    alone is None: Turing, Ada Lovelace and Blackwell each have one.
    """
    found = called(name)
    return found[0] if len(found) == 1 else None


def called(name: str) -> tuple[Card, ...]:
    """Return the cards that go by a name, the first of each compute capability."""
    asked = _words(name)
    telling = _telling(asked)
    if not telling:
        return ()
    found = [card for words, card in _products() if words - BRANDS == asked - BRANDS]
    found = found or [card for words, card in _products() if _telling(words) == telling]
    # "3090" and "Jetson Orin" mean the cards that have it in their names, "Blackwell" alone does not.
    if not found and (len(telling) > 1 or any(char.isdigit() for word in telling for char in word)):
        found = [card for words, card in _products() if telling <= words]
        found = found or [card for words, card in _products() if telling <= _series(words)]
    return tuple({card.compute_capability: card for card in reversed(found)}.values())[::-1]


@cache
def _products() -> tuple[tuple[frozenset[str], Card], ...]:
    return tuple((_words(each.product), each) for each in tables.products())


@cache
def _telling(words: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in words if not SILENT.fullmatch(word))


@cache
def _series(words: frozenset[str]) -> frozenset[str]:
    """Return words without the letter of a form at their end: "k40" of "k40m"."""
    return frozenset(re.sub(r"(?<=\d)[a-z]+$", "", word) for word in words)


@cache
def _words(name: str) -> frozenset[str]:
    """Return a name's words: {"rtx", "3080", "ti"} of "RTX3080Ti"."""
    spaced = re.sub(r"\b(rtx|gtx|gts|gt|titan)(?=\d)|(?<=\d)(?=(?:ti|super)\b)", r"\1 ", name.lower())
    return frozenset(re.findall(r"[a-z0-9]+", spaced))
