"""Which samples make a batch: seeded, grouped by length, shared between processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.errors import UserError


class BatchSampler:
    """Which samples make which batch: a function of (seed, epoch, rank, world size) alone.

    Samples are shuffled within buckets of like length, so that a batch has little spread, and a bucket is cut into
    batches of equal size; the batches are then shuffled. What a batch may hold depends on the sorted lengths only, so
    every epoch has the same number of batches. Ranks take turns: step t is made of `world_size` neighbouring batches,
    one a rank. Where their number does not divide, the largest batches are split, so that each sample comes once an
    epoch and each rank has the same number of batches; where nothing is left to split, some single samples are joined
    in pairs.

    Args:
        size: number of samples N.
        batch_size: samples in a batch of one rank, at most.
        shuffle: a new order each epoch; otherwise the same one always: as the samples lie, or, where there are
            lengths, batches of like length in an order that is not theirs, so that the first of them tell of all.
        keep_order: with lengths too, samples come in their own order, for answers that are matched to them.
        seed: of the order.
        rank: of this process, 0 to world_size - 1.
        world_size: number of processes.
        lengths: int64 (N,), the cost of each sample; None where all cost the same.
        max_length: sum of the lengths in a batch, at most; a single longer sample makes a batch of its own.
        labels: int64 (N,); if given, each class comes as often as the largest one, its samples repeated; which of them
            come once more than the others changes from epoch to epoch.

    Raises:
        UserError: fewer samples than processes.
    """

    spread = 1.5  # longest to shortest sample of a bucket: little to wait for, and no bucket that is all one class

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
            cuts = list(range(0, len(self.indices), batch_size))
        elif keep_order:
            cuts = _fill(lengths[self.indices], batch_size, max_length)
        else:
            costs = lengths[self.indices]
            self.indices = self.indices[np.argsort(costs, kind="stable")]
            costs = np.sort(costs)
            self.buckets = _buckets(costs, self.spread)
            cuts = _cut(costs, self.buckets, batch_size, max_length)
        self.bounds = _split_to_multiple(cuts, len(self.indices), world_size)
        self.repeated = [] if labels is None else _groups(self.indices, labels, self.buckets)

    @property
    def sampler(self) -> BatchSampler:
        """Itself: where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of this epoch, counted from 0."""
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
    """Sample numbers in which each class comes as often as the largest one, those repeated once more evenly spread."""
    classes, counts = np.unique(labels, return_counts=True)
    most = counts.max()
    slots = [np.flatnonzero(labels == c)[np.arange(most) * n // most] for c, n in zip(classes, counts, strict=True)]
    return np.sort(np.concatenate(slots))


def _groups(indices: Index, labels: Index, buckets: list[tuple[int, int]]) -> list[tuple[Index, Index]]:
    """For each class in each bucket, where it stands in `members` and the samples that may stand there."""
    groups = []
    for start, stop in buckets:
        of = labels[indices[start:stop]]
        slots = [start + np.flatnonzero(of == label) for label in np.unique(of)]
        groups += [(places, np.unique(indices[places])) for places in slots]
    return groups


def _buckets(costs: Index, spread: float) -> list[tuple[int, int]]:
    """(start, stop) of runs of ascending costs that differ by a factor of `spread` at most."""
    number = np.floor(np.log(np.maximum(costs, 1)) / np.log(spread))
    starts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(costs)], strict=True))


def _cut(costs: Index, buckets: list[tuple[int, int]], batch_size: int, max_length: int | None) -> list[int]:
    """Where batches begin, so that none can exceed `max_length` whatever the order within its bucket."""
    cuts: list[int] = []
    for start, stop in buckets:
        most = batch_size
        if max_length is not None:
            most = max(1, min(batch_size, max_length // max(1, int(costs[stop - 1]))))
        count, size = -(-(stop - start) // most), stop - start
        cuts.extend(start + i * size // count for i in range(count))  # no remainder of a few samples
    return cuts


def _fill(costs: Index, batch_size: int, max_length: int | None) -> list[int]:
    """Where batches begin if each takes the next samples until one more would be too many or too long."""
    cuts, total = [0], 0
    for i, cost in enumerate(costs.tolist()):
        if i > cuts[-1] and (i - cuts[-1] == batch_size or (max_length is not None and total + cost > max_length)):
            cuts.append(i)
            total = 0
        total += cost
    return cuts


def _split_to_multiple(cuts: list[int], size: int, world_size: int) -> list[tuple[int, int]]:
    """(start, stop) of each batch, the largest ones split until their number is a multiple of the world size."""
    if -(-len(cuts) // world_size) * world_size > size:  # more batches than samples: single samples, the first in pairs
        pairs = size % world_size
        return [(2 * i, 2 * i + 2) for i in range(pairs)] + [(i, i + 1) for i in range(2 * pairs, size)]
    bounds = list(zip(cuts, [*cuts[1:], size], strict=True))
    while len(bounds) % world_size:
        largest = max(range(len(bounds)), key=lambda i: bounds[i][1] - bounds[i][0])
        start, stop = bounds[largest]
        middle = (start + stop + 1) // 2
        bounds[largest : largest + 1] = [(start, middle), (middle, stop)]
    return bounds
