"""Printed data tells its shapes and counts, on a line."""

from __future__ import annotations

import torch

from lightning_nn import Digits, ImageBatch, StyleBatch, TextBatch
from lightning_nn.data.text.processor import TextProcessor


def test_a_batch_shows_types_and_shapes() -> None:
    image = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    assert repr(ImageBatch(image, torch.tensor([0, 1]))) == "ImageBatch(image=uint8 (2, 1, 8, 8), label=int64 (2,))"
    ids = torch.tensor([1])
    assert str(TextBatch(ids, ids, ids)) == "TextBatch(documents=int64 (1,), sentences=int64 (1,), words=int64 (1,))"
    assert repr(StyleBatch(None, (image[0],))) == "StyleBatch(style=[uint8 (1, 8, 8)])"


def test_a_processor_shows_how_it_reads_and_how_many_words_it_knows() -> None:
    processor = TextProcessor(["体育", "财经"], ["<unk>", *(f"w{i}" for i in range(12_344))], "chars", [], 30, 40)
    shown = repr(processor)
    assert shown.startswith(
        "TextProcessor(categories=['体育', '财经'], words=['<unk>', 'w0', 'w1', 'w2', ... 12,345 in all]"
    )
    assert "segmenter='chars'" in shown and len(shown) < 400


def test_data_shows_its_splits_once_they_are_read() -> None:
    data = Digits(classes=[0, 1, 2], batch_size=16)
    assert repr(data) == "Digits(batch_size=16)"
    data.prepare_once()
    sizes = {split: len(source) for split, source in data.sources.items()}
    assert f"train={sizes['train']}, val={sizes['val']}, test={sizes['test']}, " in str(data)
    assert "num_classes=3" in repr(data)
    assert repr(data.processor).startswith("ImageProcessor(categories=['0', '1', '2'], channels=1, height=8, width=8")
