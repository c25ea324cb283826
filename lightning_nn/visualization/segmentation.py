"""Masks of classes, drawn as colours over their images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import IGNORED
from lightning_nn.sanitize import is_formula, without_controls
from lightning_nn.tasks.artifacts import Legend, Masks
from lightning_nn.visualization.images import labels, picture
from lightning_nn.visualization.pages import render
from lightning_nn.visualization.palette import colours_of_values

OPACITY = 0.5  # of a class's colour over the image


def colour_table(legend: Legend | None = None) -> NDArray[np.uint8]:
    """Return the colour of every value of a mask, uint8 (256, 3): those of a legend that has some, or the palette."""
    return colours_of_values(legend.colours if legend else None)


def legend_csv(legend: Legend) -> str:
    """Write value, name and colour of each class as a table, which `--data.classes` reads.

    A name that a spreadsheet would read as a formula has a ' before it.
    """
    text = io.StringIO()
    names = ["'" * is_formula(name) + without_controls(name) for name in legend.categories]
    rows = zip(names, colour_table(legend).tolist(), strict=False)
    csv.writer(text, lineterminator="\n").writerows(
        [("value", "name", "r", "g", "b"), *((value, name, *colour) for value, (name, colour) in enumerate(rows))]
    )
    return text.getvalue()


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], legend: Legend | None = None, opacity: float = OPACITY
) -> NDArray[np.uint8]:
    """Lay the colours of a mask over its image; ignored pixels get grey stripes.

    Args:
        image: uint8 (H, W, 3).
        mask: uint8 (H, W), 255 where a pixel is ignored.
        legend: with the colours of the classes; None for the palette.
        opacity: of the colours, 0 to 1; stripes are opaque.

    Returns:
        uint8 (H, W, 3).
    """
    colours = colour_table(legend)[mask]
    height, width = mask.shape
    period = max(4, min(mask.shape) // 16)
    stripes = np.add.outer(np.arange(height), np.arange(width)) % period < period // 2
    share = np.where(mask == IGNORED, stripes, opacity)[..., None]
    return np.round((1 - share) * image + share * colours).astype(np.uint8)


def masks_picture(masks: Masks) -> NDArray[np.uint8]:
    """Draw a row for each image: the image, predicted and true classes over it, as far as known, and a legend.

    Args:
        masks: at least one image.

    Returns:
        uint8 (height, width, 3).
    """
    sources = {name: shown for name, shown in (("predicted", masks.predicted), ("true", masks.true)) if shown}
    cells, titles = [], []
    for i, image in enumerate(masks.images):
        cells += [image, *(overlay(image, source[i], masks.legend) for source in sources.values())]
        titles += [masks.titles[i] if masks.titles else "image", *sources]
    names, _ = labels(masks.legend.categories)
    colours = colour_table(masks.legend)
    legend = [(names[k] if k < len(names) else "ignored", _fraction(tuple(colours[k]))) for k in _present(masks)]
    return picture(cells, titles, columns=1 + len(sources), legend=legend)


def page(masks: Masks, title: str) -> str:
    """Write a page of images with their predicted and true masks: self-contained HTML, without scripts.

    Args:
        masks: with a title and a true mask for each image.
        title: of the page.
    """
    images = [
        (heading, image, overlay(image, predicted, masks.legend), overlay(image, true, masks.legend))
        for heading, image, predicted, true in zip(masks.titles, *masks[:3], strict=True)
    ]
    return render("masks.html", title=title, colours=named_colours(masks.legend, _present(masks)), images=images)


def named_colours(legend: Legend, values: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Return name and colour, 0 to 255, of the classes of some values of masks."""
    colours = colour_table(legend).tolist()
    names = [*legend.categories, *["ignored"] * (IGNORED + 1 - len(legend.categories))]
    return [(names[k], colours[k]) for k in values]


def _present(masks: Masks) -> list[int]:
    """List the values that occur in any mask, ascending."""
    return sorted({int(k) for mask in (*masks.predicted, *masks.true) for k in np.unique(mask)})


def _fraction(colour: tuple[int, ...]) -> tuple[float, float, float]:
    red, green, blue = (float(value) / 255 for value in colour)
    return red, green, blue
