"""What fits together: version tables as data, each row with its source, and pure look-ups in them.

Silence where nothing is known: a card or version that no row holds is None, never a guess.
"""

from __future__ import annotations

from toolkit.compat.products import Gpu, gpu, product
from toolkit.compat.rules import (
    Code,
    Coverage,
    DriverFit,
    branch,
    capability,
    code,
    coverage,
    driver_fit,
    drives,
    reaches,
)
from toolkit.compat.tables import (
    Architecture,
    Build,
    Card,
    architecture,
    build,
    builds,
    card,
    family_driver,
    tensorflow_build,
    toolkit_driver,
)

__all__ = [
    "Architecture",
    "Build",
    "Card",
    "Code",
    "Coverage",
    "DriverFit",
    "Gpu",
    "architecture",
    "branch",
    "build",
    "builds",
    "capability",
    "card",
    "code",
    "coverage",
    "driver_fit",
    "drives",
    "family_driver",
    "gpu",
    "product",
    "reaches",
    "tensorflow_build",
    "toolkit_driver",
]
