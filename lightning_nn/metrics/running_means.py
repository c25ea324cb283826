"""Means of an epoch, added up step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Totals(NamedTuple):
    """Sums of an epoch.

    Attributes:
        sums: by name.
        weight: how many samples (pixels, words) they are over.
    """

    sums: dict[str, float | Tensor]
    weight: float | Tensor


class RunningMeans:
    """Sums of an epoch on this process, by name, which do not wait for the device.

    Attributes:
        names: of the sums, in the order of the epoch's first step.
        sums: (names + 1,), the weight last; float64 where the device has it; None before the epoch's first step.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: Tensor | None = None
        self._resumed: tuple[int, Totals] | None = None

    def clear(self) -> None:
        """Begins anew."""
        self.sums = self._resumed = None

    def resume(self, epoch: int, totals: Totals) -> None:
        """Goes on from sums over all processes, if the next step is of their epoch.

        Args:
            epoch: that had begun.
            totals: of it.
        """
        self._resumed = (epoch, totals)

    def add(self, sums: Mapping[str, Tensor], weight: int | Tensor, epoch: int, *, keeps_resumed: bool) -> None:
        """Adds a step.

        Args:
            sums: by name, scalars; the same names in each step.
            weight: how many samples they are over.
            epoch: of the step.
            keeps_resumed: whether it is on this process that resumed sums are gone on from.

        Raises:
            ValueError: other names than before.
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
        """Sums of the epoch so far over all processes; None before its first step.

        Args:
            over_processes: sums a tensor over the processes.
        """
        if self.sums is None:
            return None
        *sums, weight = over_processes(self.sums)
        return Totals(dict(zip(self.names, sums, strict=True)), weight)
