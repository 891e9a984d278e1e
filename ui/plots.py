"""Bars and lines out of plain elements: a plotting library would need 'unsafe-eval' in the page's policy.

Every place is a number of per cent that is made here; nothing else goes into a style.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ui.render import Html, el

_POINTS = 160  # of a curve
_WIDE, _HIGH = 4.4, 1.5  # pixels a per cent, of an area that a curve is drawn on, about
_MIDDLE = 60  # per cent, from where a mark is named on its left


class Point(NamedTuple):
    """A value with its interval, and what it is called."""

    label: str
    value: float
    between: tuple[float, float] | None
    shown: str


def bar(point: Point, top: float = 1.0) -> Html:
    """A row: the label, a bar with its interval, the value."""
    whisker = None
    if point.between:
        low, high = (_per_cent(edge, top) for edge in point.between)
        whisker = el("span", class_="whisker", style=f"left:{low:.2f}%;width:{max(high - low, 0):.2f}%")
    track = el("span", el("span", class_="fill", style=f"width:{_per_cent(point.value, top):.2f}%"), whisker, class_="track")
    return el(
        "div", el("span", point.label, class_="bar-label"), track, el("span", point.shown, class_="bar-value"), class_="bar"
    )


def line(points: Sequence[Point], top: float, top_shown: str) -> Html:
    """Values in their order from left to right, a line through them and a band for the intervals; two points at least."""
    step = 100 / (len(points) - 1)
    at = [(n * step, 100 - _per_cent(point.value, top)) for n, point in enumerate(points)]
    upper = [(n * step, 100 - _per_cent(point.between[1], top)) for n, point in enumerate(points) if point.between]
    lower = [(n * step, 100 - _per_cent(point.between[0], top)) for n, point in enumerate(points) if point.between]
    band = el("span", class_="band", style=f"clip-path:{_polygon(upper, lower)}") if len(upper) > 1 else None
    path = el("span", class_="path-line", style=f"clip-path:{_polygon(at, at, 1)}")
    dots = [
        el("span", class_="dot", title=f"{point.label}: {point.shown}", style=f"left:{x:.2f}%;top:{y:.2f}%")
        for (x, y), point in zip(at, points, strict=True)
    ]
    ends = el("div", el("span", points[0].label), el("span", points[-1].label), class_="plot-ends")
    scale = el("div", el("span", top_shown), el("span", "0"), class_="plot-scale")
    return el("div", scale, el("div", band, path, dots, class_="plot-area"), ends, class_="plot")


def _polygon(there: Sequence[tuple[float, float]], back: Sequence[tuple[float, float]], half: int = 0) -> str:
    """Along one line and back along another, `half` pixels apart from each."""
    corners = [f"{x:.2f}% calc({y:.2f}% - {half}px)" for x, y in there]
    corners += [f"{x:.2f}% calc({y:.2f}% + {half}px)" for x, y in reversed(back)]
    return f"polygon({','.join(corners)})"


def _per_cent(value: float, top: float) -> float:
    return min(max(100 * value / top, 0.0), 100.0) if top > 0 else 0.0


def columns(points: Sequence[Point], edges: Sequence[int], mark: int, said: str) -> Html:
    """A column a point, each for what lies between an edge and the next, which is twice as far; a line where `mark` lies."""
    top = max((point.value for point in points), default=0)
    bars = [
        el(
            "span",
            el("span", class_="fill", style=f"height:{_per_cent(point.value, top):.2f}%"),
            title=point.shown,
            class_="lengths-bar",
        )
        for point in points
    ]
    at = _per_cent(math.log2(2 * max(mark, 1) / edges[0]), len(edges)) if edges and mark <= edges[-1] else None
    side = "right" if at is not None and at > _MIDDLE else "left"
    line_ = el("span", el("span", said), class_=f"mark-line {side}", style=f"left:{at:.2f}%") if at is not None else None
    names = [el("span", point.label) for point in points]
    return el(
        "div", el("div", bars, line_, class_="lengths-area"), el("div", names, class_="lengths-names"), class_="lengths-plot"
    )


def curve(at: Sequence[tuple[float, float]], low: float, high: float, shown: tuple[str, str]) -> Html:
    """A line through (x, y), two at least, without dots; `low` and `high` of y are written at the side as `shown`."""
    thinned = at[:: max(1, len(at) // _POINTS)]
    kept = [*thinned, at[-1]] if thinned[-1] != at[-1] else list(thinned)
    first, wide = kept[0][0], kept[-1][0] - kept[0][0]
    places = [(_per_cent(x - first, wide), 100 - _per_cent(y - low, high - low)) for x, y in kept]
    path = el("span", class_="path-line", style=f"clip-path:{_ribbon(places)}")
    ends = el("div", el("span", f"{first:,.0f}"), el("span", f"{kept[-1][0]:,.0f}"), class_="plot-ends")
    scale = el("div", el("span", shown[1]), el("span", shown[0]), class_="plot-scale")
    return el("div", scale, el("div", path, class_="plot-area"), ends, class_="plot plot-curve")


def _ribbon(places: Sequence[tuple[float, float]]) -> str:
    """The line as a band of even width, also where it is steep: its edges lie square to it, on an area of the usual shape."""
    sides = []
    for at, (x, y) in enumerate(places):
        before, after = places[max(at - 1, 0)], places[min(at + 1, len(places) - 1)]
        right, down = (after[0] - before[0]) * _WIDE, (after[1] - before[1]) * _HIGH
        length = math.hypot(right, down) or 1
        sides.append((x, y, -down / length, right / length))
    there = [f"calc({x:.2f}% + {a:.2f}px) calc({y:.2f}% + {b:.2f}px)" for x, y, a, b in sides]
    back = [f"calc({x:.2f}% - {a:.2f}px) calc({y:.2f}% - {b:.2f}px)" for x, y, a, b in reversed(sides)]
    return f"polygon({','.join(there + back)})"
