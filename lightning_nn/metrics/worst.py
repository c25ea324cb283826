"""Samples with the lowest scores of a split."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from torchmetrics import Metric


class Worst(Metric):
    """The samples with the lowest scores, the lowest first; of the process's own share of a split.

    Args:
        count: number of samples that are kept.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self._kept: list[tuple[float, int, Any]] = []  # negative score, negative number of the sample, sample
        self._seen = 0

    def update(self, scores: Sequence[float], sample: Callable[[int], Any]) -> None:
        """Add a batch.

        Args:
            scores: one per sample.
            sample: returns the sample of an index in the batch; called for those that are kept.
        """
        for i, score in enumerate(scores):
            self._seen += 1
            if len(self._kept) < self.count or -score > self._kept[0][0]:
                entry = (-score, -self._seen, sample(i))
                (heapq.heappush if len(self._kept) < self.count else heapq.heapreplace)(self._kept, entry)

    def compute(self) -> list[tuple[float, Any]]:
        """Return the scores and samples, the lowest score first."""
        return [(-score, sample) for score, _, sample in sorted(self._kept, key=lambda each: each[:2], reverse=True)]

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self._kept, self._seen = [], 0
