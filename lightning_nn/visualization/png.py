"""PNG files with text about the picture in them."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo


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
