"""Grid of images in one image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lightning_nn.visualization.figure import labels, new_figure, pixels

CELL = 2.0  # width of an image, in inches
TALLEST = 1.5  # height of an image at most, in widths
TITLE = 0.3  # height of the line below an image, in inches
GAP = 0.08
TITLE_COLUMNS = 26


def picture(
    images: list[NDArray[np.uint8]],
    titles: list[str] | None = None,
    columns: int | None = None,
    legend: list[tuple[str, tuple[float, float, float]]] | None = None,
) -> NDArray[np.uint8]:
    """Draw images in rows, each scaled to the same size.

    Args:
        images: uint8 (H, W) or (H, W, 3) each, at least one.
        titles: one below each image; none if empty.
        columns: images in a row; if None, about as many as there are rows.
        legend: names with their colours (red, green, blue, 0 to 1), drawn below.

    Returns:
        uint8 (height, width, 3).
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    below = TITLE if titles else 0.0
    titles, legend = titles or [], legend or []
    names, font = labels(titles, TITLE_COLUMNS)
    keys, _ = labels([name for name, _ in legend], TITLE_COLUMNS)
    tall = CELL * min(TALLEST, max(len(image) / image.shape[1] for image in images))
    width = columns * (CELL + GAP) + GAP
    per_line = max(1, int(width // 1.9))
    lines = math.ceil(len(legend) / per_line)
    height = rows * (tall + below + GAP) + GAP + lines * 0.24
    figure = new_figure(width, height)
    for i, image in enumerate(images):
        left = GAP + (i % columns) * (CELL + GAP)
        top = height - GAP - (i // columns) * (tall + below + GAP)
        axes = figure.add_axes((left / width, (top - tall) / height, CELL / width, tall / height))
        small = max(image.shape[:2]) < CELL * 100
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest" if small else "antialiased")
        axes.set_axis_off()
        if titles:
            x, y = (left + CELL / 2) / width, (top - tall - below / 2) / height
            figure.text(x, y, names[i], ha="center", va="center", fontproperties=font, size=9, parse_math=False)
    for i, (name, (_, colour)) in enumerate(zip(keys, legend, strict=True)):
        x = GAP + (i % per_line) * width / per_line
        y = (lines - i // per_line - 0.5) * 0.24
        figure.text(x / width, y / height, "■", color=colour, va="center", size=13)
        style = {"fontproperties": font, "size": 9, "parse_math": False}
        figure.text((x + 0.2) / width, y / height, name, va="center", **style)
    return pixels(figure)
