"""Images drawn: figures and grids as arrays of pixels, with names in a font that has their letters, and PNG files."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

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
        height: in inches of `DPI` pixels.
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

    shown = [_within(sanitize(name), most) for name in names]
    families, letters = _fonts()
    if not letters.issuperset(map(ord, "".join(shown))):
        families, letters = _fonts(look_again=True)
    if not letters.issuperset(map(ord, "".join(shown))):
        shown = [str(k) for k in range(len(names))]
    return shown, FontProperties(family=list(families))


def _within(name: str, most: int) -> str:
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

    fonts = {font.name for font in fontManager.ttflist}
    if look_again and fonts.isdisjoint(_CJK_FONTS):
        for file in sorted(set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}):
            with contextlib.suppress(Exception):  # matplotlib, too, skips files that it can't read
                fontManager.addfont(file)
        fonts = {font.name for font in fontManager.ttflist}
    families = ("DejaVu Sans", *[name for name in _CJK_FONTS if name in fonts][:1])
    files = [fontManager.findfont(FontProperties(family=name)) for name in families]
    return families, frozenset(code for file in files for code in FT2Font(file).get_charmap())


CELL = 2.0  # width of an image, in inches
TALLEST = 1.5  # height of an image at most, in widths
TITLE = 0.3  # height of the line below an image, in inches
GAP = 0.08
TITLE_COLUMNS = 26
PATCH_SIDE = 48  # pixels of a patch on a page, at least


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


def png(image: Image.Image | NDArray[np.uint8], settings: str = "") -> bytes:
    """Return the bytes of a PNG file.

    Args:
        image: a PIL image, or uint8 (H, W, 3) or (H, W).
        settings: text that goes into its metadata, under "settings"; "" for none.
    """
    about = PngInfo()
    if settings:
        about.add_itxt("settings", settings)
    data = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(data, "PNG", pnginfo=about)
    return data.getvalue()


def patch_sheet(patches: Tensor) -> NDArray[np.uint8]:
    """Lay patches out in rows, enlarged, with gaps between them.

    Args:
        patches: uint8 (channels, patches, C, size, size).

    Returns:
        uint8 (height, width, 3).
    """
    times = max(1, PATCH_SIDE // patches.shape[-1])
    shown = patches.expand(*patches.shape[:2], 3, *patches.shape[3:]).permute(0, 1, 3, 4, 2).numpy()
    shown = shown.repeat(times, axis=2).repeat(times, axis=3)
    shown = np.pad(shown, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    rows, columns, height, width, _ = shown.shape
    return np.ascontiguousarray(shown.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3))
