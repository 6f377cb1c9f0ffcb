"""The lines of a log as its programs wrote them: without colours and BuildKit's prefixes, wrapped ones joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
PREFIX = re.compile(r"#(?P<step>\d{1,9}) (?:(?P<seconds>\d+\.\d+) )?")
BOX = re.compile(r" +(?:[├╰]─▶|hint:)")  # how uv before 0.13 begins a sentence that it wraps at 80 columns
WRAPPED = re.compile(r" {6}(?=\S)")
LONGEST = 8192  # what is joined to one line


@dataclass(frozen=True, slots=True)
class Line:
    """A line by its number, from 1. Of an image's build also the step that it is of, and the seconds since that step's
    begin where the step's program printed it, not BuildKit."""

    number: int
    text: str
    step: int | None = None
    seconds: float | None = None

    @property
    def own(self) -> bool:
        """Whether BuildKit said it of a step. Samples: '#7 [image 2/3] RUN ldconfig', '#7 ...', '#7 ERROR: process …'."""
        return self.step is not None and self.seconds is None


def lines(log: Iterable[str]) -> Iterator[Line]:
    """Give the lines of a log, a joined one when its last line is read.

    Samples: '#7 0.604   ╰─▶ Because tensorflow-cpu==2.11.1 has no wheels with a matching Python ABI' and, joined to it,
    '#7 0.604       tag and you require tensorflow-cpu==2.11.1, we can conclude that your'.
    """
    held: dict[int | None, Line] = {}  # by step, since BuildKit mixes the lines of those that run at once
    for number, raw in enumerate(log, 1):
        line = _line(number, raw)
        before = held.get(line.step)
        if before and WRAPPED.match(line.text) and len(before.text) < LONGEST:
            held[line.step] = replace(before, text=f"{before.text} {line.text.strip()}")
            continue
        if before and not line.own:
            yield held.pop(line.step)
        if BOX.match(line.text):
            held[line.step] = line
        else:
            yield line
    yield from held.values()


def _line(number: int, raw: str) -> Line:
    text = COLOUR.sub("", raw.rstrip("\r\n"))
    prefix = PREFIX.match(text)
    if not prefix:
        return Line(number, text)
    seconds = prefix["seconds"]
    return Line(number, text[prefix.end() :], int(prefix["step"]), float(seconds) if seconds else None)
