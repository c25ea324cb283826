from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.loader import BatchSampler, Fingerprints, Loader
from lightning_nn.errors import UserError


class Case(NamedTuple):
    """Arguments of a BatchOrder."""

    size: int
    batch_size: int
    world_size: int
    seed: int
    shuffle: bool
    lengths: Index | None
    max_length: int | None

    def orders(self, **more: Any) -> list[BatchSampler]:
        """One a rank."""
        shared = self._asdict() | more
        size, batch_size = shared.pop("size"), shared.pop("batch_size")
        return [BatchSampler(size, batch_size, rank=rank, **shared) for rank in range(self.world_size)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    world_size = draw(st.integers(1, 5))
    size = draw(st.integers(world_size, 200))
    lengths = None
    if draw(st.booleans()):
        drawn = draw(st.lists(st.integers(1, 60), min_size=size, max_size=size))
        lengths = np.array(drawn, np.int64)
    max_length = draw(st.none() | st.integers(1, 300)) if lengths is not None else None
    seed, shuffle = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    return Case(size, draw(st.sampled_from([1, 2, 3, 7, 40])), world_size, seed, shuffle, lengths, max_length)


class Numbers:
    """A source whose samples are their own numbers."""

    lengths: Index | None = None

    def __init__(self, size: int) -> None:
        self.labels: Index = np.arange(size) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> ImageBatch:
        return ImageBatch(torch.from_numpy(index))

    def fingerprints(self) -> Fingerprints:
        return np.arange(len(self), dtype=np.uint64)


def numbers(loader: Loader) -> list[list[int]]:
    return [batch.image.tolist() for batch in loader]  # type: ignore[union-attr]


def make_loader(size: int = 23, batch_size: int = 4, seed: int = 7) -> Loader:
    return Loader(Numbers(size), BatchSampler(size, batch_size, shuffle=True, seed=seed))


# ---------------------------------------------------------------------- the order


@given(cases(), st.integers(0, 5))
def test_each_sample_once_an_epoch_over_all_ranks(case: Case, epoch: int) -> None:
    seen: Counter[int] = Counter()
    for order in case.orders():
        order.set_epoch(epoch)
        seen.update(itertools.chain.from_iterable(index.tolist() for index in order))
    assert seen == Counter(range(case.size))


@given(cases(), st.integers(1, 5))
def test_every_rank_and_every_epoch_has_the_same_number_of_batches(case: Case, epoch: int) -> None:
    orders = case.orders()
    first = [len(list(order)) for order in orders]
    for order in orders:
        order.set_epoch(epoch)
    assert {*first, *(len(list(order)) for order in orders)} == {len(orders[0])}


@given(cases())
def test_no_batch_is_empty_too_large_or_too_long(case: Case) -> None:
    for order in case.orders():
        for index in order:
            single = 1 if case.world_size == 1 else 2  # see the test of indivisible single samples
            assert 0 < len(index) <= max(case.batch_size, single)
            if case.lengths is not None and case.max_length is not None:
                length = case.lengths[index].sum()
                assert length <= case.max_length or len(index) <= single, (length, len(index))


def test_single_samples_that_do_not_divide_are_joined_in_pairs_never_left_out() -> None:
    ranks = [[i.tolist() for i in BatchSampler(5, 1, world_size=4, rank=rank)] for rank in range(4)]
    assert ranks == [[[0, 1]], [[2]], [[3]], [[4]]]


@given(cases(), st.integers(0, 5))
def test_the_order_depends_on_seed_and_epoch_only(case: Case, epoch: int) -> None:
    def run(state: int) -> list[list[int]]:
        random.seed(state)
        np.random.seed(state)  # noqa: NPY002  the global state is what must not matter
        torch.manual_seed(state)
        out = []
        for order in case.orders():
            order.set_epoch(epoch)
            out += [index.tolist() for index in order]
        return out

    assert run(1) == run(2)


def test_another_seed_and_another_epoch_are_other_orders() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        one = BatchSampler(100, 10, shuffle=True, seed=seed)
        one.set_epoch(epoch)
        return [index.tolist() for index in one]

    orders = [order(seed, epoch) for seed, epoch in itertools.product(range(3), range(3))]
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def test_without_shuffle_samples_come_as_they_lie_or_by_length() -> None:
    lengths = np.array([3, 1, 2, 1, 9])
    assert [i.tolist() for i in BatchSampler(5, 2)] == [[0, 1], [2, 3], [4]]
    assert [i.tolist() for i in BatchSampler(5, 2, lengths=lengths, keep_order=True)] == [[0, 1], [2, 3], [4]]
    bounded = BatchSampler(5, 3, lengths=lengths, keep_order=True, max_length=5)
    assert [i.tolist() for i in bounded] == [[0, 1], [2, 3], [4]]
    by_length = [i.tolist() for i in BatchSampler(5, 2, lengths=lengths)]
    assert sorted(by_length) == [[0], [1, 3], [2], [4]]  # 2 and 3 differ by more than the spread


def test_the_first_batches_of_an_evaluation_are_not_the_shortest() -> None:
    lengths = np.random.default_rng(0).lognormal(3, 1, 2000).astype(np.int64) + 1
    order = BatchSampler(2000, 16, lengths=lengths)
    some = np.concatenate([index for _, index in zip(range(len(order) // 4), order, strict=False)])
    assert 0.7 < lengths[some].mean() / lengths.mean() < 1.4
    assert [i.tolist() for i in order] == [i.tolist() for i in order]


def test_a_bucket_leaves_no_batch_of_a_few_samples() -> None:
    order = BatchSampler(65, 64, lengths=np.full(65, 10))
    assert [len(index) for index in order] in ([32, 33], [33, 32])


def test_a_batch_has_little_spread_in_length() -> None:
    lengths = np.random.default_rng(0).lognormal(3, 1, 5000).astype(np.int64) + 1
    order = BatchSampler(5000, 10, shuffle=True, lengths=lengths)
    within = np.median([lengths[i].std() for i in order])
    assert within < 0.1 * lengths.std(), (within, lengths.std())


def test_balanced_shows_each_class_as_often_as_the_largest() -> None:
    labels = np.array([0] * 12 + [1] * 3 + [2] * 5)
    order = BatchSampler(20, 4, shuffle=True, labels=labels)
    seen = np.concatenate(list(order))
    assert np.bincount(labels[seen]).tolist() == [12, 12, 12]
    assert set(seen.tolist()) == set(range(20))


@pytest.mark.parametrize("by_length", [False, True])
def test_balanced_repeats_other_samples_each_epoch(by_length: bool) -> None:
    labels = np.array([0] * 100 + [1] * 60)
    lengths = np.random.default_rng(0).integers(1, 50, 160) if by_length else None
    order, seen, sizes = BatchSampler(160, 8, shuffle=True, labels=labels, lengths=lengths), Counter[int](), set()
    for epoch in range(30):
        order.set_epoch(epoch)
        batches = list(order)
        sizes.add(len(batches))
        counts = np.bincount(np.concatenate(batches), minlength=160)
        assert counts[:100].tolist() == [1] * 100
        assert {1, 2} == set(counts[100:].tolist())
        seen.update(np.concatenate(batches).tolist())
    assert len(sizes) == 1
    assert min(seen[i] for i in range(100, 160)) > 30, "some samples never came twice"


def test_more_processes_than_samples_is_an_error_that_says_so() -> None:
    with pytest.raises(UserError, match=r"3 samples can't be shared by 4 processes.*--trainer.devices"):
        BatchSampler(3, 8, world_size=4)


# ---------------------------------------------------------------------- resuming


@given(st.integers(0, 6), st.integers(0, 3), st.integers(0, 100))
def test_resumed_in_the_middle_of_an_epoch_the_rest_comes(given_out: int, epoch: int, other_seed: int) -> None:
    whole = make_loader()
    whole.batch_sampler.set_epoch(epoch)
    expected = numbers(whole)

    stopped = make_loader()
    stopped.batch_sampler.set_epoch(epoch)
    for _ in itertools.islice(stopped, given_out):
        pass
    resumed = make_loader(seed=other_seed)
    resumed.load_state_dict(stopped.state_dict())
    resumed.batch_sampler.set_epoch(epoch)
    assert numbers(resumed) == expected[given_out:]
    resumed.batch_sampler.set_epoch(epoch + 1)
    whole.batch_sampler.set_epoch(epoch + 1)
    assert numbers(resumed) == numbers(whole), "the epoch after the resumed one is whole"


def test_an_epoch_begun_by_some_processes_is_not_ended_by_others() -> None:
    def loader(world_size: int) -> Loader:
        return Loader(Numbers(55), BatchSampler(55, 10, world_size=world_size, rank=0))

    begun = loader(2)
    next(iter(begun))
    with pytest.raises(UserError, match="an epoch shared by 2 processes; 1 would"):
        loader(1).load_state_dict(begun.state_dict())
    assert len(numbers(begun)) == 3
    loader(1).load_state_dict(begun.state_dict())  # its end


def test_an_iterator_left_unfinished_leaves_no_trace() -> None:
    """Lightning's sanity check takes two batches and goes away."""
    loader = make_loader()
    expected = numbers(loader)
    next(iter(loader))
    assert numbers(loader) == expected


def test_a_resumed_position_is_used_once() -> None:
    loader = make_loader()
    loader.load_state_dict({"seed": 7, "epoch": 0, "batch": 4})
    rest = numbers(loader)
    assert (len(rest), len(numbers(loader))) == (2, 6)
