"""Charts as inline SVG: lines and histograms that take their colours from the page, so that dark and print fit too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# Drawn by hand and not by matplotlib: that takes a second to import, and its SVG knows no dark page.

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40
MOST_POINTS = 400  # of a line; more are not seen
MARKED = 60  # up to so many points, each is marked and tells its value where the pointer stands on it

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its name, the numbers at its ends, and whether it counts."""

    name: str
    low: float
    high: float
    whole: bool = False

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; `kind` is its class in the page's style."""

    name: str
    kind: str
    points: tuple[Point, ...]


def axis(
    name: str, values: Iterable[float], *, low: float | None = None, high: float | None = None, whole: bool = False
) -> Axis:
    """Return the axis that holds all finite values, with a given end where there is one."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    bottom = min(finite) if low is None else low
    top = max(finite) if high is None else high
    if top <= bottom:
        bottom, top = bottom - 0.5, bottom + 0.5
    return Axis(name, bottom, top, whole)


def ticks(axis: Axis, most: int = 6) -> list[float]:
    """Return round numbers between the ends of an axis: steps of 1, 2 or 5 times a power of ten."""
    wide = axis.high - axis.low
    step = 10 ** math.floor(math.log10(wide / most))
    step *= next(factor for factor in (1, 2, 5, 10) if wide / (step * factor) <= most)
    if axis.whole:
        step = max(step, 1)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def lines(
    name: str,
    x: Axis,
    y: Axis,
    drawn: Sequence[Line],
    level: tuple[float, str] | None = None,
    cuts: Sequence[float] = (),
) -> str:
    """Return a line chart; `level` is a horizontal line with its text, `cuts` are vertical ones with their numbers."""
    parts = [_frame(x, y)]
    if level and y.low <= level[0] <= y.high:
        height = _y(y, level[0])
        parts += [_rule("level", LEFT, height, WIDTH - RIGHT, height), _text("small", LEFT + 6, height - 4, level[1])]
    for cut in cuts:
        place = _x(x, cut)
        parts += [_rule("cut", place, TOP, place, HEIGHT - BOTTOM), _text("small", place + 5, TOP + 12, f"{cut:.1f}")]
    parts += [_line(line, x, y) for line in drawn]
    return _figure(name, "".join(parts), [(line.kind, line.name) for line in drawn])


def histogram(name: str, feature: str, edges: Sequence[float], counts: dict[str, Sequence[int]]) -> str:
    """Return a histogram: a bar between two edges each, the classes standing on each other."""
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    x, y = Axis(feature, edges[0], edges[-1]), axis("samples", totals, low=0)
    parts = [_frame(x, y)]
    below = [0] * len(totals)
    for number, (label, column) in enumerate(counts.items()):
        for place, count in enumerate(column):
            left, right = _x(x, edges[place]), _x(x, edges[place + 1])
            top, bottom = _y(y, below[place] + count), _y(y, below[place])
            size = f'width="{max(right - left - 1, 0.5):.1f}" height="{bottom - top:.1f}"'
            tip = escape(f"{edges[place]:g} to {edges[place + 1]:g}: {count} of class {label}")
            parts.append(
                f'<rect class="{series(number)}" x="{left + 0.5:.1f}" y="{top}" {size}><title>{tip}</title></rect>'
            )
            below[place] += count
    return _figure(name, "".join(parts), [(series(number), f"class {label}") for number, label in enumerate(counts)])


def series(number: int) -> str:
    """Return the class in the page's style of the n-th of several things; there are four, then they repeat."""
    return f"series-{number % 4}"


def _figure(name: str, inside: str, legend: Sequence[tuple[str, str]]) -> str:
    keys = "".join(f'<span><i class="{kind}"></i>{escape(label)}</span>' for kind, label in legend)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{inside}</svg>'
        f"<figcaption>{keys}</figcaption></figure>"
    )


def _frame(x: Axis, y: Axis) -> str:
    base, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in ticks(y):
        height = _y(y, value)
        parts += [
            _rule("grid", LEFT, height, right, height),
            _text("tick", LEFT - 6, height + 4, _number(value), "end"),
        ]
    parts += [_text("tick", _x(x, value), base + 16, _number(value), "middle") for value in ticks(x)]
    parts += [
        _rule("base", LEFT, base, right, base),
        _text("tick", (LEFT + right) / 2, HEIGHT - 6, x.name, "middle"),
    ]
    return "".join(parts)


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, said: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'


def _line(line: Line, x: Axis, y: Axis) -> str:
    """Return one line, in pieces where a value is not finite, thinned where there are too many."""
    every = max(1, math.ceil(len(line.points) / MOST_POINTS))
    kept = [*line.points[:-1:every], *line.points[-1:]]
    pieces: list[list[Point]] = [[]]
    for point in kept:
        if math.isfinite(point[1]):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    drawn = []
    for piece in pieces:
        path = " ".join(f"{_x(x, each)},{_y(y, value)}" for each, value in piece)
        drawn.append(f'<polyline class="{line.kind}" points="{path}"/>' if path else "")
        if len(line.points) <= MARKED:
            drawn += [
                f'<circle class="{line.kind}" cx="{_x(x, each)}" cy="{_y(y, value)}" r="2.2">'
                f"<title>{escape(f'{x.name} {each:g}: {line.name} {value:.4g}')}</title></circle>"
                for each, value in piece
            ]
    return "".join(drawn)


def _x(x: Axis, value: float) -> float:
    return round(LEFT + x.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(y: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM), 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
