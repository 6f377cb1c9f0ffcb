"""What people see of a proof: of any image, and of one that was just built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape

from toolkit.model import VerifyRecord
from toolkit.show.terminal import finding, versions


def verified(record: VerifyRecord) -> RenderableType:
    """Return whether an image is good, how it was proven, and what is wrong with it."""
    good = record.verified["status"] == "passed"
    mark = "[bold green]✓[/]" if good else "[bold red]✗[/]"
    return Group(
        f"{mark} [bold]{escape(record.image)}[/]  {record.image_id[7:19]}",
        *proof(record.verified),
        *([versions(record.versions)] if record.versions else []),
        *(finding(found, found.severity.capitalize()) for found in record.findings),
        f"[dim]{record.verified['seconds']:.1f} s[/]",
    )


def proof(verified: dict[str, Any]) -> Iterator[str]:
    """Give a line for each thing that a container of the image showed."""
    gpus, libraries, training = verified["gpus"], verified["libraries"], verified.get("training")
    if gpus["tensorflow"] is None:
        return
    if gpus["expected"]:
        kind = "simulated " if verified["simulated"] else ""
        yield f"  {gpus['tensorflow']} of {gpus['expected']} {kind}GPUs counted by TensorFlow"
    else:
        yield "  no GPU expected: TensorFlow is built without CUDA"
    if libraries:
        told = ", ".join(f"{name} {version}" for name, version in verified.get("library_versions", {}).items())
        yield f"  {sum(libraries.values())} of {len(libraries)} CUDA libraries load: {told}"
    if training and training["accuracy"] is not None:
        by = f"by {backend} " if (backend := training.get("backend")) else ""
        where = f"{training['epochs']} epochs {by}on the {training['device']}"
        yield f"  trained {where}, accuracy {training['accuracy']:.3f}"
    elif training:
        yield f"  not trained: {escape(training['reason'])}"
    if verified.get("uid") is not None:
        yield f"  wrote as the user {verified['uid']}"
