"""Patterns over a log of any size -> the lines that they hold for. RE2 searches: no pattern and no log makes it slow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import re2

from toolkit.explain.lines import LONGEST, Line

MOST = 5  # lines kept of one pattern
BLOCK = 1 << 20  # bytes searched at a time
TAIL = 1 << 16  # bytes of a block in which the last line is looked for first
BEFORE = LONGEST // 2  # bytes kept of a line before what a pattern holds for


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a log, whole lines but where one is longer than a block.

    `lines` are those that the text's lines came from, where they are not simply numbered from `first` on.
    """

    text: bytes
    first: int = 1
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that a pattern holds for, and what the pattern's named groups caught in it."""

    line: Line
    caught: dict[str, str] = field(default_factory=dict)


def of_lines(lines: Iterable[Line]) -> Iterator[Block]:
    """Give blocks of lines that were read one by one."""
    left = iter(lines)
    while some := tuple(islice(left, BLOCK // LONGEST)):
        text = "\n".join(line.text[:LONGEST].replace("\n", " ") for line in some)
        yield Block(text.encode(errors="replace"), lines=some)


class Patterns:
    """Patterns that are searched together, in RE2's syntax; `^` and `$` are the ends of a line."""

    def __init__(self, patterns: Sequence[str]) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # bytes are searched: what is not UTF-8 is text too
        self._filter = re2.Filter()
        for pattern in patterns:
            self._filter.Add(b"(?m)" + pattern.encode(), options)
        self._filter.Compile()
        # Those without a word of their own, which the filter never rules out, are ruled out together.
        self._plain = tuple(self._filter.Match(b"", True) or ())
        self._any_plain = re2.Set.SearchSet(options)
        for index in self._plain:
            self._any_plain.Add(b"(?m)" + patterns[index].encode())
        self._any_plain.Compile()

    def found(self, blocks: Iterable[Block], last: Collection[int] = ()) -> dict[int, list[Hit]]:
        """Return the first lines that each pattern holds for, by the pattern's place; of those in `last` the last."""
        found: dict[int, list[Hit]] = {}
        for block in blocks:
            for index in self._likely(block.text):
                pattern, before = self._filter.re(index), found.get(index, [])
                if index in last:
                    hits = _last(block, pattern)[-1:] or before
                else:
                    hits = before + list(_hits(block, pattern, MOST - len(before)))
                if hits:
                    found[index] = hits
        return found

    def _likely(self, text: bytes) -> Iterator[int]:
        """Give the places of patterns that may hold somewhere in a text."""
        yield from (index for index in self._filter.Match(text, True) or () if index not in self._plain)
        yield from (self._plain[place] for place in self._any_plain.Match(text) or ())


def _last(block: Block, pattern: Any) -> list[Hit]:
    tail = max(0, len(block.text) - TAIL)
    return [_hit(block, match) for match in pattern.finditer(block.text, tail)] or list(_hits(block, pattern, MOST))


def _hits(block: Block, pattern: Any, most: int) -> Iterator[Hit]:
    number = 0
    matches = pattern.finditer(block.text) if most > 0 else iter(())
    for match in matches:
        hit = _hit(block, match)
        if hit.line.number == number:
            continue
        number = hit.line.number
        yield hit
        most -= 1
        if not most:
            return


def _hit(block: Block, match: Any) -> Hit:
    text, at = block.text, match.end() - len(match.group().lstrip())
    begin = max(text.rfind(b"\n", 0, at) + 1, text.rfind(b"\r", 0, at) + 1, at - BEFORE)
    ends = [end for mark in (b"\n", b"\r") if (end := text.find(mark, at)) >= 0]
    before = text.count(b"\n", 0, at)
    if block.lines:
        line = block.lines[before]
    else:
        line = Line(block.first + before, text[begin : min([*ends, begin + LONGEST])].decode(errors="replace"))
    groups = {name.decode(): value for name, value in match.groupdict().items() if value is not None}
    caught = {name: value.decode(errors="replace") for name, value in groups.items()}
    return Hit(line, caught)
