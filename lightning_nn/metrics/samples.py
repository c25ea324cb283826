"""Values of every sample of a split, such as its loss, kept while the split is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class SampleValues(Metric):
    """Values of each sample, of all processes; they stay on the device, 4 or 8 bytes each, until the next reset.

    Args:
        names: of the values.

    Attributes:
        values: tensors (N, ...) of the last `compute` on the CPU, by name, ordered by the index of the samples in their
            split, which is one of them, int64 "index"; empty before it.
    """

    full_state_update = False

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = ["index", *names]
        self.values: dict[str, Tensor] = {}
        for name in self.names:
            self.add_state(f"all_{name}", default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor | None, **values: Tensor) -> None:
        """Add a batch.

        Args:
            index: int64 (B,), of the samples in their split; None to count them.
            values: (B, ...), by name; floats are kept in 32 bits.
        """
        if index is None:
            seen: Any = self.all_index
            first, some = sum(len(numbers) for numbers in seen), next(iter(values.values()))
            index = torch.arange(first, first + len(some), device=some.device)
        for name, value in {"index": index, **values}.items():
            getattr(self, f"all_{name}").append(value.float() if value.is_floating_point() else value)

    def compute(self) -> Tensor:
        """Set `values`; return the number of samples."""
        values: dict[str, Any] = {name: dim_zero_cat(getattr(self, f"all_{name}")).cpu() for name in self.names}
        order = values["index"].argsort()
        self.values = {name: value[order] for name, value in values.items()}
        return torch.tensor(len(order), device=self.device)

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self.values = {}
