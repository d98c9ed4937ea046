"""Bars on a logarithmic scale as SVG: readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from math import inf, log10

WIDTH, LEFT, RIGHT = 800, 200, 70
TOP, ROW, BAR = 80, 32, 12
LEAST, MOST = 1, 10_000  # milliseconds
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.note { fill: #59636e }
.grid { stroke: #d1d9e0 }
.small { fill: #0969da }
.heavy { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .note { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .small { fill: #4493f8 }
  .heavy { fill: #db6d28 }
}"""
SERIES = (("small", "small app"), ("heavy", "numpy, pandas, SQLAlchemy"))


Times = tuple[float | None, float | None]


def plot(medians: Mapping[str, Times], where: str) -> str:
    """Draw for each name two times, in seconds, fastest first; None is one that never ended."""
    height = TOP + ROW * len(medians) + 30
    title = "From a save to the fresh response, median in ms"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f"<style>\n{STYLE}\n</style>",
        _text(8, 20, title, "title"),
        *_legend(),
        *_grid(height),
    ]
    for row, (name, times) in enumerate(sorted(medians.items(), key=_by_time)):
        parts += _bars(TOP + ROW * row, name, times)
    parts += [_text(8, height - 8, f"{where}. The scale is logarithmic.", "note"), "</svg>"]
    return "\n".join(parts) + "\n"


def _by_time(row: tuple[str, Times]) -> list[float]:
    return [inf if seconds is None else seconds for seconds in row[1]]


def _legend() -> Iterator[str]:
    for number, (kind, label) in enumerate(SERIES):
        left = LEFT + number * 110
        yield f'<rect class="{kind}" x="{left}" y="32" width="{BAR}" height="{BAR}"/>'
        yield _text(left + BAR + 6, 42, label)


def _grid(height: int) -> Iterator[str]:
    tick = LEAST
    while tick <= MOST:
        x = _x(tick)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 26}"/>'
        yield _text(x, TOP - 10, f"{tick:,}", "note", "middle")
        tick *= 10


def _bars(y: int, name: str, times: Times) -> Iterator[str]:
    yield _text(LEFT - 8, y + BAR + 4, name, anchor="end")
    for number, ((kind, _), seconds) in enumerate(zip(SERIES, times, strict=True)):
        top = y + number * (BAR + 1)
        if seconds is None:
            yield _text(LEFT + 4, top + 10, "never", "note")
            continue
        end = _x(seconds * 1000)
        yield f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{end - LEFT:.1f}" height="{BAR}"/>'
        yield _text(end + 5, top + 10, f"{seconds * 1000:,.0f}")


def _x(milliseconds: float) -> float:
    share = log10(min(max(milliseconds, LEAST), MOST) / LEAST) / log10(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    marks = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y}"{marks}>{escape(text)}</text>'
