"""The most confident mistakes of a classifier, as a page, a Markdown table and lines for the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size

from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Explanation, Mistake, Mistakes
from lightning_nn.visualization.attention import shown_document
from lightning_nn.visualization.images import columns, picture
from lightning_nn.visualization.pages import markdown_text, render

_PLACE = 28  # columns of a place in a line, whose end tells most


def page(mistakes: Mistakes, title: str) -> str:
    """Write a page of mistakes, with attention or the image: self-contained HTML, without scripts.

    Args:
        mistakes: of a split.
        title: of the page.
    """
    return render("mistakes.html", title=title, mistakes=articles(mistakes), wrong=mistakes.wrong, total=mistakes.total)


def articles(mistakes: Mistakes) -> list[dict[str, Any]]:
    """Return what the template shows of each mistake."""
    return [
        {
            "mistake": mistake,
            "image": None if isinstance(mistake.shown, Explanation) else mistake.shown,
            "document": shown_document(mistake.shown) if isinstance(mistake.shown, Explanation) else None,
        }
        for mistake in mistakes.samples
    ]


def grids(mistakes: Mistakes) -> dict[str, NDArray[np.uint8]]:
    """Draw the images of mistakes side by side, uint8 (height, width, 3), by name; none for mistakes without images."""
    images, titles = [], []
    for mistake in mistakes.samples:
        if isinstance(mistake.shown, np.ndarray):
            images.append(mistake.shown)
            titles.append(f"{mistake.category}, not {mistake.truth}")
    return {"mistakes": picture(images, titles)} if images else {}


def table(mistakes: Mistakes) -> str:
    """Write mistakes as a Markdown table."""
    rows = [
        f"{mistakes.wrong:,} of {mistakes.total:,} wrong",
        "",
        "| predicted | truth | where | text |",
        "|:-|:-|:-|:-|",
    ]
    for mistake in mistakes.samples:
        cells = (f"{mistake.category} {mistake.probability:.1%}", f"{mistake.truth} {mistake.truth_probability:.1%}")
        rows.append(f"| {' | '.join(map(markdown_text, (*cells, mistake.place, mistake.text[:100])))} |")
    return "\n".join(rows)


def line(mistake: Mistake, width: int, negation: str = "not") -> str:
    """Return a mistake as one line: the wrong class with its probability, the true one, the place, the text.

    Args:
        mistake: the mistake.
        width: columns of the line at most.
        negation: word before the true class.
    """
    place = sanitize(mistake.place)
    while columns(place) > _PLACE:
        place = f"…{place[2:]}"
    classes = f"{mistake.probability:5.1%}  {sanitize(mistake.category)}, {negation} {sanitize(mistake.truth)}"
    return set_cell_size(f"{classes}  {place}  {sanitize(mistake.text)}", width).rstrip()
