"""Prints a record as the one JSON document of a command."""

from __future__ import annotations

import json
import sys
from typing import Any


def show(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
