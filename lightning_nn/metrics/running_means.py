"""Loss and accuracy of an epoch, added up sample by sample."""

from __future__ import annotations

import torch
from torch import Tensor


class RunningMeans:
    """Sums of an epoch on this process, which do not wait for the device.

    Attributes:
        sums: loss, hits and samples, (3,), float64 where the device has it; None before the epoch's first step.
    """

    def __init__(self) -> None:
        self.sums: Tensor | None = None
        self._resumed: tuple[int, list[float]] | None = None

    def clear(self) -> None:
        """Begins anew."""
        self.sums = self._resumed = None

    def resume(self, epoch: int, sums: list[float]) -> None:
        """Goes on from sums over all processes, if the next step is of their epoch.

        Args:
            epoch: that had begun.
            sums: of it.
        """
        self._resumed = (epoch, sums)

    def add(self, losses: Tensor, correct: Tensor, epoch: int, *, keeps_resumed: bool) -> None:
        """Adds a step.

        Args:
            losses: (B,).
            correct: bool (B,).
            epoch: of the step.
            keeps_resumed: whether it is on this process that resumed sums are gone on from.
        """
        exact = torch.float32 if losses.device.type == "mps" else torch.float64
        samples = torch.full((), len(losses), dtype=exact, device=losses.device)
        step = torch.stack([losses.sum(dtype=exact), correct.sum(dtype=exact), samples])
        if self.sums is None:
            self.sums = torch.zeros_like(step)
            begun, sums = self._resumed or (-1, [])
            if begun == epoch and keeps_resumed:
                self.sums += step.new_tensor(sums)
            self._resumed = None
        self.sums += step
