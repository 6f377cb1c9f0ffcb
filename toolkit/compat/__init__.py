"""What fits together: version tables as data, each row with its source, and pure look-ups in them.

Silence where nothing is known: a card or version that no row holds is None, never a guess.
"""

from __future__ import annotations

from toolkit.compat.rules import Coverage, capability, coverage, driver_fit, drives
from toolkit.compat.tables import Architecture, Build, Card, build, builds, card, family_driver, tensorflow_build

__all__ = [
    "Architecture",
    "Build",
    "Card",
    "Coverage",
    "build",
    "builds",
    "capability",
    "card",
    "coverage",
    "driver_fit",
    "drives",
    "family_driver",
    "tensorflow_build",
]
