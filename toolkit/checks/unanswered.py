"""Checks on kit's own questions: did the machine answer all of them in time?"""

from __future__ import annotations

from toolkit.checks import independent
from toolkit.checks.steps import as_root
from toolkit.facts import Facts, platform
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence

RUNG: RungName = "nvml"


@independent
def questions_unanswered(facts: Facts) -> Finding | None:
    """The machine answers every question in time"""
    keys = [key for key in facts(platform.unanswered) if key != "nvml"]  # which the NVML check itself tells
    if not keys:
        return None
    return finding(
        "probe-timed-out",
        f"{len(keys)} question(s) did not come back: something hangs in the kernel, a driver or a mounted file system.",
        [
            as_root(facts, "dmesg | grep -E 'NVRM|Xid|hung_task|blocked for more than'"),
            Sentence("If a process of the driver hangs there, only a reboot ends it"),
        ],
        [Evidence(key, "no answer") for key in keys[:8]],
    )
