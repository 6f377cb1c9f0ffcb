"""Which CUDA libraries serve some cards: those that a TensorFlow was tested with, or the newest of its metadata's range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from packaging.specifiers import SpecifierSet

from toolkit.compat.tables import Build, Library, beyond, cudnn, cudnns
from toolkit.versions import numbers

Flavour = Literal["tested", "newest"]


def library_flavour(build: Build, compute_capabilities: Sequence[str]) -> Flavour:
    """Return the flavour that serves cards of some compute capabilities.

    The newest where the tested cuDNN has no code for a card and the newest drops none: from 9.11 on it has none for cards
    below 7.5, before 9.7 none for Blackwell.
    """
    tested, newest = cudnn(build.cudnn or ""), newest_cudnn(build)
    if tested is None or newest is None or newest == tested:
        return "tested"
    later = any(beyond(each, tested) for each in compute_capabilities)
    served = all(numbers(each) >= numbers(newest.min_capability) for each in compute_capabilities)
    return "newest" if later and served else "tested"


def newest_cudnn(build: Build) -> Library | None:
    """Return the newest cuDNN of the table that a build's metadata admits, the tested one where it pins that."""
    admitted = SpecifierSet(next((pin for name, pin in build.pins.items() if name.startswith("nvidia-cudnn")), "==0"))
    return next((row for row in reversed(cudnns()) if admitted.contains(row.version)), cudnn(build.cudnn or ""))
