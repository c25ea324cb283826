"""Running values of an epoch or a split: means, and the samples with the lowest scores."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric


class Totals(NamedTuple):
    """Sums of an epoch.

    Attributes:
        sums: sums by name.
        weight: number of samples (pixels, words) in the sums.
    """

    sums: dict[str, float | Tensor]
    weight: float | Tensor


class RunningMeans:
    """Sums of an epoch on this process, by name, accumulated on the device without waiting for it.

    Attributes:
        names: names of the sums, in the order of the epoch's first step.
        sums: (names + 1,), the weight last; float64 if the device has it; None before the epoch's first step.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: Tensor | None = None
        self._resumed: tuple[int, Totals] | None = None

    def clear(self) -> None:
        """Reset the sums."""
        self.sums = self._resumed = None

    def resume(self, epoch: int, totals: Totals) -> None:
        """Resume from saved sums, if the next step belongs to their epoch.

        Args:
            epoch: number of the unfinished epoch.
            totals: its sums so far, over all processes.
        """
        self._resumed = (epoch, totals)

    def add(self, sums: Mapping[str, Tensor], weight: int | Tensor, epoch: int, *, keeps_resumed: bool) -> None:
        """Add the sums of a step.

        Args:
            sums: scalars by name; the same names in each step.
            weight: number of samples in the sums.
            epoch: epoch of the step.
            keeps_resumed: add the resumed sums on this process; True on exactly one.

        Raises:
            ValueError: the names differ from those of the steps before.
        """
        values = [value.detach() for value in sums.values()]
        device = values[0].device
        exact = torch.float32 if device.type == "mps" else torch.float64
        count = torch.as_tensor(weight, dtype=exact, device=device).detach()
        step = torch.stack([*(value.to(exact) for value in values), count])
        if self.sums is None:
            self.names, self.sums = list(sums), torch.zeros_like(step)
            begun, totals = self._resumed or (-1, Totals({}, 0.0))
            if begun == epoch and keeps_resumed and totals.sums.keys() == sums.keys():
                self.sums += step.new_tensor([*(totals.sums[name] for name in self.names), totals.weight])
            self._resumed = None
        elif list(sums) != self.names:
            raise ValueError(f"sums of a step are {', '.join(sums)}; those before were {', '.join(self.names)}")
        self.sums += step

    def totals(self, over_processes: Callable[[Tensor], Tensor]) -> Totals | None:
        """Return the sums of the epoch so far over all processes; None before its first step.

        Args:
            over_processes: function that sums a tensor over the processes.
        """
        if self.sums is None:
            return None
        *sums, weight = over_processes(self.sums)
        return Totals(dict(zip(self.names, sums, strict=True)), weight)


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
        return [(-score, sample) for score, _, sample in sorted(self._kept, key=lambda entry: entry[:2], reverse=True)]

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self._kept, self._seen = [], 0
