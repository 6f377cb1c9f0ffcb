"""kit compat."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, show
from toolkit.model import UsageError


def compat(
    tensorflow: Annotated[
        str | None, typer.Option("--tf", help="A TensorFlow: 2.19 is its newest patch, 2.19.1 itself.")
    ] = None,
    driver: Annotated[str | None, typer.Option(help="The NVIDIA driver's version; on WSL2 that of Windows.")] = None,
    gpu: Annotated[
        list[str] | None, typer.Option(help='A card, as "RTX 3090", or a compute capability, as 8.6; for each one.')
    ] = None,
    python: Annotated[str | None, typer.Option(help="A Python, as 3.11.")] = None,
    numpy: Annotated[str | None, typer.Option(help="A NumPy, as 1.26.")] = None,
    os: Annotated[
        str | None,
        typer.Option(
            help="linux, linux-aarch64, wsl2 or windows; linux if not said, or the one of a card that ARM machines alone have."
        ),
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Read from this machine what is not given.")] = False,
    json: Json = False,
) -> None:
    """Tell whether a TensorFlow runs on a card, a driver, a Python, and which to take; alone, for this machine."""
    with failing("compat", json):
        from toolkit import doctor
        from toolkit.compat import machine, solver
        from toolkit.model import document
        from toolkit.show import compat as view

        if here and os:
            raise UsageError("--here reads this machine's system: leave --os out")
        given = solver.question(tensorflow, driver, gpu or (), python, numpy, os)
        alone = given == solver.Question() and not os
        if here or alone:
            given = machine.filled(given, doctor.this_machine())
        answer, rows = solver.solve(given), solver.versions(given) if alone else ()
        more = {"versions": [asdict(row) for row in rows]} if alone else {}
        show(
            json,
            lambda: document("compat", answer) | more,
            lambda: view.machine(given, answer, rows) if alone else view.answer(given, answer),
        )
        raise typer.Exit(PROBLEM if answer.runs == "no" else HEALTHY)
