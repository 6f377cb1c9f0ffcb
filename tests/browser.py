"""A real browser for tests and pictures: Chromium without a window, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "no Chromium is here; get it: apt-get install -y chromium"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
SECONDS = 60


def chromium() -> str | None:
    """Return the browser's program, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def opened(program: str, page: Path, profile: Path, *flags: str, size: tuple[int, int] = (1120, 1900)) -> str:
    """Open a page, let its scripts run, and return its elements as they are then; flags may ask for pictures too."""
    done = subprocess.run(
        [
            *(program, *FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}", "--dump-dom"),
            *(*flags, page.absolute().as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return done.stdout
