"""Bars and lines out of plain elements: a plotting library would need 'unsafe-eval' in the page's policy.

Every place is a number of per cent that is made here; nothing else goes into a style.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ui.render import Html, el


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
