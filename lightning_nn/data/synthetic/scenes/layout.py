"""Layout of scenes: the objects of each picture, with kind, colour, size and place.

A scene has one large object and up to three smaller ones with about half of its area each. Objects on the ground stand
anywhere between horizon and lower edge, those in the air hang above; one farther down is nearer and hides others. Kind
and colour are drawn independently and uniformly, so a colour tells nothing of a kind. An object that finds no place
where little of it and of the others is hidden is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OBJECTS = 4  # in a scene, at most


class Kind(NamedTuple):
    """A kind of object, in units of its size: its box stands on height 0.

    Attributes:
        half: half of its width.
        height: of its top.
        area: of it, so that kinds can be drawn equally large.
        flies: whether it hangs in the air.
    """

    half: float
    height: float
    area: float
    flies: bool


KINDS = {
    "house": Kind(0.53, 1.08, 0.87, False),
    "tree": Kind(0.52, 1.33, 0.82, False),
    "car": Kind(0.66, 0.86, 0.95, False),
    "mushroom": Kind(0.54, 1.0, 0.86, False),
    "balloon": Kind(0.48, 1.12, 0.82, True),
    "kite": Kind(0.51, 1.2, 0.58, True),
}
COLOURS = {
    "red": (208, 48, 44),
    "orange": (236, 132, 36),
    "yellow": (240, 206, 64),
    "green": (72, 158, 74),
    "blue": (54, 104, 200),
    "purple": (136, 74, 176),
    "pink": (238, 140, 178),
    "white": (236, 236, 230),
}
ABSENT = -1

_LARGE, _SMALL = (0.57, 0.61), (0.41, 0.45)  # square roots of areas, in heights of the picture
_HORIZON = (0.42, 0.62)
_TRIES = 24  # places that are tried for an object
_HIDDEN, _HIDDEN_LARGE = 0.4, 0.25  # share of the smaller of two boxes that the other, or the large one, may share
_OUTSIDE = 0.3  # share of a small object's width that may lie outside of the picture


class SceneObject(NamedTuple):
    """An object of a scene.

    Attributes:
        kind: such as "house".
        colour: such as "red".
        size: unit of its shape (see `Kind`), in heights of the picture.
        x: middle, 0 at the left edge and 1 at the right one.
        y: foot, 0 at the upper edge and 1 at the lower one.
    """

    kind: str
    colour: str
    size: float
    x: float
    y: float


class Layout(NamedTuple):
    """N scenes of up to M objects each, the farthest first.

    Attributes:
        kind: int64 (N, M), index into KINDS; ABSENT where there is no object.
        colour: int64 (N, M), index into COLOURS.
        size: (N, M), unit of the shape, in heights of the picture.
        x: (N, M), middle of the object, 0 to 1.
        y: (N, M), foot of the object, 0 to 1 from the upper edge.
        horizon: (N,), mean height of the horizon, 0 to 1 from the upper edge.
    """

    kind: NDArray[np.int64]
    colour: NDArray[np.int64]
    size: Floats
    x: Floats
    y: Floats
    horizon: Floats

    def select(self, some: slice) -> Layout:
        """Return some of the scenes."""
        kind, colour, size, x, y, horizon = self
        return Layout(kind[some], colour[some], size[some], x[some], y[some], horizon[some])

    def objects(self, scene: int) -> list[SceneObject]:
        """List the objects of a scene, the farthest first: a later one hides an earlier one."""
        kinds, colours = list(KINDS), list(COLOURS)
        return [
            SceneObject(kinds[self.kind[scene, m]], colours[self.colour[scene, m]], *places)
            for m in np.flatnonzero(self.kind[scene] != ABSENT)
            for places in [(float(self.size[scene, m]), float(self.x[scene, m]), float(self.y[scene, m]))]
        ]


def lay_out(keys: Keys) -> Layout:
    """Lay out one scene for each stream of random numbers.

    Args:
        keys: (N,), from `streams`.
    """
    scenes = len(keys)
    draws = uniform(keys, 2 + 3 * OBJECTS, 1)
    places = uniform(keys, 2 * OBJECTS * _TRIES, 2).reshape(scenes, OBJECTS, _TRIES, 2)
    horizon = _between(draws[:, 0], *_HORIZON)
    count = 1 + (OBJECTS * np.sqrt(draws[:, 1])).astype(np.int64)  # tried; few scenes have room for all four
    kind = (len(KINDS) * draws[:, 2::3]).astype(np.int64)
    colour = (len(COLOURS) * draws[:, 3::3]).astype(np.int64)
    size = _between(draws[:, 4::3], *_SMALL)
    size[:, 0] = _between(draws[:, 4], *_LARGE)
    half, height, area, flies = (np.array(column)[kind] for column in zip(*KINDS.values(), strict=True))
    size = size / np.sqrt(area)
    half, height = half * size, height * size
    places[:, 0, :, 0] = _outward(places[:, 0, :, 0])  # leaves room beside the large object
    x, y = np.zeros((2, scenes, OBJECTS))
    for m in range(OBJECTS):
        is_placed = np.zeros(scenes, bool)
        for across, down in np.moveaxis(places[:, m], 0, 2):
            edge = half[:, m] * (1 - 2 * _OUTSIDE * (m > 0))
            new_x = edge + across * (1 - 2 * edge)
            air = height[:, m] + 0.02 + down * np.maximum(horizon - height[:, m] - 0.02, 0)
            lowest = np.maximum(horizon + 0.04, height[:, m] + 0.02)
            new_y = np.where(flies[:, m], air, lowest + down * np.maximum(1.02 - lowest, 0))
            free = np.ones(scenes, bool)
            for k in range(m):
                wide = np.minimum(new_x + half[:, m], x[:, k] + half[:, k])
                wide -= np.maximum(new_x - half[:, m], x[:, k] - half[:, k])
                high = np.minimum(new_y, y[:, k]) - np.maximum(new_y - height[:, m], y[:, k] - height[:, k])
                shared = np.maximum(wide, 0) * np.maximum(high, 0)
                smaller = 2 * np.minimum(half[:, m] * height[:, m], half[:, k] * height[:, k])
                free &= (kind[:, k] == ABSENT) | (shared <= (_HIDDEN if k else _HIDDEN_LARGE) * smaller)
            new = free & ~is_placed & (m < count)
            x[new, m], y[new, m] = new_x[new], new_y[new]
            is_placed |= new
        kind[~is_placed, m] = ABSENT
    at = np.arange(scenes)[:, None], np.argsort(y - 2 * flies, axis=1, kind="stable")
    return Layout(kind[at], colour[at], size[at], x[at], y[at], horizon)


def _outward(draws: Floats) -> Floats:
    return np.where(draws < 0.5, 2 * np.square(draws), 1 - 2 * np.square(1 - draws))


def _between(draws: Floats, low: float, high: float) -> Floats:
    return low + (high - low) * draws


_STEP = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Keys = NDArray[np.uint64]


def mix(numbers: Keys) -> Keys:
    """Mix the bits of each number, a bijection of 64 bits; at least one dimension, so that overflow is silent."""
    mixed = numbers ^ (numbers >> _SHIFTS[0])
    mixed *= _FACTORS[0]
    mixed ^= mixed >> _SHIFTS[1]
    mixed *= _FACTORS[1]
    mixed ^= mixed >> _SHIFTS[2]
    return mixed


def streams(seed: int, start: int, stop: int) -> Keys:
    """Return the keys of the streams `start` to `stop` - 1 of a seed, uint64 (N,); each depends on its number alone."""
    root = mix(np.array([seed % 2**64], np.uint64) + _STEP)
    return mix(root + np.arange(start, stop, dtype=np.uint64) * _STEP)


def bits(keys: Keys, count: int, purpose: int) -> Keys:
    """Draw 64 random bits `count` times from each stream, uint64 (N, count).

    Args:
        keys: (N,), from `streams`.
        count: number of draws.
        purpose: number of the use, so that more draws for one use leave the others as they are.
    """
    stream = mix(keys + np.array([purpose], np.uint64) * _STEP)
    return mix(stream[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _STEP)


def uniform(keys: Keys, count: int, purpose: int) -> NDArray[np.float64]:
    """Draw `count` numbers from each stream, uniform in [0, 1), multiples of 2^-53; see `bits`."""
    return (bits(keys, count, purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53
