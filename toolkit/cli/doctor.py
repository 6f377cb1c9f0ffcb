"""kit doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.frame import HEALTHY, PROBLEM, Json, failing, one_of, show, table
from toolkit.model import KitError, UsageError


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
    with failing("doctor", json):
        from toolkit import checks, scenarios
        from toolkit.doctor import examine
        from toolkit.model import document
        from toolkit.show import doctor as view
        from toolkit.show import script

        severities = ("error", "warning")[: 1 + (one_of("--fail-on", fail_on, "error", "warning") == "warning")]
        if list_checks:
            rows = [
                (rule.rung, checks.check_id(each), checks.title(each))
                for rule in checks.rules()
                for each in rule.checks
            ]
            table(json, "checks", ("rung", "check", "title"), rows)
            return
        if simulate == "list":
            table(
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
            show(json, lambda: document("doctor", record), lambda: view.diagnosis(record, verbose=verbose))
        if not any(rung.status in ("ok", "broken") for rung in record.chain):
            raise KitError("nothing of this machine could be judged: kit doctor -v tells what could not be read")
        problem = record.root_cause or any(found.severity in severities for found in record.findings)
        raise typer.Exit(PROBLEM if problem else HEALTHY)
