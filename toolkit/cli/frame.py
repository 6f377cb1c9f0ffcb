"""What every command shares: its exit code, its --json, its one message when something goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from toolkit.model import KitError, UsageError

HEALTHY, PROBLEM, USAGE, UNABLE = 0, 1, 2, 3

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]


def one_of(option: str, value: str, *allowed: str) -> Any:
    """Return the value of an option; UsageError with those that are allowed where it is none of them."""
    if value not in allowed:
        raise UsageError(f"{option} {value}: give {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def show(json: bool, document: Callable[[], dict[str, Any]], view: Callable[[], Any]) -> None:
    """Show a record: its JSON document alone, or what people read."""
    from toolkit.show import json as as_json
    from toolkit.show import terminal

    if json:
        as_json.show(document())
    else:
        terminal.console().print(view())


def table(json: bool, name: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Show rows as a table, or as the JSON document `kit.<name>/1` with one object a row."""
    from toolkit.show import terminal

    document = {"schema": f"kit.{name}/1", name: [dict(zip(columns, row, strict=True)) for row in rows]}
    show(json, lambda: document, lambda: terminal.table(columns, rows))


class failing:  # noqa: N801 used as a statement
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
