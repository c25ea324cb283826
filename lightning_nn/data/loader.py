"""Loading of batches by index: seeded, bucketed by length, sharded over processes, resumable within an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batch_sampler import BatchSampler
from lightning_nn.data.batches import Batch, Index, Origin
from lightning_nn.errors import UserError

Fingerprints = NDArray[np.uint64]


class Source(Protocol):
    """Samples in memory or in a memory map, fetched a batch at a time.

    Attributes:
        lengths: int64 (N,), length of each sample (words), or (N, 2), its height and width; None if all have the same.
    """

    lengths: Index | None

    def __len__(self) -> int: ...

    def __getitem__(self, index: Index) -> Batch: ...

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the contents of each sample, without its label."""
        ...


class LabeledSource(Source, Protocol):
    """Samples that belong to classes.

    Attributes:
        labels: int64 (N,), the class of each sample.
    """

    labels: Index


class Loader:
    """Iterable of batches whose position Lightning saves and restores.

    Args:
        source: the samples.
        order: sampler of the batches.
    """

    def __init__(self, source: Source, order: BatchSampler) -> None:
        self.source = source
        self.batch_sampler = order  # Lightning calls `batch_sampler.sampler.set_epoch`
        self._position = 0
        self._resumed: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        order = self.batch_sampler
        epoch, self._position = order.epoch, 0
        if self._resumed is not None and self._resumed[0] == epoch:
            self._position = self._resumed[1]
        self._resumed = None
        for position, index in enumerate(order):
            if position < self._position:
                continue
            batch: Any = self.source[index]
            if "origin" in batch._fields:  # augmentation needs it
                origin = Origin(order.seed, order.rank, epoch, position)
                batch = batch._replace(index=torch.from_numpy(index), origin=origin)
            self._position = position + 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the position: seed, epoch, batches yielded in it, batches per epoch, and number of processes."""
        order = self.batch_sampler
        place = {"batch": self._position, "batches": len(self), "processes": order.world_size}
        return {"seed": order.seed, "epoch": order.epoch, **place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the last batch yielded, in the saved order, at the next iteration over the saved epoch.

        Raises:
            UserError: the epoch is unfinished and the number of processes differs, so it would be sharded differently.
        """
        now = self.batch_sampler.world_size
        before = state.get("processes", now)
        if before != now and 0 < state["batch"] < state["batches"]:
            raise UserError(
                f"this run stopped in the middle of an epoch shared by {before} process{'es' * (before != 1)}; "
                f"{now} would skip or repeat samples. Resume with {before} until the epoch ends"
            )
        self.batch_sampler.seed = state["seed"]
        self._resumed = (state["epoch"], state["batch"])
