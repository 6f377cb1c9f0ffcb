"""kit verify."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, show


def verify(
    image: Annotated[str, typer.Argument(help="Any image of the engine, by its tag or id; none is pulled.")],
    json: Json = False,
) -> None:
    """Prove an image by a real start: GPUs counted, CUDA libraries loaded and of fitting versions, a model trained."""
    with failing("verify", json):
        from toolkit import doctor
        from toolkit.engine.docker import Docker
        from toolkit.images import verify as images
        from toolkit.model import document
        from toolkit.show import images as progress
        from toolkit.show import terminal
        from toolkit.show import verify as view

        facts = doctor.this_machine()
        with Docker() as engine, progress.building(terminal.console(stderr=True)) as on_line:
            on_line(f"verifying {image}")
            record = images.examine(engine, image, facts)
        show(json, lambda: document("verify", record), lambda: view.verified(record))
        raise typer.Exit(HEALTHY if record.verified["status"] == "passed" else PROBLEM)
