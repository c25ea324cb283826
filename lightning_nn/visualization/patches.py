"""Page of the patches that the channels of a network's layers respond to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.visualization.pages import TAIL, head, html_text, image_tag

_SIDE = 48  # pixels of a patch on the page, at least
_STYLE = "img { image-rendering: pixelated; max-width: 100%; }\n"


def page(layers: Mapping[str, Tensor], title: str) -> str:
    """Write a page with a row of patches for each channel of each layer: self-contained HTML, without scripts.

    Args:
        layers: uint8 (channels, patches, C, size, size) of each layer, by its name.
        title: of the page.
    """
    intro = (
        '<p class="soft">A row is a channel, and shows the patches of different images at which it is largest. '
        "Later layers see larger patches.</p>\n"
    )
    sections = "".join(
        f"<h2>{html_text(name)}: {patches.shape[-1]} x {patches.shape[-1]} pixels</h2>\n"
        f"{image_tag(sheet(patches), name)}\n"
        for name, patches in layers.items()
    )
    return head(title, intro, _STYLE) + (sections or "<p>No layers.</p>\n") + TAIL


def sheet(patches: Tensor) -> NDArray[np.uint8]:
    """Lay patches out in rows, enlarged, with gaps between them.

    Args:
        patches: uint8 (channels, patches, C, size, size).

    Returns:
        uint8 (height, width, 3).
    """
    times = max(1, _SIDE // patches.shape[-1])
    shown = patches.expand(*patches.shape[:2], 3, *patches.shape[3:]).permute(0, 1, 3, 4, 2).numpy()
    shown = shown.repeat(times, axis=2).repeat(times, axis=3)
    shown = np.pad(shown, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    rows, columns, height, width, _ = shown.shape
    return np.ascontiguousarray(shown.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3))
