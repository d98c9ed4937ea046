"""A line chart as SVG, readable in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import cycle

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 110, 40, 48
LINE = 15  # between two lines of text
COLOURS = ("#2f81f7", "#db6d28", "#3fb950", "#a371f7")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a; }
.title { font-weight: 600; font-size: 15px; }
.grid { stroke: #8c959f; stroke-opacity: .25; }
.line { fill: none; stroke-width: 2.5; }
@media (prefers-color-scheme: dark) { text { fill: #adbac7; } }
"""


@dataclass(frozen=True)
class Series:
    """A line, by its points."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Lines over a logarithmic x axis; the y axis is logarithmic, too, if it spans enough."""

    title: str
    x_label: str
    y_label: str
    series: list[Series]

    def svg(self) -> str:
        """Return the drawing."""
        name = f'role="img" aria-label="{escape(self.title)}"'
        title = escape(f"{self.title}, {self.y_label}")
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {name}>',
            f"<style>{STYLE}</style>",
            f'<text class="title" x="{LEFT}" y="22">{title}</text>',
            *self._axes(),
        ]
        for one, colour, label in zip(self.series, cycle(COLOURS), self._labels(), strict=False):
            parts += self._line(one, colour, label)
        return "\n".join([*parts, "</svg>", ""])

    def _axes(self) -> Iterable[str]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value in sorted({x for one in self.series for x, _ in one.points}):
            x = self._x(value)
            yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:,.0f}</text>'
        for value in self._ticks():
            y = self._y(value)
            yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
            yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        middle = (LEFT + right) / 2
        label = escape(self.x_label)
        yield f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{label}</text>'

    def _labels(self) -> list[float]:
        """Return where the names of the lines go: at their ends, but not one over another."""
        ends = [self._y(one.points[-1][1]) for one in self.series]
        free = float("-inf")
        for number in sorted(range(len(ends)), key=ends.__getitem__):
            free = ends[number] = max(ends[number], free)
            free += LINE
        return ends

    def _line(self, one: Series, colour: str, label: float) -> Iterable[str]:
        places = [(self._x(x), self._y(y)) for x, y in one.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline class="line" stroke="{colour}" points="{path}"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
        x = places[-1][0] + 10
        style = f"fill: {colour}; font-weight: 600"
        yield f'<text x="{x:.1f}" y="{label + 4:.1f}" style="{style}">{escape(one.name)}</text>'

    def _values(self) -> list[float]:
        return [y for one in self.series for _, y in one.points]

    def _span(self) -> tuple[float, float]:
        """Return the powers of ten between which the values lie."""
        values = [value for value in self._values() if value > 0] or [1.0]
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return low, max(high, low + 1)

    def _ticks(self) -> list[float]:
        low, high = self._span()
        return [10**power for power in range(int(low), int(high) + 1)]

    def _x(self, value: float) -> float:
        known = [math.log10(x) for one in self.series for x, _ in one.points]
        share = (math.log10(value) - min(known)) / ((max(known) - min(known)) or 1)
        return LEFT + 20 + share * (WIDTH - LEFT - RIGHT - 40)

    def _y(self, value: float) -> float:
        low, high = self._span()
        share = (math.log10(max(value, 10**low)) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
