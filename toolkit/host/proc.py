"""What the kernel tells of processes and of itself: who a process is, who holds device files, the kernel's log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.model import Answer, Failed, Value

SEARCH_SECONDS = 0.3
MAX_HOLDERS = 32
MAX_LINES = 500
# What says that a reader may see only a part: systemd, src/shared/logs-show.c and src/journal/journalctl.c.
PARTIAL = ("not seeing messages", "insufficient permissions", "No journal files")


def process(root: Path, pid: str) -> Answer:
    """Return {"user", "command", "seconds"} of a process; the command is its name alone, since arguments may be secret.

    Raises FileNotFoundError where there is no such process.
    """
    return Value(_process(root / "proc" / str(int(pid))))


def holders(root: Path, prefix: str) -> Answer:
    """Return the processes that have files open whose paths start so, and how many processes could not be looked into.

    {"holders": [{"pid", "user", "command", "seconds", "files"}], "unseen": 3}; it stops after SEARCH_SECONDS.
    """
    found: list[dict[str, Any]] = []
    unseen, deadline = 0, time.monotonic() + SEARCH_SECONDS
    for folder in (root / "proc").iterdir():
        if not folder.name.isdigit():
            continue
        if time.monotonic() > deadline or len(found) >= MAX_HOLDERS:
            return Value({"holders": found, "unseen": unseen, "stopped": True})
        try:
            files = {name for name in map(_target, (folder / "fd").iterdir()) if name.startswith(prefix)}
            if files:
                found.append({"pid": int(folder.name), **_process(folder), "files": sorted(files)})
        except PermissionError:
            unseen += 1
        except OSError:  # it has ended meanwhile
            continue
    return Value({"holders": found, "unseen": unseen, "stopped": False})


def kernel_log(run: Callable[[str], Answer], word: str) -> Answer:
    """Return the lines of this boot's kernel log that hold a word, the last MAX_LINES of them, as one text.

    Only these lines, since the rest of the log describes the machine's owner. They come from dmesg, or from the journal
    where the kernel shows its log to root alone (kernel.dmesg_restrict).
    """
    match run("dmesg"):
        case Value({"code": 0, "stdout": str(text)}):
            return _lines(text, word)
        case Value({"stderr": str(text)}):
            refusal = text.strip() or "dmesg failed"
        case Failed(text):
            refusal = f"dmesg: {text}"
        case _:
            refusal = "there is no dmesg"
    # It ends with 1 where nothing matches, and says so on stdout; without a word of what it may not show.
    match run(f"journalctl -k -b -o short-monotonic --no-pager -g {word.split(maxsplit=1)[0]}"):
        case Value({"code": 0 | 1, "stdout": str(text), "stderr": str(hint)}) if text and not any(
            sign in hint for sign in PARTIAL
        ):
            return _lines(text, word)
    return Failed(f"{refusal}; nor does the journal show the kernel's messages")


def _lines(text: str, word: str) -> Answer:
    found = [line for line in text.splitlines() if word in line and "Serial Number" not in line]
    return Value("\n".join(found[-MAX_LINES:]))


def _process(folder: Path) -> dict[str, Any]:
    started_ticks = int((folder / "stat").read_text().rpartition(")")[2].split()[19])  # field 22 of proc_pid_stat(5)
    up_seconds = float((folder.parent / "uptime").read_text().split()[0])
    return {
        "user": _user(folder.stat().st_uid),
        "command": (folder / "comm").read_text(errors="replace").strip(),
        "seconds": max(0, round(up_seconds - started_ticks / os.sysconf("SC_CLK_TCK"))),
    }


def _user(uid: int) -> str:
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""
