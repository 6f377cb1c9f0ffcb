"""Measures whole processes against each other in one run and prints ratios. `make bench`."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from toolkit import paths
from toolkit.engine.downloads import uv_command

ROUNDS = 15
PYTHON = sys.executable
KIT = str(Path(PYTHON).with_name("kit"))


def env_doctor() -> str | None:
    """Return env-doctor of PyPI, in an environment of its own; None where it cannot be installed."""
    home = paths.make(paths.cache() / "bench") / "env-doctor"
    if not (home / "bin/env-doctor").exists():
        for command in (
            ["venv", "-q", str(home)],
            ["pip", "install", "-q", "--python", f"{home}/bin/python", "env-doctor"],
        ):
            if subprocess.run([uv_command(), *command], check=False).returncode:
                return None
    return str(home / "bin/env-doctor")


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=os.environ)
    return time.perf_counter() - began


def main() -> None:
    other = env_doctor()
    commands = {
        "python -c pass": [PYTHON, "-c", "pass"],
        "kit --help": [KIT, "--help"],
        "kit doctor --quick": [KIT, "doctor", "--quick"],
        "kit doctor": [KIT, "doctor", "--json"],
        **({"env-doctor check --json": [other, "check", "--json"]} if other else {}),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):  # in turn, so that the machine's moods meet all of them
        for name, command in commands.items():
            taken[name].append(seconds(command))
    middle = {name: statistics.median(times) for name, times in taken.items()}
    bare = middle["python -c pass"]
    print(f"{'whole process, median of ' + str(ROUNDS):34} seconds  to bare Python")
    for name, value in middle.items():
        print(f"{name:34} {value:7.3f}  {value / bare:6.1f}")
    if other:
        print(
            f"kit doctor --quick takes {middle['kit doctor --quick'] / middle['env-doctor check --json']:.2f} of env-doctor's time"
        )
    imports()


def imports() -> None:
    """Print the imports of `kit doctor --quick` that take longest, from Python's own -X importtime."""
    command = [PYTHON, "-X", "importtime", KIT, "doctor", "--quick"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    rows = [line.split("|") for line in lines if line.startswith("import time:") and "cumulative" not in line]
    top = sorted(rows, key=lambda row: -int(row[1]))[:200]
    wanted = [
        row
        for row in top
        if row[2].startswith("  ") is False or row[2].strip() in ("typer", "rich.console", "toolkit.cli")
    ]
    print("\nlargest imports of kit doctor --quick (milliseconds, with what they import)")
    for row in wanted[:8]:
        print(f"{row[2].strip():34} {int(row[1]) / 1000:7.1f}")


if __name__ == "__main__":
    main()
