"""A confusion matrix as a picture and as a table."""

from __future__ import annotations

import contextlib
import functools
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.metrics.confusion import accuracy, class_scores
from lightning_nn.sanitize import sanitize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED = 20  # classes up to which each cell has its number
NAMED = 40  # classes up to which each row has its name
LABEL = 16  # columns of a name at most, two for a wide character

_CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Arial Unicode MS",
)  # fmt: skip


def picture(matrix: Tensor, categories: list[str], title: str) -> NDArray[np.uint8]:
    """The matrix drawn: rows are the truth and shaded by their shares, columns the answers.

    Args:
        matrix: int64 (K, K), rows true, columns predicted.
        categories: names of the K classes; numbers stand for them where no font on this machine has their letters.
        title: drawn above.

    Returns:
        uint8 (height, width, 3).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    classes = len(matrix)
    side = min(10.0, max(4.5, 2.4 + 0.42 * classes))
    figure = Figure(figsize=(side, side), dpi=100, facecolor="white", layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = (matrix / matrix.sum(1, keepdim=True).clamp(min=1)).numpy()
    # The root lets few mistakes be seen beside a full diagonal.
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    names, font = _labels(categories)
    _ticks(axes, names if classes <= NAMED else None, classes, font)
    if classes <= COUNTED:
        _count(axes, matrix.tolist(), shares)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{title}: {float(accuracy(matrix)):.1%} of {int(matrix.sum()):,} right", fontsize=10)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def report(matrix: Tensor, categories: list[str]) -> str:
    """Precision, recall, F1 and commonest mistake of each class, as a Markdown table.

    Args:
        matrix: int64 (K, K), rows true, columns predicted.
        categories: names of the K classes.
    """
    lines = ["| | class | precision | recall | F1 | samples | most often taken for |", "|-:|:-|-:|-:|-:|-:|:-|"]
    mistakes = matrix - torch.diag(matrix.diagonal())
    most = mistakes.max(1)
    for k, score in enumerate(class_scores(matrix, categories)):
        wrong = f"{markdown(categories[int(most.indices[k])])} ({int(most.values[k])})" if most.values[k] > 0 else ""
        figures = f"{score.precision:.3f} | {score.recall:.3f} | {score.f1:.3f} | {score.support}"
        lines.append(f"| {k} | {markdown(score.category)} | {figures} | {wrong} |")
    return "\n".join(lines)


def markdown(text: str) -> str:
    """Untrusted text that stays text in Markdown and in HTML: punctuation of ASCII as character references."""
    return "".join(f"&#{ord(c)};" if c.isascii() and not c.isalnum() and c != " " else c for c in sanitize(text))


def _ticks(axes: Axes, names: list[str] | None, classes: int, font: Any) -> None:
    if names is None:
        step = 5 if classes <= 100 else 10 ** (len(str(classes - 1)) - 1)
        axes.set_xticks(range(0, classes, step))
        axes.set_yticks(range(0, classes, step))
        return
    size = 9 if classes <= COUNTED else 7
    style = {"fontproperties": font, "fontsize": size, "parse_math": False}
    axes.set_yticks(range(classes), names, **style)
    upright = max(map(_columns, names)) > 75 / classes
    axes.set_xticks(range(classes), names, rotation=90 if upright else 0, **style)


def _count(axes: Axes, counts: list[list[int]], shares: NDArray[np.float32]) -> None:
    """The number in each cell that is not empty."""
    widest = max(len(str(n)) for row in counts for n in row)
    size = min(9.0, 28 / max(widest, 1))
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                color = "white" if shares[i, j] > 0.3 else "black"
                axes.text(j, i, str(count), ha="center", va="center", fontsize=size, color=color)


def _labels(categories: list[str]) -> tuple[list[str], Any]:
    """The names as drawn and their font; numbers for all where a letter of one can't be drawn."""
    from matplotlib.font_manager import FontProperties

    names = [_short(sanitize(name)) for name in categories]
    families, letters = _fonts()
    if not letters.issuperset(map(ord, "".join(names))):
        families, letters = _fonts(look_again=True)
    if not letters.issuperset(map(ord, "".join(names))):
        names = [str(k) for k in range(len(categories))]
    return names, FontProperties(family=list(families))


@functools.cache
def _fonts(look_again: bool = False) -> tuple[tuple[str, ...], frozenset[int]]:
    """Families to draw names with, and the code points these have between them.

    Args:
        look_again: also for fonts that were installed after matplotlib made its list of them.
    """
    from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager
    from matplotlib.ft2font import FT2Font

    there = {font.name for font in fontManager.ttflist}
    if look_again and there.isdisjoint(_CJK_FONTS):
        for file in set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}:
            with contextlib.suppress(Exception):  # as matplotlib does with what it can't read
                fontManager.addfont(file)
        there = {font.name for font in fontManager.ttflist}
    families = ("DejaVu Sans", *[name for name in _CJK_FONTS if name in there][:1])
    files = [fontManager.findfont(FontProperties(family=name)) for name in families]
    return families, frozenset(code for file in files for code in FT2Font(file).get_charmap())


def _short(name: str) -> str:
    """A name cut to what fits beside the picture."""
    if _columns(name) <= LABEL:
        return name
    while _columns(name) > LABEL - 1:
        name = name[:-1]
    return name + "…"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
