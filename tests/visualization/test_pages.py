"""Images as parts of a page: photographs are small files, what has few pixels or one channel keeps every value."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lightning_nn.visualization.pages import LONGEST, embedded


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


@pytest.mark.parametrize(("shape", "form"), [((100, 120, 3), "JPEG"), ((100, 120), "PNG"), ((8, 6, 3), "PNG")])
def test_only_a_photograph_loses_values(shape: tuple[int, ...], form: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    part = embedded(pixels)
    image = decoded(part.source)
    assert image.format == form and part.source.startswith(f"data:image/{form.lower()};base64,")
    assert np.array_equal(np.asarray(image), pixels) == (form == "PNG")


def test_a_large_image_is_shrunk_and_a_small_one_shown_enlarged() -> None:
    large, small = embedded(np.zeros((600, 2 * LONGEST, 3), np.uint8)), embedded(np.zeros((30, 40, 3), np.uint8))
    assert (large.width, large.height, large.small) == (LONGEST, 300, False) == (*decoded(large.source).size, False)
    assert (small.width, small.height, small.small) == (120, 90, True)
    assert decoded(small.source).size == (40, 30)
