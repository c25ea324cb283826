"""Shapes of the kinds of objects: signed distances in units of an object's size, negative inside.

A point is (u, v): u to the right of the object's middle, v above its foot. Shapes are unions (`np.minimum`) of boxes,
ellipses and half-planes. Only +, -, *, / and the square root are used, whose results IEEE 754 fixes to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

_WOOD, _GLASS, _RUBBER, _CREAM = (112.0, 78.0, 54.0), (198.0, 224.0, 240.0), (44.0, 44.0, 50.0), (238.0, 226.0, 204.0)


class Part(NamedTuple):
    """A part of an object that has its own colour.

    Attributes:
        distance: (n, h, w), signed distance.
        paint: red, green and blue, 0 to 255; or None for the object's own colour.
        tone: factor on the colour, below 1 darker; above 1 the share of white that is mixed in, plus 1.
    """

    distance: Field
    paint: tuple[float, float, float] | None = None
    tone: float = 1.0


def _box(u: Field, v: Field, left: float, right: float, bottom: float, top: float) -> Field:
    return np.maximum(np.maximum(left - u, u - right), np.maximum(bottom - v, v - top))


def _ellipse(u: Field, v: Field, x: float, y: float, a: float, b: float) -> Field:
    return (np.sqrt(np.square((u - x) / a) + np.square((v - y) / b)) - 1) * min(a, b)


def _below(u: Field, v: Field, apex: float, slope: float) -> Field:
    """Compute the distance to an upside-down V with its tip at height `apex`, which falls by `slope`."""
    length = np.sqrt(np.float32(1 + slope * slope))
    return (v - apex + np.float32(slope) * np.abs(u)) / length


def house(u: Field, v: Field, variant: Field) -> list[Part]:
    """Draw walls under a gable, a door and a window."""
    walls = _box(u, v, -0.5, 0.5, 0.0, 0.62)
    roof = np.maximum(np.maximum(_below(u, v, 1.08, 0.86), 0.56 - v), np.abs(u) - 0.53)
    side = np.where(variant < 0.5, -1, 1).astype(np.float32)
    door, window = _box(u * side, v, -0.34, -0.08, 0.0, 0.4), _box(u * side, v, 0.08, 0.36, 0.2, 0.44)
    attic = _ellipse(u, v, 0, 0.78, 0.09, 0.09)
    return [Part(walls), Part(roof, None, 0.62), Part(door, _WOOD), Part(window, _GLASS), Part(attic, _GLASS, 0.85)]


def tree(u: Field, v: Field, variant: Field) -> list[Part]:
    """Draw a short trunk under a round crown or a tall one."""
    trunk = _box(u, v, -0.17, 0.17, 0.0, 0.5)
    broad, tall = _ellipse(u, v, 0, 0.66, 0.52, 0.46), _ellipse(u, v, 0, 0.76, 0.42, 0.57)
    return [Part(trunk, _WOOD), Part(np.where(variant < 0.5, broad, tall))]


def car(u: Field, v: Field, variant: Field) -> list[Part]:
    """Draw a body with a cabin, two windows, two wheels."""
    u = np.where(variant < 0.5, u, -u)
    body = np.maximum(_ellipse(u, v, 0, 0.26, 0.74, 0.5), _box(u, v, -0.66, 0.66, 0.05, 0.52))
    cabin = np.maximum(_box(u, v, -0.56, 0.42, 0.36, 0.86), (v - 0.86 + 1.1 * (np.abs(u + 0.07) - 0.34)) / 1.487)
    glass = np.maximum(cabin + 0.08, 0.48 - v)
    pillar = _box(u, v, -0.11, -0.04, 0.4, 0.86)
    parts = [Part(np.minimum(body, cabin)), Part(glass, _GLASS), Part(pillar, None, 0.95)]
    for x in (-0.37, 0.37):
        parts += [Part(_ellipse(u, v, x, 0.17, 0.17, 0.17), _RUBBER), Part(_ellipse(u, v, x, 0.17, 0.07, 0.07), _CREAM)]
    return parts


def mushroom(u: Field, v: Field, variant: Field) -> list[Part]:
    """Draw a thick stem under a cap with dots."""
    stem = np.maximum(_box(u, v, -0.4, 0.4, 0.0, 0.5), np.abs(u) - 0.3 - 0.1 * np.square(1 - 2 * v))
    cap = np.maximum(_ellipse(u, v, 0, 0.55, 0.54, 0.45), 0.24 - v)
    dots = np.minimum(_ellipse(u, v, -0.22, 0.6, 0.11, 0.11), _ellipse(u, v, 0.1, 0.77, 0.1, 0.1))
    dots = np.minimum(dots, _ellipse(u, v, 0.31, 0.52, 0.09, 0.09))
    return [Part(stem, _CREAM), Part(cap), Part(np.where(variant < 0.7, dots, 1).astype(np.float32), None, 1.7)]


def balloon(u: Field, v: Field, variant: Field) -> list[Part]:
    """Draw an envelope with stripes over a basket."""
    narrowing = np.maximum(_box(u, v, -0.46, 0.46, 0.12, 0.6), (np.abs(u) - 0.24 - 0.55 * (v - 0.12)) / 1.14)
    envelope = np.minimum(_ellipse(u, v, 0, 0.64, 0.48, 0.48), narrowing)
    basket = _box(u, v, -0.24, 0.24, 0.0, 0.2)
    bow = 0.48 - 0.5 * np.square(v - 0.64)  # meridians bulge
    stripe = np.abs(np.abs(u) - 0.5 * bow) - 0.07
    plain = np.where(variant < 0.7, stripe, 1).astype(np.float32)
    return [Part(basket, _WOOD, 1.15), Part(envelope), Part(np.maximum(envelope, plain), None, 1.45)]


def kite(u: Field, v: Field, variant: Field) -> list[Part]:
    """Draw a slanting diamond in four fields."""
    slant = (0.5 * variant - 0.25).astype(np.float32)
    u, v = u - slant * (v - 0.62), v + slant * u
    upper, lower = (v - 0.7) / 0.5 + np.abs(u) / 0.52, (0.7 - v) / 0.68 + np.abs(u) / 0.52
    diamond = (np.maximum(upper, lower) - 1) * np.float32(0.38)
    fields = np.where((u > 0) == (v > 0.7), diamond, 1).astype(np.float32)
    spars = np.maximum(diamond, np.minimum(np.abs(u), np.abs(v - 0.7)) - 0.015)
    return [Part(diamond), Part(fields, None, 1.4), Part(spars, _WOOD)]


SHAPES: dict[str, Callable[[Field, Field, Field], list[Part]]] = {
    shape.__name__: shape for shape in (house, tree, car, mushroom, balloon, kite)
}
