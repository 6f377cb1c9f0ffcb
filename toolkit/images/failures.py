"""A build that failed: its log -> the finding that says why, with what kit itself can do about it first."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit import explain
from toolkit.explain.buildkit import telling
from toolkit.explain.lines import lines
from toolkit.faults import finding
from toolkit.images.variants import Variant
from toolkit.model import Command, Evidence, Finding, Sentence, Step

LAST = 12  # lines shown of a failure that no signature knows
ENDED = re.compile(r"ERROR: (?:(?:failed to solve: )?process |docker buildx build ended )")  # says that, and not why

# By signature; what mends it whoever builds is the signature's own.
ROOM: tuple[Step, ...] = (Command("kit image prune --cache"),)
CA: tuple[Step, ...] = (Sentence("Name the CA that re-signs TLS here: kit build --ca-bundle FILE"),)
OFFLINE: tuple[Step, ...] = (
    Sentence(
        "Without a network, build from folders that were filled where there is one: kit image fetch-wheels DIR there, "
        "kit build --wheelhouse DIR here"
    ),
)
BASE: tuple[Step, ...] = (
    Sentence("Or need no registry: kit build --bootstrap-base makes the base from a Debian or Ubuntu mirror"),
)
MIRROR: tuple[Step, ...] = (Sentence("Take another mirror: kit build --debian-mirror URL"),)
KIT: dict[str, tuple[Step, ...]] = {
    "no-space": ROOM,
    "apt-signatures-unreadable": ROOM,
    "engine-distrusts-ca": BASE,
    "installer-distrusts-ca": CA,
    "name-not-resolved": OFFLINE,
    "server-not-reached": OFFLINE,
    "registry-limit": BASE,
    "image-not-found": BASE,
    "registry-refuses": BASE,
    "no-image-for-this-cpu": BASE,
    "hash-mismatch": (Command("kit lock"),),
    "hash-missing": (Command("kit lock"),),
    "no-wheel-for-python": (Sentence("Take the base that image.toml names for this TensorFlow: leave --base out"),),
    "not-in-wheelhouse": (Sentence("Fill the folder, for the same variant: kit image fetch-wheels DIR"),),
    "not-in-index": (Sentence("Fill the folder of a --wheelhouse, for the same variant: kit image fetch-wheels DIR"),),
    "apt-lists-expired": MIRROR,
    "apt-lacks-file": MIRROR,
    "apt-files-differ": MIRROR,
    "apt-unsigned": MIRROR,
    "apt-lacks-package": MIRROR,
}


def failure(each: Variant, log: Path) -> Finding:
    """Return why the build of a variant failed, by its log: `build-failed` with the last lines where nothing tells."""
    with log.open(encoding="utf-8", errors="replace") as file:
        deciding = tuple(telling(lines(file)))
    for known in explain.shown(deciding):
        return explain.finding(known, str(log), KIT.get(known.signature.name, ()))
    last = [line for line in deciding if line.text.strip() and not ENDED.match(line.text)]
    of_steps = any(line.step is not None for line in deciding)
    what = f"A step of {each.folder.name}/Dockerfile failed" if of_steps else "The build failed"
    return finding(
        "build-failed",
        f"{what}, for a reason that kit does not know.",
        [Sentence(f"Read the whole log: {log}")],
        [Evidence(f"{log}:{line.number}", line.text) for line in last[-LAST:]],
    )
