"""Matplotlib figures drawn to arrays of pixels, with names in a font that has their letters."""

from __future__ import annotations

import contextlib
import functools
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.sanitize import sanitize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
LABEL = 16  # columns of a name at most; a wide character has two

_CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Arial Unicode MS",
)  # fmt: skip


def new_figure(width: float, height: float, layout: Any = None) -> Figure:
    """Make a white figure that belongs to no window.

    Args:
        width: in inches of `DPI` pixels.
        height: likewise.
        layout: see `matplotlib.figure.Figure`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """Draw a figure to pixels, uint8 (height, width, 3)."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def labels(names: list[str], most: int = LABEL) -> tuple[list[str], Any]:
    """Return names as they are drawn, and their font.

    Args:
        names: of classes or images; if no font on this machine has a letter of one, numbers replace all of them.
        most: columns of a name at most; longer ones are truncated.
    """
    from matplotlib.font_manager import FontProperties

    shown = [shorten(sanitize(name), most) for name in names]
    families, letters = _fonts()
    if not letters.issuperset(map(ord, "".join(shown))):
        families, letters = _fonts(look_again=True)
    if not letters.issuperset(map(ord, "".join(shown))):
        shown = [str(k) for k in range(len(names))]
    return shown, FontProperties(family=list(families))


def shorten(name: str, most: int = LABEL) -> str:
    """Truncate a name to at most `most` columns."""
    if columns(name) <= most:
        return name
    while columns(name) > most - 1:
        name = name[:-1]
    return name + "…"


def columns(text: str) -> int:
    """Count the columns of a text, two for a wide character."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@functools.cache
def _fonts(look_again: bool = False) -> tuple[tuple[str, ...], frozenset[int]]:
    """Return the font families to draw names with, and the code points that they cover together.

    Args:
        look_again: also find fonts that were installed after matplotlib made its list.
    """
    from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager
    from matplotlib.ft2font import FT2Font

    there = {font.name for font in fontManager.ttflist}
    if look_again and there.isdisjoint(_CJK_FONTS):
        for file in sorted(set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}):
            with contextlib.suppress(Exception):  # matplotlib, too, skips files that it can't read
                fontManager.addfont(file)
        there = {font.name for font in fontManager.ttflist}
    families = ("DejaVu Sans", *[name for name in _CJK_FONTS if name in there][:1])
    files = [fontManager.findfont(FontProperties(family=name)) for name in families]
    return families, frozenset(code for file in files for code in FT2Font(file).get_charmap())
