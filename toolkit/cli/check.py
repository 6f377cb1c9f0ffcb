"""kit check."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing
from toolkit.model import UsageError

if TYPE_CHECKING:
    from toolkit.model import CheckTarget


def check(
    files: Annotated[list[Path], typer.Argument(help="Scripts, notebooks, or folders of them.", show_default=False)],
    tensorflow: Annotated[
        str | None, typer.Option("--tf", help="The TensorFlow of an image, as 2.19; the newest if not said.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put what is safe into the scripts, after showing the diff.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --write: do not ask.")] = False,
    json: Json = False,
) -> None:
    """Find what in scripts an image's TensorFlow and Keras no longer have, and what works there; nothing is run."""
    with failing("check", json):
        from toolkit.check import check as checked
        from toolkit.show import check as view
        from toolkit.show import json as as_json
        from toolkit.show import terminal

        if yes and not write:
            raise UsageError("--yes is of --write: give both, or neither")
        target = image_target(tensorflow)
        if write:
            _write(files, target, ask=not yes, json=json)
        record = checked(files, target)
        if json:
            as_json.show(view.as_document(record))
        else:
            terminal.console().print(view.checked(record), soft_wrap=True)  # a place is one line, for editors and grep
        raising = any(each.raises for file in record.files for each in file.findings)
        raise typer.Exit(PROBLEM if raising else HEALTHY)


def image_target(tensorflow: str | None) -> CheckTarget:
    """Return the versions of an image, by its lock. Raises UsageError with the images that there are."""
    import re

    from toolkit.images import variants
    from toolkit.model import CheckTarget

    variant = variants.variant("cpu", tensorflow)
    locked = re.search(r"^keras==([\w.]+)", variant.lock_file.read_text(encoding="utf-8"), re.MULTILINE)
    assert locked, f"{variant.lock_file} has no Keras"
    return CheckTarget(variant.tensorflow, locked[1])


def _write(files: list[Path], target: CheckTarget, *, ask: bool, json: bool) -> None:
    """Show what changes and write it, where it is wanted. With --json the diff goes where progress goes."""
    from toolkit.check import rewriting
    from toolkit.show import check as view
    from toolkit.show import terminal

    output = terminal.console(stderr=json)
    changed, notebooks = rewriting.rewrites(files, target)
    for notebook in notebooks:
        output.print(f"{notebook}: notebooks are left as they are", markup=False, style="dim", soft_wrap=True)
    for each in changed:
        output.print(view.diff(each.diff), soft_wrap=True)
    if not changed:
        output.print("nothing that is safe to rewrite", style="dim")
        return
    if ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody is there to be asked: --write --yes writes without asking")
    if ask and not typer.confirm(f"Write {len(changed)} of these?", err=True):
        return
    for each in changed:
        rewriting.write(each)
