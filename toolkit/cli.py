"""The command line: parses, calls one verb, shows what it returns, and exits. Nothing else exits."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from toolkit.model import KitError, UsageError

HEALTHY, PROBLEM, USAGE, UNABLE = 0, 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Finds where a GPU machine loses its GPUs, builds TensorFlow images that have them, and trains in those.",
)
run_app = typer.Typer(no_args_is_help=True, help="Run a packaged workload in a container.")
app.add_typer(run_app, name="run")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]


@app.command()
def doctor(
    json: Json = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show every check with its result.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only the host: bus, module, nodes, NVML.")] = False,
    capture: Annotated[
        Path | None, typer.Option(help="Write every answer of the machine, redacted, to this file.")
    ] = None,
    replay: Annotated[Path | None, typer.Option(help="Judge a captured machine instead of this one.")] = None,
    simulate: Annotated[str | None, typer.Option(help="Judge a machine of kit's library; list names them.")] = None,
    fix_script: Annotated[
        bool, typer.Option("--fix-script", help="Print the fixes as a shell script; it is not run.")
    ] = False,
    fail_on: Annotated[str, typer.Option(help="error or warning: what makes the exit code 1.")] = "error",
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks.")] = False,
) -> None:
    """Find the rung, from the PCI bus to TensorFlow, where the GPUs get lost, and the command that brings them back."""
    with _failing("doctor", json):
        from toolkit import checks, scenarios
        from toolkit.doctor import examine
        from toolkit.model import document
        from toolkit.show import script, terminal

        severities = ("error", "warning")[: 1 + (_one_of("--fail-on", fail_on, "error", "warning") == "warning")]
        if list_checks:
            rows = [
                (rule.rung, checks.check_id(each), checks.title(each))
                for rule in checks.rules()
                for each in rule.checks
            ]
            _table(json, "checks", ("rung", "check", "title"), rows)
            return
        if simulate == "list":
            _table(
                json,
                "machines",
                ("machine", "title"),
                [(name, scenarios.read(name)["title"]) for name in scenarios.names()],
            )
            return
        if simulate and replay:
            raise UsageError("--simulate and --replay are two machines: give one")
        record = examine(scenarios.file(simulate) if simulate else replay, capture, quick=quick)
        if fix_script:
            script.show(record)
        else:
            _show(json, lambda: document("doctor", record), lambda: terminal.diagnosis(record, verbose=verbose))
        if not any(rung.status in ("ok", "broken") for rung in record.chain):
            raise KitError("nothing of this machine could be judged: kit doctor -v tells what could not be read")
        problem = record.root_cause or any(found.severity in severities for found in record.findings)
        raise typer.Exit(PROBLEM if problem else HEALTHY)


@app.command()
def explain(
    fault: Annotated[str | None, typer.Option("--id", help="Show the page of a fault.")] = None,
    list_faults: Annotated[bool, typer.Option("--list", help="List every fault that kit knows.")] = False,
    json: Json = False,
) -> None:
    """Explain a fault of kit's vocabulary: what it is, what mends it, and a machine that has it."""
    with _failing("explain", json):
        from toolkit import faults, pages
        from toolkit.model import document
        from toolkit.show import terminal

        if list_faults:
            _table(
                json,
                "faults",
                ("fault", "title"),
                [(name, row["title"]) for name, row in sorted(faults.vocabulary().items())],
            )
            return
        if fault is None:
            raise UsageError("give --id FAULT for its page, or --list for all of them")
        page = pages.page(fault)
        _show(json, lambda: document("fault", page), lambda: terminal.page(page))


@app.command()
def build(
    variant: Annotated[str, typer.Option(help="gpu or cpu; auto is what this machine can use.")] = "auto",
    json: Json = False,
) -> None:
    """Build a TensorFlow image from its lock, prove it by a real start, and tag it only if it is good."""
    with _failing("build", json):
        from toolkit import doctor as machine
        from toolkit import images
        from toolkit.engine.docker import Docker
        from toolkit.model import document
        from toolkit.show import terminal

        named = None if variant == "auto" else images.variant(variant)
        facts = machine.this_machine()
        with Docker() as engine, terminal.building(terminal.console(stderr=True)) as on_line:
            record = images.build(engine, named or images.fitting(facts), facts, on_line)
        _show(json, lambda: document("build", record), lambda: terminal.built(record))
        raise typer.Exit(HEALTHY if record.tag else PROBLEM)


@run_app.command()
def workload(
    name: Annotated[str, typer.Argument(help="A folder of workloads/.")] = "side_effects",
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    batch_size: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Runs of one seed see the same data and start.")] = 0,
    gpus: Annotated[str, typer.Option(help="auto, all, none, a number, or indices as in 0,2.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or gpu: what to train on.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, docker or local; docker never falls back.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder that the run's folder is made in.")] = None,
    json: Json = False,
) -> None:
    """Run a packaged workload: count the GPUs on every rung, process the data, train, and keep the results."""
    with _failing("run", json):
        from toolkit import workloads
        from toolkit.model import document
        from toolkit.show import terminal

        work = workloads.workload(name)
        options = workloads.Options(epochs, batch_size, seed, _one_of("--device", device, "auto", "cpu", "gpu"), gpus)
        choice: Any = _one_of("--engine", engine, "auto", "docker", "local")
        with terminal.running(terminal.console(stderr=json)) as (on_event, on_progress):
            record = workloads.start(work, options, choice, out, on_event, on_progress)
        _show(json, lambda: document("run", record), lambda: terminal.ran(record, work.best_accuracy))
        raise typer.Exit(HEALTHY if record.status == "succeeded" else PROBLEM)


def _one_of(option: str, value: str, *allowed: str) -> Any:
    if value not in allowed:
        raise UsageError(f"{option} {value}: give {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _show(json: bool, document: Callable[[], dict[str, Any]], view: Callable[[], Any]) -> None:
    from toolkit.show import json as as_json
    from toolkit.show import terminal

    if json:
        as_json.show(document())
    else:
        terminal.console().print(view())


def _table(json: bool, name: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from toolkit.show import terminal

    document = {"schema": f"kit.{name}/1", name: [dict(zip(columns, row, strict=True)) for row in rows]}
    _show(json, lambda: document, lambda: terminal.table(columns, rows))


class _failing:  # noqa: N801 used as a statement
    """Turn what goes wrong into its exit code and one message: wrong usage 2, whatever else kit could not do 3."""

    def __init__(self, verb: str, json: bool) -> None:
        self._verb, self._json = verb, json

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        match error:
            case UsageError():
                self._say(str(error), USAGE)
            case KitError():
                self._say(str(error), UNABLE)
            case KeyboardInterrupt():
                self._say("interrupted", PROBLEM)
            case OSError():
                self._say(f"{error.strerror or error}: {error.filename or ''}", UNABLE)
            case Exception() if not isinstance(error, typer.Exit):
                import traceback

                traceback.print_exception(error)
                self._say(f"a fault of kit's own, please report the lines above: {error}", UNABLE)

    def _say(self, text: str, code: int) -> NoReturn:
        from toolkit.show import json as as_json

        if self._json:
            as_json.show({"schema": f"kit.{self._verb}/1", "error": text})
        sys.stderr.write(f"kit: {text}\n")
        raise typer.Exit(code) from None


def main() -> NoReturn:
    """Run the command line."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app()
    sys.exit(HEALTHY)
