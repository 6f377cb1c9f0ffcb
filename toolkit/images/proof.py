"""What an image answers for and does not hold, judged from what a container of it said; pure."""

from __future__ import annotations

import re
from typing import Any

from toolkit import chain
from toolkit.checks.tensorflow import ERRORS
from toolkit.facts import Facts, container, platform
from toolkit.faults import finding
from toolkit.host import Host
from toolkit.images.started import MEMORY_BYTES, PYTHONS, Told
from toolkit.model import Answer, Command, Evidence, Finding, NotAsked, Sentence

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}  # an image's word for the engine's


def rungs(inside: container.Inside, machine: platform.Platform | None, own: Answer, expected: int) -> list[Finding]:
    """Return the findings of the upper rungs, of TensorFlow's alone where no GPU is expected; `own` is the answer to which
    of the driver's libraries the image has of its own."""
    nobody = Host(lambda key: own if key == "container:probe-without-gpus" else NotAsked("not the image's"))
    alone = Facts(nobody, {container.inside: inside, platform.machine: machine})
    if not expected:
        return list(chain.diagnose(alone, ("tensorflow",)).findings[:1]) if inside.tensorflow_error else []
    found = list(chain.diagnose(alone, ("container", "libraries", "tensorflow")).findings)
    complete = inside.cuda_gpus == inside.tensorflow_gpus == expected
    return found if complete or _errors(found) else [*found, _lost(inside, expected)]


def _errors(found: list[Finding]) -> bool:
    return any(each.severity == "error" for each in found)


def _lost(inside: container.Inside, expected: int) -> Finding:
    """Return why a container counts other GPUs than it was given, where no rung is broken."""
    cause = (
        f"{inside.image} was given {expected} GPUs: its CUDA driver counts {inside.cuda_gpus}, and TensorFlow "
        f"{inside.tensorflow_gpus}."
    )
    if inside.visible_devices is None:
        return finding("gpus-lost", cause, [Command("kit build --variant gpu")])
    hides = f"CUDA_VISIBLE_DEVICES={inside.visible_devices}"
    return finding(
        "cuda-visible-devices-hides-gpu",
        f"{cause} The image sets {hides}.",
        [Sentence("Take CUDA_VISIBLE_DEVICES out of the image")],
        [Evidence("the container's environment", hides)],
    )


def training(told: Told) -> dict[str, Any]:
    """Return how far the packaged model was trained, on what and by which backend of Keras, and the reason where it was
    not, or not well."""
    results, device, gpus = told.last("results"), told.last("device"), told.last("gpus")
    losses = [each["loss"] for each in told.events if each["event"] == "epoch"]
    reason = None
    if untrained := told.last("untrained"):
        reason = untrained["reason"]
    elif failed := told.last("failed"):
        reason = failed["cause"]
    elif results is None:
        reason = next((line for line in reversed(told.log) if line.strip()), "it ended without results")
    elif not losses[-1] < losses[0]:  # a loss that is no number falls neither
        reason = f"its loss does not fall: {', '.join(f'{loss:.4f}' for loss in losses)}"
    return {
        "epochs": len(losses),
        "accuracy": results["accuracy"] if results else None,
        "device": device["device"] if device else None,
        "backend": gpus["backend"] if gpus else None,
        "reason": reason,
    }


def untrained(inside: container.Inside, told: Told) -> Finding | None:
    """Return why the packaged model does not train, None where it does."""
    reason = training(told)["reason"]
    if reason is None:
        return None
    cause = f"The packaged model does not train in {inside.image}: {reason}"
    return finding("workload-failed", cause, [Command("kit build")], _last_lines(told))


def written(told: Told, owner: int | None, caller: int) -> Finding | None:
    """Return why a folder of the caller's is not written to as the caller, None where it is."""
    error = (told.last("written") or {}).get("error")
    if owner == caller and not error:
        return None
    cause = f"What a container writes belongs to the user {owner}, and not to its caller, {caller}."
    if error or owner is None:
        cause = f"A container cannot write into a folder of its caller's, {caller}: {error or 'nothing was written'}."
    return finding("output-not-writable", cause, [Sentence("Look for remapped users: docker info, Security Options")])


def silence(told: Told, name: str, built_for: str, engine: str) -> Finding:
    """Return why a container did not answer. `built_for` is the image's architecture ("arm64"), `engine` the engine's
    ("x86_64")."""
    seen = _last_lines(told)
    # A foreign program is "no such file" where the image has no shell to try it as a script.
    if ARCHITECTURES.get(built_for, built_for) != engine or any("xec format error" in line for line in told.log):
        cause = f"{name} is for {built_for}, and this engine runs on {engine}."
        step = Sentence(f"Take the image for {engine} (docker pull --platform), or kit's: kit build")
        return finding("image-arch-mismatch", cause, [step], seen)
    if told.no_python:
        cause = f"{name} has no Python on its PATH (neither {' nor '.join(PYTHONS)}), and so no TensorFlow."
        return finding("tensorflow-not-installed", cause, [Command("kit build")], seen)
    if told.ended and told.ended.out_of_memory:
        cause = f"The kernel killed the container: it used more than the {MEMORY_BYTES >> 30} GiB that it may."
        return finding("host-out-of-memory", cause, [], seen)
    text = told.last_words("probe")
    cause = f"{name}: {text.splitlines()[0].rstrip(':')}."
    row = next((row for row in ERRORS if re.search(row["pattern"], text)), None)
    if row is None:
        return finding("tensorflow-broken", cause, [Command("kit build")], seen)
    return finding(row["fault"], f"{cause} {row['cause']}", [Sentence(row["fix"])], seen)


def _last_lines(told: Told) -> list[Evidence]:
    return [Evidence("the container's log", line) for line in told.log[-8:] if line.strip()]
