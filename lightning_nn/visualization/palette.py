"""Colours of the classes of masks, by NumPy alone."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IGNORED_COLOUR = (160, 160, 160)  # of the value 255


def palette(classes: int) -> NDArray[np.uint8]:
    """Return a colour for each class, uint8 (K, 3); a class keeps its colour whatever the number of classes.

    Hues advance by the golden angle, so that neighbouring numbers differ most; brightness changes every five classes.
    Class 0, the background in most data sets, is slate.
    """
    colours = [(0.35, 0.42, 0.52)] + [
        colorsys.hsv_to_rgb(0.02 + k * 0.618034, (0.95, 0.55, 0.85)[k // 5 % 3], (1.0, 1.0, 0.6)[k // 5 % 3])
        for k in range(classes - 1)
    ]
    return np.round(255 * np.array(colours).reshape(-1, 3)).astype(np.uint8)


def colours_of_values(colours: Sequence[Sequence[int]] | None) -> NDArray[np.uint8]:
    """Return the colour of every value of a mask, uint8 (256, 3).

    Args:
        colours: (red, green, blue) of each class, 0 to 255; the rest, or all if there are none, are of the palette.
    """
    first = np.array(colours or [], np.uint8).reshape(-1, 3)
    return np.vstack([first, palette(255)[len(first) :], np.array([IGNORED_COLOUR], np.uint8)])
