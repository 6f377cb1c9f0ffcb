"""kit build."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, show


def build(
    variant: Annotated[str, typer.Option(help="gpu or cpu; auto is what this machine can use.")] = "auto",
    json: Json = False,
) -> None:
    """Build a TensorFlow image from its lock, prove it by a real start, and tag it only if it is good."""
    with failing("build", json):
        from toolkit import doctor as machine
        from toolkit.engine.docker import Docker
        from toolkit.images import build as images
        from toolkit.images.variants import variant as named_variant
        from toolkit.model import document
        from toolkit.show import images as view
        from toolkit.show import terminal

        named = None if variant == "auto" else named_variant(variant)
        facts = machine.this_machine()
        with Docker() as engine, view.building(terminal.console(stderr=True)) as on_line:
            record = images.build(engine, named or images.fitting(facts), facts, on_line)
        show(json, lambda: document("build", record), lambda: view.built(record))
        raise typer.Exit(HEALTHY if record.tag else PROBLEM)
