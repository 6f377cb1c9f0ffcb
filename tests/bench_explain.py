"""Measures `kit explain` on large logs against `grep -c` on the same file, in one run. `make bench`."""

import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

ROUNDS = 5
MEGABYTES = 200
EXAMPLES = Path(__file__).parent / "logs/examples"
KIT = [str(Path(sys.executable).with_name("kit")), "explain", "--json"]


def healthy() -> Iterator[str]:
    """Give lines of a training that goes well."""
    draw = random.Random(1)
    while True:
        step = draw.randrange(10**6)
        yield f"2026-01-02 03:04:05.{step:06d}: I tensorflow/core/framework/local_rendezvous.cc:405] step {step}: loss {draw.random():.4f}"
        yield f"{step % 210}/210 [==============>...............] - ETA: {step % 9}s - accuracy: {draw.random():.4f}"


def noisy() -> Iterator[str]:
    """Give lines of a training among those that the examples of the catalogue hold, one in fifty."""
    rows = [json.loads(row) for file in sorted(EXAMPLES.glob("*.jsonl")) for row in file.read_text().splitlines()]
    lines = cycle(line for row in rows for line in row["log"].splitlines())
    for number, line in enumerate(healthy()):
        yield next(lines) if number % 50 == 0 else line


def write(file: Path, lines: Iterator[str], megabytes: int) -> Path:
    block = "".join(f"{line}\n" for line in islice(lines, 60_000)).encode()
    with file.open("wb") as log:
        for _ in range(megabytes * 1_000_000 // len(block)):
            log.write(block)
        log.write(b"OSError: [Errno 28] No space left on device\n")
    return file


def measured(command: list[str]) -> tuple[float, float]:
    """Return seconds and the peak memory in MB of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    return time.perf_counter() - began, used.ru_maxrss / 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = write(Path(folder) / "healthy.log", healthy(), MEGABYTES)
        logs = {
            f"healthy, {MEGABYTES} MB": plain,
            f"healthy, {MEGABYTES // 10} MB": write(Path(folder) / "short.log", healthy(), MEGABYTES // 10),
            f"one line in 50 of a fault, {MEGABYTES} MB": write(Path(folder) / "noisy.log", noisy(), MEGABYTES),
        }
        compressed = Path(folder) / "healthy.log.gz"
        with gzip.open(compressed, "wb", compresslevel=1) as file:
            file.write(plain.read_bytes())
        logs[f"healthy, {MEGABYTES} MB in gzip"] = compressed
        print(f"{'kit explain, median of ' + str(ROUNDS):38} seconds  to grep -c  peak MB")
        for name, log in logs.items():
            grep = ["zgrep" if log.suffix == ".gz" else "grep", "-c", "No space left on device", str(log)]
            pairs = [(measured([*KIT, str(log)]), measured(grep)) for _ in range(ROUNDS)]
            kit = statistics.median(own[0] for own, _ in pairs)
            other = statistics.median(found[0] for _, found in pairs)
            print(f"{name:38} {kit:7.2f}  {kit / other:10.1f}  {max(own[1] for own, _ in pairs):7.0f}")


if __name__ == "__main__":
    main()
