"""A script that failed: its exception, its log and the way it ended -> the finding that says why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import explain
from toolkit.engine.plan import Exit
from toolkit.executed import NOT_STARTED, SIGNALS
from toolkit.explain.lines import lines
from toolkit.faults import finding, vocabulary
from toolkit.model import Command, Evidence, Finding, Sentence

SHOWN = 3  # of them, where nothing is known of the reason
LONGEST = 400  # characters of an exception's text


@dataclass(frozen=True, slots=True)
class Hint:
    """What an exception means in kit's container, and what mends it. The pattern is searched in its name and text."""

    pattern: re.Pattern[str]
    cause: str
    step: str
    fault: str = "workload-failed"
    network: bool = True  # whether it also holds where the container had a network


# The texts are CPython's and the C library's.
HINTS = (
    Hint(
        re.compile(r"^ModuleNotFoundError: No module named '(?P<what>(?:keras|tensorflow)\.[^']+)'"),
        "This image's TensorFlow and Keras have no {what} any more, or never had.",
        "kit check names what works in its place, and kit check --write mends what is safe",
        "tf-keras-api-moved",
    ),
    Hint(
        re.compile(r"^EOFError: EOF when reading a line"),
        "The script asks for more input than it gets.",
        "kit run script --stdin gives it what is piped to kit, or typed; or let it take arguments, after --",
    ),
    Hint(
        re.compile(r"^ModuleNotFoundError: No module named '(?P<what>[^']+)'"),
        "The image has no module {what}.",
        "Name the package that has it in a requirements.txt beside the script, or in --requirements FILE",
    ),
    Hint(
        re.compile(r"Read-only file system"),
        "The script writes where its container is read-only: everywhere but in /out and /tmp.",
        'Write to the folder that os.environ["KIT_OUT"] names: it is the run\'s own, and is kept',
    ),
    Hint(
        re.compile(r"No space left on device"),
        "The disk that /out is on is full, or the memory that /tmp is in.",
        "Make room: kit runs rm, kit image prune; large files belong in $KIT_OUT, not in /tmp",
        "disk-full",
    ),
    Hint(
        re.compile(r"Temporary failure in name resolution|Name or service not known|Network is unreachable"),
        "The script wants the network, which its container does not have.",
        "Run it with --network, or put what it fetches beside it",
        "network-unreachable",
        network=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended: its exit, what kit was told by events, its log, and what its container had."""

    exit: Exit
    events: dict[str, dict[str, Any]]  # the last one of each name
    log: list[str]
    memory_bytes: int
    network: bool


def failure(ended: Ended, script: Path, log_file: Path) -> Finding:
    """Return why a script failed. `script` is its path here; in the container its folder is /work."""
    read, code = Sentence(f"Read its log: {log_file}"), ended.exit.code
    if ended.exit.out_of_memory:
        limit = f"{ended.memory_bytes / 1e9:.1f} GB"
        cause = f"The kernel killed {script.name}: it wanted more memory than its container may use, {limit}."
        return finding("host-out-of-memory", cause, [Sentence("Use smaller batches, or a machine with more memory")])
    if told := ended.events.get("failed"):
        fault = told["finding"] if told["finding"] in vocabulary() else "workload-failed"
        return finding(fault, told["cause"], [Command("kit doctor")], [Evidence(str(log_file), "kit's own word")])
    raised = ended.events.get("raised")
    seen = _seen(raised, script, log_file) if raised else []
    text = f"{raised['name']}: {raised['text']}" if raised else ""
    for hint in HINTS:
        if (what := hint.pattern.search(text)) and (hint.network or not ended.network):
            return finding(hint.fault, hint.cause.format(**what.groupdict()), [Sentence(hint.step)], seen)
    if raised or code in {*SIGNALS, NOT_STARTED}:  # an exit code of its own is its own word
        known = explain.why(lines(ended.log), str(log_file))
        if known:
            return known
    if raised:
        at = f" in line {raised['line']} of {Path(raised['file']).name}" if raised["file"] else ""
        return finding("workload-failed", f"{script.name} raised {raised['name']}{at}.", [read], seen)
    last = [Evidence(str(log_file), line) for line in ended.log[-SHOWN:] if line.strip()]
    return finding(
        "workload-failed", f"{script.name} ended with {SIGNALS.get(code, f'exit code {code}')}.", [read], last
    )


def _seen(raised: dict[str, Any], script: Path, log_file: Path) -> list[Evidence]:
    """Return an exception's text, and the script's own line before it."""
    text = Evidence(str(log_file), f"{raised['name']}: {raised['text']}"[:LONGEST])
    if not raised["file"]:
        return [text]
    file = script.parent / Path(raised["file"]).relative_to("/work")
    return [Evidence(f"{file}:{raised['line']}", raised["code"] or ""), text]
