"""Runs a program as its child and tells at its end how much memory the container had used at most, since a program that
the kernel kills for want of memory cannot: watched.py PROGRAM [ARGUMENT…]. Its exit code is the program's."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

# Of the container's cgroup, v2 (from Linux 5.19 on) and v1. https://docs.kernel.org/admin-guide/cgroup-v2.html
PEAK = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")


def peak_bytes() -> int | None:
    """Return the most memory that this container had at once, None where the kernel does not tell."""
    there = next(filter(Path.exists, map(Path, PEAK)), None)
    return int(there.read_text(encoding="ascii")) if there else None


def main() -> int:
    child = os.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps({"event": "memory", "time": time.time(), "peak_bytes": peak_bytes()}), flush=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
