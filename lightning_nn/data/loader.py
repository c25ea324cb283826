"""Order of samples and loading of batches by index: seeded, bucketed by length, sharded over processes, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import Batch, Index, Origin
from lightning_nn.errors import UserError


class BatchSampler:
    """Assignment of samples to batches, a function of (seed, epoch, rank, world size) alone.

    Samples are shuffled within buckets of similar length, so that lengths in a batch vary little. Each bucket is
    divided into batches of equal size, and the batches are shuffled. The sizes of batches depend on the sorted lengths
    only, so every epoch has the same number of batches. Ranks alternate: step t consists of `world_size` neighboring
    batches, one per rank. If the number of batches is not a multiple of `world_size`, the largest ones are split, so
    that each sample occurs once an epoch and each rank has the same number of batches; if nothing is left to split,
    some single samples are joined in pairs.

    Args:
        size: number of samples N.
        batch_size: most samples in a batch of one rank.
        shuffle: draw a new order every epoch. If False the order is fixed: data-set order, or, with `lengths`,
            length-bucketed batches in one fixed random order, so that the first batches are representative.
        keep_order: keep data-set order even with `lengths`, for predictions that are matched to their inputs.
        seed: of the order.
        rank: of this process, 0 to world_size - 1.
        world_size: number of processes.
        lengths: int64 (N,), the cost of each sample, or (N, D), sides whose product it is, such as height and width; in
            a bucket each of them is similar. None if all cost the same.
        max_length: largest sum of lengths in a batch; a longer sample becomes a batch by itself.
        labels: int64 (N,); if given, samples are repeated until each class occurs as often as the largest one; which
            of them occur once more than the others changes every epoch.

    Raises:
        UserError: fewer samples than processes.
    """

    spread = 1.5  # longest to shortest sample of a bucket: little variation in a batch, yet no bucket of a single class

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        keep_order: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        lengths: Index | None = None,
        max_length: int | None = None,
        labels: Index | None = None,
    ) -> None:
        self.seed, self.epoch = seed, 0
        self.shuffle, self.rank, self.world_size = shuffle, rank, world_size
        self.indices = np.arange(size) if labels is None else _balance(labels)
        if len(self.indices) < world_size:
            raise UserError(
                f"{len(self.indices)} samples can't be shared by {world_size} processes: use fewer (--trainer.devices)"
            )
        self.buckets = [(0, len(self.indices))]
        self.sorted = lengths is not None and not keep_order
        if lengths is None:
            starts = list(range(0, len(self.indices), batch_size))
        elif keep_order:
            starts = _fill(_costs(lengths)[self.indices], batch_size, max_length)
        else:
            levels = _levels(lengths, self.spread)
            order = np.lexsort((_costs(lengths)[self.indices], *levels[self.indices].T[::-1]))
            self.indices = self.indices[order]
            self.buckets = _buckets(levels[self.indices])
            starts = _divide(_costs(lengths)[self.indices], self.buckets, batch_size, max_length)
        self.bounds = _split_to_multiple(starts, len(self.indices), world_size)
        self.repeated = [] if labels is None else _groups(self.indices, labels, self.buckets)

    @property
    def sampler(self) -> BatchSampler:
        """The sampler itself: Lightning looks here for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0, which determines the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.bounds) // self.world_size

    def __iter__(self) -> Iterator[Index]:
        indices, steps = self.indices.copy(), np.arange(len(self))
        if self.shuffle:
            random = np.random.default_rng((self.seed, self.epoch))
            for slots, samples in self.repeated:
                rounds = -(-len(slots) // len(samples))
                indices[slots] = np.concatenate([random.permutation(samples) for _ in range(rounds)])[: len(slots)]
            indices = np.concatenate([random.permutation(indices[a:b]) for a, b in self.buckets])
            steps = random.permutation(steps)
        elif self.sorted:
            steps = np.random.default_rng(0).permutation(steps)
        for step in steps:
            start, stop = self.bounds[step * self.world_size + self.rank]
            yield indices[start:stop]


def _balance(labels: Index) -> Index:
    """Repeat sample numbers until each class is as large as the largest one; extra repeats are spread evenly."""
    classes, counts = np.unique(labels, return_counts=True)
    most = counts.max()
    slots = [np.flatnonzero(labels == c)[np.arange(most) * n // most] for c, n in zip(classes, counts, strict=True)]
    return np.sort(np.concatenate(slots))


def _groups(indices: Index, labels: Index, buckets: list[tuple[int, int]]) -> list[tuple[Index, Index]]:
    """Return for each class in each bucket its positions in `indices` and the samples that may take them."""
    groups = []
    for start, stop in buckets:
        of = labels[indices[start:stop]]
        slots = [start + np.flatnonzero(of == label) for label in np.unique(of)]
        groups += [(places, np.unique(indices[places])) for places in slots]
    return groups


def _costs(lengths: Index) -> Index:
    return lengths.reshape(len(lengths), -1).prod(1)


def _levels(lengths: Index, spread: float) -> Index:
    """Return a level for each length, (N, D), equal for lengths that differ by a factor of `spread` at most."""
    sides = np.maximum(lengths.reshape(len(lengths), -1), 1)
    return np.floor(np.log(sides) / np.log(spread)).astype(np.int64)


def _buckets(levels: Index) -> list[tuple[int, int]]:
    """Group samples in the order of their levels, (N, D), into buckets (start, stop) of equal ones."""
    starts = [0, *(np.flatnonzero(np.diff(levels, axis=0).any(1)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(levels)], strict=True))


def _divide(costs: Index, buckets: list[tuple[int, int]], batch_size: int, max_length: int | None) -> list[int]:
    """Return starts of batches, none of which can exceed `max_length` in any order within its bucket."""
    starts: list[int] = []
    for start, stop in buckets:
        most = batch_size
        if max_length is not None:
            most = max(1, min(batch_size, max_length // max(1, int(costs[stop - 1]))))
        count, size = -(-(stop - start) // most), stop - start
        starts.extend(start + i * size // count for i in range(count))  # no small last batch
    return starts


def _fill(costs: Index, batch_size: int, max_length: int | None) -> list[int]:
    """Return starts of batches, each filled in order until one more sample would be too many or too long."""
    starts, total = [0], 0
    for i, cost in enumerate(costs.tolist()):
        if i > starts[-1] and (i - starts[-1] == batch_size or (max_length is not None and total + cost > max_length)):
            starts.append(i)
            total = 0
        total += cost
    return starts


def _split_to_multiple(starts: list[int], size: int, world_size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each batch; split the largest until their number is a multiple of the world size."""
    if -(-len(starts) // world_size) * world_size > size:  # more batches than samples: singles, the first in pairs
        pairs = size % world_size
        return [(2 * i, 2 * i + 2) for i in range(pairs)] + [(i, i + 1) for i in range(2 * pairs, size)]
    bounds = list(zip(starts, [*starts[1:], size], strict=True))
    while len(bounds) % world_size:
        largest = max(range(len(bounds)), key=lambda i: bounds[i][1] - bounds[i][0])
        start, stop = bounds[largest]
        middle = (start + stop + 1) // 2
        bounds[largest : largest + 1] = [(start, middle), (middle, stop)]
    return bounds


Fingerprints = NDArray[np.uint64]

MEASURED = 64  # samples of a batch of `SpreadSamples`


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


class SpreadSamples:
    """Samples spread evenly over a split, read batch by batch in each pass.

    Args:
        source: the split.
        count: number of samples, at most.
    """

    def __init__(self, source: Source, count: int) -> None:
        count = min(count, len(source))
        self.source, self.index = source, np.linspace(0, len(source) - 1, count, dtype=np.int64)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of up to `MEASURED` samples."""
        for start in range(0, len(self.index), MEASURED):
            yield self.source[self.index[start : start + MEASURED]]
