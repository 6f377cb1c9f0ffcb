"""kit run script, kit run notebook and kit run shell."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, show

if TYPE_CHECKING:
    from toolkit.engine.docker import Docker
    from toolkit.model import CheckRecord
    from toolkit.own.container import Options, Place

Gpus = Annotated[str, typer.Option(help="auto, all, none, a number, or indices as in 0,2.")]
Device = Annotated[str, typer.Option(help="auto, cpu, gpu, or one of the GPUs as in gpu:1.")]
Network = Annotated[bool, typer.Option("--network", help="Give it the network; without, it has none.")]
NoGrowth = Annotated[
    bool, typer.Option("--no-growth", help="Let TensorFlow and JAX take all of the GPUs' memory at their start.")
]
Tf = Annotated[str | None, typer.Option("--tf", help="A TensorFlow, as 2.19; the newest that fits, if not said.")]
Requirements = Annotated[
    Path | None, typer.Option(help="Packages on top of the image's; a requirements.txt in the folder, if not said.")
]

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="It is /work in the container.", show_default=False)]


class ScriptCommand(TyperCommand):
    """The command of a script: says where the script's own options stand, which people forget."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if type(error).__name__ == "NoSuchOption":  # of click, of which Typer has a copy of its own
                error.message += "; an option of the script's stands after --: kit run script train.py -- --epochs 3"  # type: ignore[attr-defined]
            raise


def script(
    script: Annotated[Path, typer.Argument(help="A Python script; its folder is /work in the container.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="What the script is told, after --.")] = None,
    gpus: Gpus = "auto",
    device: Device = "auto",
    network: Network = False,
    no_growth: NoGrowth = False,
    requirements: Requirements = None,
    tensorflow: Tf = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Let what is piped to kit, or typed, be its input.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder that the run's folder is made in.")] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Run it, whatever kit check finds in it.")] = False,
    json: Json = False,
) -> None:
    """Run a script of your own in a container, with the GPUs: its folder read-only, /out ($KIT_OUT) to write to.

    kit check reads it first. The exit code is the script's own.
    """
    with failing("run", json):
        from toolkit.engine.docker import Docker
        from toolkit.model import document
        from toolkit.own import script as own
        from toolkit.own.container import Options
        from toolkit.show import json as as_json
        from toolkit.show import own as view
        from toolkit.show import terminal

        given = own.script(script, tuple(arguments or ()))
        options = Options(gpus, device, network, not no_growth, tensorflow, stdin)
        with Docker() as engine:
            place = _ready(engine, options, "script", given.path.parent, requirements, json=json)
            checked = own.preflight(given, place)
            if not no_check and any(found.raises for file in checked.files for found in file.findings):
                _refuse(checked, json=json)
            record = own.run(given, options, place, out, view.streamed(to_stderr=json))
        if json:
            as_json.show(document("run", record))
        else:  # stdout is the script's
            terminal.console(stderr=True).print(view.ran(record))
        raise typer.Exit(record.results["exit_code"])


def _refuse(checked: CheckRecord, *, json: bool) -> NoReturn:
    """Show what in a script would raise, and end with exit code 1: better now than after hours of training."""
    from toolkit.show import check as view
    from toolkit.show import json as as_json
    from toolkit.show import terminal

    if json:
        as_json.show(view.as_document(checked))
    output = terminal.console(stderr=True)
    output.print(view.checked(checked), soft_wrap=True)
    output.print("not run; kit check --write mends what is safe, --no-check runs it as it is", style="bold")
    raise typer.Exit(PROBLEM)


def shell(
    folder: Folder = Path(),
    gpus: Gpus = "auto",
    device: Device = "auto",
    network: Network = False,
    no_growth: NoGrowth = False,
    requirements: Requirements = None,
    tensorflow: Tf = None,
) -> None:
    """Open a shell in a container, with the GPUs: the folder is /work and yours to write. Without a terminal it reads stdin.

    The exit code is the shell's own.
    """
    with failing("run", False):
        from toolkit.engine.docker import Docker
        from toolkit.own import container
        from toolkit.own import shell as own

        here = container.folder(folder)
        options = container.Options(gpus, device, network, not no_growth, tensorflow)
        with Docker() as engine:
            place = _ready(engine, options, "script", here, requirements, json=False)
            code = own.run(here, options, place, terminal=sys.stdin.isatty() and sys.stdout.isatty())
        raise typer.Exit(code)


def notebook(
    folder: Folder = Path(),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of this machine; a free one, if not said.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link and open nothing.")] = False,
    gpus: Gpus = "auto",
    device: Device = "auto",
    no_growth: NoGrowth = False,
    requirements: Requirements = None,
    tensorflow: Tf = None,
    json: Json = False,
) -> None:
    """Open JupyterLab in a container, with the GPUs: the folder is /work and yours to write. Ctrl-C ends it.

    It is reached from this machine alone, and it has the network.
    """
    with failing("notebook", json):
        import webbrowser

        from toolkit.engine.docker import Docker
        from toolkit.model import document
        from toolkit.own import container
        from toolkit.own import notebook as own
        from toolkit.show import own as view

        def ready(served: own.Served) -> None:
            show(json, lambda: document("notebook", served), lambda: view.served(served))
            sys.stdout.flush()
            if not no_browser and not json:
                webbrowser.open(served.link)

        here = container.folder(folder)
        options = container.Options(gpus, device, network=True, growth=not no_growth, tensorflow=tensorflow)
        with Docker() as engine:
            place = _ready(engine, options, "notebook", here, requirements, json=json)
            ended = own.run(here, options, place, port, ready)
        raise typer.Exit(ended.code if ended else HEALTHY)


def _ready(
    engine: Docker, options: Options, extra: str, folder: Path, requirements: Path | None, *, json: bool
) -> Place:
    """Return the image for the code in a folder; the end with exit code 1 where it cannot be built."""
    from toolkit.images.build import NotBuiltError
    from toolkit.own import layer
    from toolkit.own.container import ready
    from toolkit.show import images as progress
    from toolkit.show import own as view
    from toolkit.show import terminal

    output = terminal.console(stderr=True)
    if requirements is None and (requirements := layer.beside(folder)):
        view.note(output, f"with the packages of {requirements}")
    try:
        with progress.building(output) as on_line:
            place = ready(engine, options, extra, requirements, on_line)
    except NotBuiltError as error:
        failed = {"schema": "kit.run/1", "status": "failed", "image": error.image, "log": error.log}
        findings = error.findings
        show(
            json,
            lambda: {**failed, "findings": [asdict(each) for each in findings]},
            lambda: view.not_built(failed["image"], findings, failed["log"]),
        )
        raise typer.Exit(PROBLEM) from None
    for note in place.notes:
        view.note(output, note)
    return place
