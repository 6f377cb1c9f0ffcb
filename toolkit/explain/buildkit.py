"""The log of an image's build -> the lines that tell why it failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from toolkit.explain.lines import Line


def telling(log: Iterable[Line]) -> Iterator[Line]:
    """Give the lines of a build's log that tell why it failed: those of the steps that failed, and those of no step.

    What other steps printed is noise, and BuildKit's closing part repeats the commands and the Dockerfile. Samples:
    '#7 1.263 error: Failed to fetch: …', '#7 ERROR: process "/bin/sh -c …" did not complete …', '------'.
    """
    every = sorted(log, key=lambda line: line.number)  # a sentence that was joined came with its last line
    failed = {line.step for line in every if _error(line)}
    closing = False
    for line in every:
        closing = closing or (line.step is None and line.text == "------")
        printed = not line.own and line.step in {None, *failed}
        if _error(line) or (printed and not closing):
            yield line


def _error(line: Line) -> bool:
    """Return whether BuildKit says that a step or the build failed; a step's program may say ERROR and go on."""
    return (line.own or line.step is None) and line.text.startswith("ERROR: ")
