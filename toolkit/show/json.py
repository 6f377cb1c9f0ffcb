"""Prints a record as the one JSON document of a command."""

from __future__ import annotations

import sys
from typing import Any

from toolkit.records import json_text


def show(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json_text(document))
