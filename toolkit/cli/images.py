"""kit build and kit lock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, one_of, show


def build(
    variant: Annotated[str, typer.Option(help="gpu or cpu; auto is what this machine can use.")] = "auto",
    tf: Annotated[
        str | None, typer.Option(help="A TensorFlow, as in 2.19; else the newest that runs natively here.")
    ] = None,
    extra: Annotated[str | None, typer.Option(help="A layer on top: script, notebook, jax or torch.")] = None,
    libraries: Annotated[
        str,
        typer.Option(
            help="tested: the CUDA libraries it was built with; newest: those that it admits; auto: what the cards need."
        ),
    ] = "auto",
    full: Annotated[bool, typer.Option("--full", help="Keep headers, static archives and symbols.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build what cannot work on this machine.")] = False,
    base: Annotated[str | None, typer.Option(help="Another base image, as in ubuntu:24.04.")] = None,
    bootstrap_base: Annotated[
        bool, typer.Option("--bootstrap-base", help="Make the base from the distribution's mirror, asking no registry.")
    ] = False,
    debian_mirror: Annotated[
        str | None, typer.Option(help="The mirror of the base's distribution, Debian or Ubuntu.")
    ] = None,
    ca_bundle: Annotated[
        Path | None, typer.Option(help="The CA bundle of your network; else the environment's or the system's.")
    ] = None,
    wheelhouse: Annotated[
        Path | None, typer.Option(help="A folder of `kit image fetch-wheels`: nothing is downloaded.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Make every layer anew.")] = False,
    scan: Annotated[
        bool, typer.Option("--scan", help="Look the locked packages up for known vulnerabilities.")
    ] = False,
    json: Json = False,
) -> None:
    """Build a TensorFlow image from its lock, prove it by a real start, and tag it only if it is good."""
    with failing("build", json):
        from toolkit import doctor as machine
        from toolkit.engine.docker import Docker
        from toolkit.images.build import build as build_image
        from toolkit.images.choice import fitting
        from toolkit.images.sources import Options, checked
        from toolkit.images.variants import on_base, unslimmed, with_extra
        from toolkit.model import document
        from toolkit.show import images as view
        from toolkit.show import terminal

        hardware: Any = one_of("--variant", variant, "auto", "gpu", "cpu")
        flavour: Any = one_of("--libraries", libraries, "auto", "tested", "newest")
        facts = machine.this_machine()
        options = checked(Options(ca_bundle, wheelhouse, bootstrap_base, debian_mirror, no_cache))
        each, note = fitting(
            facts,
            None if hardware == "auto" else hardware,
            tf,
            None if flavour == "auto" else flavour,
            force=force,
        )
        each = each if extra is None else with_extra(each, extra)
        each = unslimmed(each) if full else each
        each = each if base is None else on_base(each, base)
        if note:
            terminal.console(stderr=True).print(view.noted(note))
        with Docker() as engine, view.building(terminal.console(stderr=True)) as on_line:
            record = build_image(engine, each, facts, on_line, options, scan=scan)
        show(json, lambda: document("build", record), lambda: view.built(record))
        raise typer.Exit(HEALTHY if record.tag else PROBLEM)


def lock(
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take the newest versions, not those that are locked.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where something would change.")] = False,
    json: Json = False,
) -> None:
    """Resolve the locks of all variants again, and show what changes."""
    with failing("lock", json):
        from toolkit.images import bake, locks
        from toolkit.model import document
        from toolkit.show import images as view

        record = locks.refresh(upgrade=upgrade, check=check)
        if record.changes and record.written:
            bake.write()
        show(json, lambda: document("lock", record), lambda: view.locked(record))
        raise typer.Exit(PROBLEM if check and record.changes else HEALTHY)
