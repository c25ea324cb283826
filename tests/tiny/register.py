"""Registration of the tests' tasks in the catalog, as a user's own module does it: `--import tests.tiny.register`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning_nn import catalog


def register() -> None:
    """Adds them for as long as the process lives."""
    segmentation, captioning = "tests.tiny.segmentation", "tests.tiny.captioning"
    catalog.register("tiny_segmenter", f"{segmentation}:Segmenter", "mask", "two convolutions", data="tiny_masks")
    catalog.register("tiny_captioner", f"{captioning}:Captioner", "caption", "a GRU", data="tiny_captions")
    catalog.register("tiny_masks", f"{segmentation}:TinyMasks", "mask", "rectangles and their pixels")
    catalog.register("tiny_captions", f"{captioning}:TinyCaptions", "caption", "rectangles in words")
    catalog.register_processor("tiny_mask", f"{segmentation}:MaskProcessor")
    catalog.register_processor("tiny_caption", f"{captioning}:CaptionProcessor")


@contextmanager
def registered() -> Iterator[None]:
    """Adds them for a while, so that tests of the catalog itself do not see them."""
    tables: list[dict[str, Any]] = [catalog.MODELS, catalog.DATA, catalog.PROCESSORS]
    before = [dict(table) for table in tables]
    register()
    try:
        yield
    finally:
        for table, rows in zip(tables, before, strict=True):
            table.clear()
            table.update(rows)
