"""Drawing of scenes: sky with clouds, hills, light, and the objects with anti-aliased edges, textures and shadows.

Pictures are drawn in float32 by elementwise +, -, *, / and square roots, whose results do not depend on the machine,
and by the integers of `random_numbers`; no sums, matrix products or transcendental functions. Lengths are in heights of
the picture, so a scene looks the same at every size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.synthetic.scenes.layout import (
    COLOURS,
    KINDS,
    OBJECTS,
    Keys,
    Layout,
    bits,
    lay_out,
    streams,
    uniform,
)

CLASSES = ("sky", "ground", *KINDS)

_CHUNK = 64  # scenes drawn at once, so that their pixels stay in the processor's cache
_LARGE = 0.25  # area above which objects are drawn together

# Sky: upper colour, colour at the horizon, factors of its light.
_SKIES = np.array(
    [
        [(84, 148, 226), (188, 220, 244), (255, 255, 255)],  # day
        [(132, 192, 236), (228, 240, 246), (255, 255, 250)],  # haze
        [(126, 114, 180), (250, 190, 146), (255, 236, 220)],  # dawn
        [(66, 54, 118), (240, 126, 92), (236, 206, 206)],  # dusk
        [(146, 156, 168), (206, 210, 214), (230, 234, 240)],  # overcast
        [(14, 20, 52), (58, 72, 126), (150, 160, 212)],  # night
        [(222, 186, 118), (248, 228, 180), (255, 246, 224)],  # dust
        [(92, 170, 168), (214, 236, 206), (244, 255, 248)],  # a green evening
    ],
    np.float32,
)
# Ground: colour in front, colour at the horizon.
_GROUNDS = np.array(
    [
        [(82, 142, 62), (146, 180, 104)],  # grass
        [(212, 182, 122), (234, 212, 164)],  # sand
        [(226, 232, 240), (202, 214, 230)],  # snow
        [(126, 90, 62), (170, 132, 98)],  # soil
        [(184, 92, 56), (208, 138, 92)],  # autumn leaves
        [(122, 90, 146), (166, 138, 182)],  # heather
        [(44, 88, 70), (96, 130, 104)],  # moss
        [(228, 190, 70), (236, 212, 124)],  # rape in bloom
    ],
    np.float32,
)
_BYTES = np.arange(0, 64, 8, dtype=np.uint64)[:, None, None]  # bits by which they are shifted
_PALETTE = np.array(list(COLOURS.values()), np.float32)


class DrawnScenes(NamedTuple):
    """N drawn scenes.

    Attributes:
        image: uint8 (N, 3, S, S).
        mask: uint8 (N, S, S), index into CLASSES.
        visible: int64 (N, M), visible pixels of each object of the layout.
        layout: of the scenes.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    visible: NDArray[np.int64]
    layout: Layout


def draw_scenes(count: int, size: int, seed: int) -> DrawnScenes:
    """Draw scenes; scene i depends on (seed, i) alone, so a longer series begins with the shorter one.

    Args:
        count: number of scenes, N.
        size: height and width in pixels, S.
        seed: of the random numbers.
    """
    image = np.empty((count, 3, size, size), np.uint8)
    mask = np.empty((count, size, size), np.uint8)
    visible = np.empty((count, OBJECTS), np.int64)
    keys = streams(seed, 0, count)
    layout = lay_out(keys)

    def draw(start: int) -> None:
        some = slice(start, start + _CHUNK)
        canvas = _Canvas(keys[some], layout.select(some), size)
        for m in range(OBJECTS):
            canvas.add_objects(m)
        image[some], mask[some], visible[some] = canvas.finished()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, range(0, count, _CHUNK)))
    return DrawnScenes(image, mask, visible, layout)


class _Canvas:
    """Some scenes while they are drawn.

    Attributes:
        image: float32 (n, 3, S, S).
        owner: int8 (n, S, S), number of the object that a pixel shows; -1 for the ground, -2 for the sky.
    """

    def __init__(self, keys: Keys, layout: Layout, size: int) -> None:
        self.keys, self.layout, self.size = keys, layout, size
        draws = uniform(keys, 8, 3).astype(np.float32)
        sky = _SKIES[(len(_SKIES) * draws[:, 0]).astype(np.int64)]
        ground = _GROUNDS[(len(_GROUNDS) * draws[:, 1]).astype(np.int64)]
        self.light = sky[:, 2, :, None, None] / 255
        self.side = (2 * draws[:, 2] - 1)[:, None, None]  # from which the light comes, -1 to 1
        self.grain = _noise(keys, size, 21, 21, 4)
        soil = (ground * sky[:, 2:] / 255).astype(np.float32)[..., None, None]
        self.image, is_ground = self._landscape(sky[..., None, None], soil, draws)
        self.owner = np.where(is_ground, -1, -2).astype(np.int8)

    def _landscape(self, sky: Field, ground: Field, draws: Field) -> tuple[Field, NDArray[np.bool_]]:
        size = self.size
        down = _centres(size)[None, :, None]  # (1, S, 1)
        horizon = self.layout.horizon.astype(np.float32)[:, None, None]
        height = np.minimum(down / horizon, 1)  # (n, S, 1)
        image = _blend(sky[:, 0], sky[:, 1], height[:, None])

        around = np.square(down - 0.3 * horizon) + np.square(_centres(size) - (0.5 + 0.4 * self.side))
        sun = np.sqrt(around) - 0.05
        glow = np.maximum(1 - np.maximum(sun, 0) / 0.35, 0)
        paint = np.minimum(sky[:, 1] + 60, 255)
        image = _blend(image, paint, (0.5 * np.square(glow))[:, None])
        image = _blend(image, paint, self._coverage(sun, 1.0)[:, None])

        clouds = _noise(self.keys, size, 7, 3, 5) * 0.7 + _noise(self.keys, size, 17, 7, 6) * 0.3
        thick = np.minimum(np.maximum((clouds - 0.75 + 0.4 * draws[:, 3, None, None]) * 3, 0), 1) * (1.1 - height)
        image = _blend(image, np.minimum(sky[:, 1] + 36, 255), 0.85 * thick[:, None])

        hills = horizon + (0.1 * draws[:, 4, None, None]) * (_noise(self.keys, size, 1, 4, 7)[:, :1] - 0.5)
        field = hills + 0.02 + 0.06 * _noise(self.keys, size, 1, 2, 8)[:, :1]
        haze = _blend(ground[:, 1], sky[:, 1], np.float32(0.15))
        image = _blend(image, haze, self._coverage(hills - down, 1.0)[:, None])
        near = np.maximum(down - field, 0) / (1 - field)
        rough = 1 + (0.1 + 0.2 * near) * (self.grain - 0.5) + 0.2 * (_noise(self.keys, size, 15, 4, 9) - 0.5)
        soil = _blend(ground[:, 1], ground[:, 0], near[:, None]) * rough[:, None]
        image = _blend(image, soil, self._coverage(field - down, 1.0)[:, None])
        image *= 1 - 0.3 * np.minimum(np.maximum(1 - np.abs(down - hills) / 0.02, 0), 1)[:, None]  # a line of horizon
        return image, hills < down

    def add_objects(self, m: int) -> None:
        """Draw the objects number `m` of all scenes, kind by kind."""
        for k, kind in enumerate(KINDS.values()):
            is_large = kind.area * np.square(self.layout.size[:, m]) > _LARGE
            for large in (False, True):
                scenes = np.flatnonzero((self.layout.kind[:, m] == k) & (is_large == large))
                if len(scenes):
                    self._add(scenes, m, k)

    def _add(self, scenes: NDArray[np.int64], m: int, k: int) -> None:
        """Draw objects of one kind into the part of their pictures around them."""
        layout, total = self.layout, self.size
        name, kind = list(KINDS)[k], list(KINDS.values())[k]
        size, x, y = (field[scenes, m].astype(np.float32)[:, None, None] for field in (layout.size, layout.x, layout.y))
        most = float(size.max())
        wide = min(total, int(2 * (kind.half + 0.2) * most * total) + 2)
        high = min(total, int((kind.height + 0.2) * most * total) + 2)
        left = _start(x * total - wide / 2, total - wide)
        top = _start((y - (kind.height + 0.05) * size) * total, total - high)
        rows, columns = top + np.arange(high)[:, None], left + np.arange(wide)
        place = (scenes[:, None, None], rows, columns)
        pixels = (scenes[:, None, None, None], np.arange(3)[:, None, None], rows[:, None], columns[:, None])
        centres = _centres(total)
        u, v = (centres[columns] - x) / size, (y - centres[rows]) / size

        draws = uniform(self.keys[scenes], 4, 10 + m).astype(np.float32)[:, :, None, None]
        light, side = self.light[scenes], self.side[scenes]
        image, owner = self.image[pixels], self.owner[place]
        if not kind.flies:
            flat = np.sqrt(np.square((u + 0.16 * side) / (kind.half * 1.05)) + np.square((v - 0.02) / 0.13))
            shadow = np.minimum(np.maximum(1.3 - flat, 0) * 1.6, 1) * (owner == -1)
            image *= 1 - 0.45 * shadow[:, None]
        colour = _PALETTE[layout.colour[scenes, m]] + 24 * (draws[:, 1:, 0, 0] - 0.5)
        parts = SHAPES[name](u, v, draws[:, 0])
        outline = parts[0].distance
        for part in parts[1:]:
            outline = np.minimum(outline, part.distance)
        body = self._painted(parts, colour[..., None, None], size)
        shade = 1 + 0.3 * side * u + 0.16 * (v - 0.5) + 0.3 * (self.grain[place] - 0.5)
        shade = shade * (1 - 0.5 * np.minimum(np.maximum(1 + outline * size / 0.03, 0), 1))  # a darker rim
        body *= shade[:, None] * light
        self.image[pixels] = _blend(image, body, self._coverage(outline, size)[:, None])
        self.owner[place] = np.where(outline < 0, np.int8(m), owner)

    def _painted(self, parts: list[Part], colour: Field, size: Field) -> Field:
        """Paint the parts of an object one over another, float32 (n, 3, h, w)."""
        body = colour
        for part in parts:
            paint = colour if part.paint is None else np.array(part.paint, np.float32)[:, None, None]
            paint = paint * part.tone if part.tone <= 1 else _blend(paint, np.float32(255), np.float32(part.tone - 1))
            body = _blend(body, paint, self._coverage(part.distance, size)[:, None])
        return body

    def _coverage(self, distance: Field, size: Field | float) -> Field:
        """Compute the share of each pixel inside a shape, from the distance of its centre to the edge."""
        return np.minimum(np.maximum(0.5 - distance * size * float(self.size), 0), 1)

    def finished(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        """Add the camera's noise; return image, mask and visible pixels of each object."""
        scenes, size = len(self.keys), self.size
        random = bits(self.keys, size * size, 20).reshape(scenes, 1, size, size)
        first, second = ((random >> _BYTES[i : i + 3]).astype(np.uint8).astype(np.float32) for i in (0, 3))
        strength = (0.005 + 0.02 * uniform(self.keys, 1, 21).astype(np.float32))[:, :, None, None]
        image = np.minimum(np.maximum(self.image + strength * (first + second - 255), 0), 255)
        of_object = self.layout.kind + 2
        visible = np.stack([(self.owner == m).sum((1, 2)) for m in range(OBJECTS)], 1)
        scene = np.arange(scenes)[:, None, None]
        mask = np.where(self.owner < 0, self.owner + 2, of_object[scene, np.maximum(self.owner, 0)])
        return (image + 0.5).astype(np.uint8), mask.astype(np.uint8), visible


def _noise(keys: Keys, size: int, high: int, wide: int, purpose: int) -> Field:
    """Draw smooth noise, float32 (n, S, S), 0 to 1: random values on a grid of cells, and smooth steps in between."""
    values = uniform(keys, (high + 1) * (wide + 1), 100 + purpose).astype(np.float32)
    values = values.reshape(len(keys), high + 1, wide + 1)
    cell, share = _steps(size, wide)
    across = _blend(values[:, :, cell], values[:, :, cell + 1], share)  # (n, high + 1, S)
    cell, share = _steps(size, high)
    return _blend(across[:, cell], across[:, cell + 1], share[:, None])


def _steps(size: int, cells: int) -> tuple[NDArray[np.int64], Field]:
    """Return the cell of each pixel and a smooth step from 0 to 1 within it."""
    place = _centres(size) * float(cells)
    cell = place.astype(np.int64)
    share = place - cell.astype(np.float32)
    return cell, share * share * (3 - 2 * share)


def _centres(size: int) -> Field:
    return (np.arange(size, dtype=np.float32) + 0.5) / float(size)


def _blend(one: Field, other: Field | np.float32, share: Field | np.float32) -> Field:
    return one + (other - one) * share


def _start(place: Field, last: int) -> NDArray[np.int64]:
    """Round down to the first pixel of a part that lies within the picture."""
    return np.minimum(np.maximum(place.astype(np.int64), 0), last)


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
