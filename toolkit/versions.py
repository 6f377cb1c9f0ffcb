"""Version texts as numbers that can be compared."""

from __future__ import annotations

import re


def numbers(version: str | None) -> tuple[int, ...]:
    """Return a version's first run of numbers: (26, 1, 5) of "26.1.5+dfsg1"; empty where there is none.

    Not packaging's: the versions of drivers, runc and Debian's Docker do not follow Python's rules.
    """
    found = re.search(r"\d{1,9}(?:\.\d{1,9})*", version or "")
    return tuple(int(part) for part in found[0].split(".")) if found else ()
