"""Drawings and the table of generated captions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lightning_nn.data.processor import CaptionWriter
from lightning_nn.metrics.captions import CaptionRecord
from lightning_nn.tasks.artifacts import Artifact, Captions, Table

SHOWN_EXTREMES = 12  # images with the best captions, and with the worst


class CaptionRow(NamedTuple):
    """A row of the table of test captions.

    Attributes:
        file: name of the image, or its number in the split.
        truths: captions by people.
        caption: the model's.
        log_probability: of the caption by the model.
        cider: CIDEr-D of the caption, 0 to 10.
    """

    file: str
    truths: list[str]
    caption: str
    log_probability: float
    cider: float


def caption_artifacts(records: list[CaptionRecord], processor: CaptionWriter, split: str) -> Iterator[Artifact]:
    """Yield the captions of a few images; of the test also the best and the worst by CIDEr-D and a table of all.

    Args:
        records: captions of the split.
        processor: spells them, and shows the images if the data has them.
        split: "val" or "test".
    """
    shown = {"captions": [records[i * len(records) // 4] for i in range(min(4, len(records)))]}
    if split == "test":
        ranked = sorted(records, key=lambda each: -each.cider)
        shown |= {"best": ranked[:SHOWN_EXTREMES], "worst": ranked[::-1][:SHOWN_EXTREMES]}
    for name, some in shown.items():
        rows = [_row(record, processor, split) for record in some]
        if rows and (image := processor.pictures.get(split)) is not None:
            yield Captions(
                [image(record.index) for record in some],
                [row.caption for row in rows],
                [row.truths for row in rows],
                name,
                [f"{row.file}: CIDEr-D {row.cider:.2f}" for row in rows],
            )
    if split == "test" and records:
        yield Table("predictions", CaptionRow._fields, [_row(record, processor, split) for record in records])


def _row(record: CaptionRecord, processor: CaptionWriter, split: str) -> CaptionRow:
    names = processor.files.get(split)
    return CaptionRow(
        str(record.index) if names is None else names[record.index],
        [processor.spell(words) for words in record.references],
        processor.spell(record.words),
        record.log_probability,
        record.cider,
    )
