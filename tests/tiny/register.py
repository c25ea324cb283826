"""Registration of the tests' tasks in the catalog, as a user's own module does it: `--import tests.tiny.register`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lightning_nn import catalog
from lightning_nn.catalog import Entry

TINY_MODELS = {
    "tiny_segmenter": Entry("tests.tiny.segmentation:Segmenter", ("mask",), "two convolutions", "tiny_masks"),
    "tiny_captioner": Entry("tests.tiny.captioning:Captioner", ("caption",), "a GRU over features", "tiny_captions"),
}
TINY_DATA = {
    "tiny_masks": Entry("tests.tiny.segmentation:TinyMasks", ("mask",), "rectangles and their pixels"),
    "tiny_captions": Entry("tests.tiny.captioning:TinyCaptions", ("caption",), "rectangles in words"),
}
PROCESSORS = {
    "tiny_mask": "tests.tiny.segmentation:MaskProcessor",
    "tiny_caption": "tests.tiny.captioning:CaptionProcessor",
}


def register() -> None:
    catalog.MODELS.update(TINY_MODELS)
    catalog.DATA.update(TINY_DATA)
    catalog.PROCESSORS.update(PROCESSORS)


@contextmanager
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for table, rows in (
            (catalog.MODELS, TINY_MODELS),
            (catalog.DATA, TINY_DATA),
            (catalog.PROCESSORS, PROCESSORS),
        ):
            for name, row in rows.items():
                patch.setitem(table, name, row)
        yield
