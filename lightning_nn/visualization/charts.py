"""Charts of a few lines as the parts of an SVG, which a template writes: a page then needs no image and no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 340, 170  # of the plot, in pixels of the page
Points = Sequence[tuple[float, float]]

_MOST = 400  # points of a line that are drawn


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        name: of what it shows.
        points: "x,y x,y ...", in pixels of the plot.
        dots: x and y of each point, where there are few enough to see.
        number: of the line in its chart, from 0, which decides its colour.
    """

    name: str
    points: str
    dots: list[tuple[float, float]]
    number: int


class Chart(NamedTuple):
    """A chart of lines over a common axis.

    Attributes:
        title: above it.
        lines: at least one.
        x: labels of the left and the right end.
        y: labels of the bottom and the top.
    """

    title: str
    lines: list[Line]
    x: tuple[str, str]
    y: tuple[str, str]


def chart(
    title: str,
    series: Mapping[str, Points],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> Chart | None:
    """Lay out a chart; None if no line has a finite point.

    Args:
        title: above it.
        series: points of each line, by its name.
        x_range: of the axis; None for that of the points.
        y_range: likewise.
    """
    finite = {name: _thinned([p for p in points if all(map(math.isfinite, p))]) for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    every = [point for points in finite.values() for point in points]
    (left, right), (low, high) = (
        (min(values), max(values)) if given is None else given
        for values, given in zip(zip(*every, strict=True), (x_range, y_range), strict=True)
    )
    lines = []
    for number, (name, points) in enumerate(finite.items()):
        places = [
            (round(WIDTH * _share(x, left, right), 1), round(HEIGHT * (1 - _share(y, low, high)), 1)) for x, y in points
        ]
        dots = places if len(places) <= 30 else []
        lines.append(Line(name, " ".join(f"{x:g},{y:g}" for x, y in places), dots, number))
    return Chart(title, lines, (_label(left), _label(right)), (_label(low), _label(high)))


def _thinned(points: Points) -> Points:
    """Keep every n-th point of a long line, and the last."""
    step = -(-len(points) // _MOST)
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)


def _label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
