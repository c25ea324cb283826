"""Metrics of generated captions that also keep each caption, for tables and pages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lightning_nn.metrics.captions import CaptionScores


class CaptionRecord(NamedTuple):
    """A generated caption.

    Attributes:
        index: of the image in its split.
        words: ids of the caption.
        references: ids of the captions by people.
        log_probability: of the caption by the model.
        cider: CIDEr-D of the caption.
    """

    index: int  # type: ignore[assignment]
    words: list[int]
    references: list[list[int]]
    log_probability: float
    cider: float


class CaptionRecords(CaptionScores):
    """`CaptionScores` that keeps what it has measured, of all processes.

    Attributes:
        records: of the images at the last `compute`, ordered by their index.
    """

    lists = CaptionScores.lists | {"index": torch.int64, "log_probability": torch.float32}
    index: list[Tensor]
    log_probability: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.records: list[CaptionRecord] = []

    def update(  # type: ignore[override]
        self,
        candidates: Sequence[Sequence[int]],
        references: Sequence[Sequence[Sequence[int]]],
        log_probability: Tensor,
        index: Tensor | None,
    ) -> None:
        """Add images.

        Args:
            candidates: word ids of the generated caption of each image.
            references: word ids of one or more references of each image.
            log_probability: float (B,), of the generated captions by the model.
            index: int64 (B,), of the images in their split; None to count them.
        """
        super().update(candidates, references)
        first = sum(map(len, self.index))
        counted = torch.arange(first, first + len(candidates), device=log_probability.device)
        self.index.append(counted if index is None else index)
        self.log_probability.append(log_probability.float())

    def compute(self) -> dict[str, Tensor]:
        """Compute the metrics, and set `records`; see `CaptionScores`."""
        corpus = self.corpus()
        groups = pieces(pieces(corpus.words.tolist(), corpus.length.tolist()), corpus.captions.tolist())
        numbers = [dim_zero_cat(each).tolist() for each in (self.index, self.log_probability)]
        found = zip(groups, *numbers, self.cider_each().tolist(), strict=True)
        records = [CaptionRecord(i, own, references, logp, cider) for (own, *references), i, logp, cider in found]
        self.records = sorted(records, key=lambda record: record.index)
        return super().compute()


def pieces(values: list[Any], lengths: list[int]) -> list[list[Any]]:
    """Cut a list into pieces of these lengths."""
    rest = iter(values)
    return [list(islice(rest, length)) for length in lengths]
