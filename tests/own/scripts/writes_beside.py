"""Writes beside itself, as scripts do."""

from pathlib import Path

Path("model.txt").write_text("weights")
