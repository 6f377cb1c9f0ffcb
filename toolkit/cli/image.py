"""kit image."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, one_of, show
from toolkit.model import KitError

if TYPE_CHECKING:
    from toolkit.images.store import Ask
    from toolkit.model import StoredImage

Yes = Annotated[bool, typer.Option("--yes", help="Remove what runs or stopped containers use too, without asking.")]


def list_(json: Json = False) -> None:
    """List kit's images: how big, verified or not, and what uses them."""
    with failing("image-list", json):
        from toolkit.engine.docker import Docker
        from toolkit.images import store
        from toolkit.show import store as view

        with Docker() as engine:
            rows = store.images(engine)
        show(
            json,
            lambda: {"schema": "kit.image-list/1", "images": [asdict(row) for row in rows]},
            lambda: view.listing(rows),
        )


def show_(
    image: Annotated[str, typer.Argument(help="A name or an id, of any image in the engine.")],
    json: Json = False,
) -> None:
    """Show one image: what is in it, how it was proven, what uses it."""
    with failing("image", json):
        from toolkit.engine.docker import Docker
        from toolkit.images import store
        from toolkit.model import document
        from toolkit.show import store as view

        with Docker() as engine:
            row = store.image(engine, image)
        show(json, lambda: document("image", row), lambda: view.image(row))


def rm(
    images: Annotated[list[str], typer.Argument(help="Names or ids of kit's images.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove kit's images; one that a run or a container uses only after asking."""
    with failing("image-rm", json):
        from toolkit.engine.docker import Docker
        from toolkit.images import store
        from toolkit.model import document
        from toolkit.show import store as view

        with Docker() as engine:
            record = store.remove(engine, tuple(images), _ask(yes))
        show(json, lambda: document("image-rm", record), lambda: view.removed(record))
        raise typer.Exit(PROBLEM if record.kept else HEALTHY)


def prune(
    cache: Annotated[
        bool, typer.Option("--cache", help="Also the engine's build cache, everybody's, that is not used any more.")
    ] = False,
    unused_days: Annotated[int, typer.Option(min=0, help="How long nobody used the cache that goes.")] = 7,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove what is superseded: images that newer builds replaced, and what killed builds left behind."""
    with failing("image-prune", json):
        from toolkit.engine.docker import Docker
        from toolkit.images import store
        from toolkit.model import document
        from toolkit.show import store as view

        with Docker() as engine:
            record = store.prune(engine, _ask(yes), unused_days if cache else None)
        show(json, lambda: document("image-prune", record), lambda: view.removed(record))
        raise typer.Exit(PROBLEM if record.kept else HEALTHY)


def save(
    image: Annotated[str, typer.Argument(help="A name or an id, of any image in the engine.")],
    file: Annotated[Path, typer.Argument(help="The file to write; docker load reads it too, where there is no kit.")],
    json: Json = False,
) -> None:
    """Write an image with its records into one checked file. A save that was cut off goes on where it was."""
    with failing("image-save", json):
        from toolkit.engine.docker import Docker
        from toolkit.images import transfer
        from toolkit.model import document
        from toolkit.show import store as view
        from toolkit.show import terminal

        with Docker() as engine, view.moving(terminal.console(stderr=True)) as on_progress:
            record = transfer.save(engine, image, file, on_progress)
        show(json, lambda: document("image-save", record), lambda: view.saved(record))


def load(
    file: Annotated[Path, typer.Argument(help="A file of kit image save.")],
    json: Json = False,
) -> None:
    """Load an image with its records from a file of kit image save, once all of it is checked."""
    with failing("image-load", json):
        from toolkit.engine.docker import Docker
        from toolkit.images import transfer
        from toolkit.model import document
        from toolkit.show import store as view
        from toolkit.show import terminal

        with Docker() as engine, view.moving(terminal.console(stderr=True)) as on_progress:
            record = transfer.load(engine, file, on_progress)
        show(json, lambda: document("image-load", record), lambda: view.loaded(record))


def fetch_wheels(
    folder: Annotated[Path, typer.Argument(help="The folder to fill; kit build --wheelhouse takes it.")],
    variant: Annotated[str, typer.Option(help="gpu or cpu.")] = "gpu",
    tensorflow: Annotated[str | None, typer.Option("--tf", help="A TensorFlow; the newest if not said.")] = None,
    flavour: Annotated[str, typer.Option(help="tested or newest: which CUDA libraries.")] = "tested",
    extra: Annotated[str | None, typer.Option(help="An extra of the image: script, notebook, jax or torch.")] = None,
    base: Annotated[str | None, typer.Option(help="Another base image, as in kit build.")] = None,
    python: Annotated[
        str | None, typer.Option(help="A Python, as 3.11; that of the variant's base if not said.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="x86_64 or aarch64: what the image is for; this machine's if not said.")
    ] = None,
    json: Json = False,
) -> None:
    """Fill a folder with all that a build downloads: wheels, each checked by its lock, and Debian packages."""
    with failing("image-wheels", json):
        from toolkit.images import debs, wheels
        from toolkit.images.variants import on_base
        from toolkit.images.variants import variant as named_variant
        from toolkit.model import document
        from toolkit.show import store as view
        from toolkit.show import terminal
        from toolkit.show.images import building

        each = named_variant(variant, tensorflow, one_of("--flavour", flavour, "tested", "newest"), extra)
        each = each if base is None else on_base(each, base)
        on = wheels.target(each, python, platform.machine() if machine is None else machine)
        with view.moving(terminal.console(stderr=True)) as on_progress:
            record = wheels.fetch(each, folder, on, on_progress)
        try:
            with building(terminal.console(stderr=True)) as on_line:
                record = replace(record, debs=debs.fetch(each, folder, on, on_line))
        except KitError as error:  # the wheels are there all the same
            record = replace(record, debs=debs.there(each, folder, on), lacks=str(error))
        show(json, lambda: document("image-wheels", record), lambda: view.wheels(record))
        raise typer.Exit(PROBLEM if record.lacks else HEALTHY)


def _ask(yes: bool) -> Ask:
    """Return what asks before something in use is removed; where nobody can answer, the answer is no."""
    from toolkit.images.store import uses

    def ask(each: StoredImage) -> bool:
        if yes or not sys.stdin.isatty():
            return yes
        try:
            return typer.confirm(f"{', '.join(each.tags) or each.image_id}: used by {uses(each)}. Remove it?", err=True)
        except typer.Abort:
            raise KeyboardInterrupt from None

    return ask
