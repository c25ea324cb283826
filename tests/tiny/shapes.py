"""Small gray images of one rectangle each on noise, with mask and words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 8


class Shape(NamedTuple):
    """A rectangle on noise.

    Attributes:
        image: uint8 (1, SIDE, SIDE).
        mask: uint8 (SIDE, SIDE), 0 outside of the rectangle, inside 1 if it is bright and 2 if it is dark.
        words: its description: "bright" or nothing, "square" or "bar", "left" or "right".
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    words: list[str]


def draw_shapes(count: int, seed: int) -> list[Shape]:
    """Draw some rectangles, always the same for a seed."""
    random = np.random.default_rng(seed)
    return [_draw(random) for _ in range(count)]


def _draw(random: np.random.Generator) -> Shape:
    bright, square, left = (bool(random.integers(2)) for _ in range(3))
    height = 3 if square else 6
    row, column = random.integers(SIDE - height + 1), (0 if left else SIDE // 2) + random.integers(2)
    area = np.s_[row : row + height, column : column + 3]
    image, mask = random.integers(110, 146, (SIDE, SIDE)), np.zeros((SIDE, SIDE), np.uint8)
    image[area] = random.integers(210, 256) if bright else random.integers(0, 46)
    mask[area] = 1 if bright else 2
    words = [*(["bright"] if bright else []), "square" if square else "bar", "left" if left else "right"]
    return Shape(image[None].astype(np.uint8), mask, words)
