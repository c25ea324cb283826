from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn import Bulletins, Digits
from lightning_nn.data.folds import Subset, fold_numbers, held_out

SAMPLES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=60)


@given(SAMPLES, st.integers(2, 6))
def test_copies_share_a_fold_and_folds_are_even(samples: list[tuple[int, int]], folds: int) -> None:
    labels, contents = (np.array(column) for column in zip(*samples, strict=True))
    numbers = fold_numbers(labels, contents.astype(np.uint64), folds, seed=0)
    assert all(len(set(numbers[contents == content])) == 1 for content in set(contents.tolist()))
    first = [contents.tolist().index(content) for content in set(contents.tolist())]
    for label in set(labels[first].tolist()):
        counts = np.bincount(numbers[first][labels[first] == label], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_another_seed_gives_other_folds() -> None:
    labels, contents = np.arange(60) % 3, np.arange(60, dtype=np.uint64)
    one, same, other = (fold_numbers(labels, contents, 5, seed).tolist() for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize("data", [Bulletins(train_size=40, val_size=10, test_size=10), Digits()])
def test_each_sample_is_held_out_once_and_not_trained_on_then(data: Any, tmp_path: Path) -> None:
    data.prepare_once()
    train, labels = data.fingerprints("train"), data.labels("train")
    numbers = fold_numbers(labels, train, 4, 0)
    seen = []
    for inside, fold in held_out(data, numbers):
        assert len(fold.sources["train"]) + len(fold.sources["test"]) == len(train)
        assert fold.fingerprints("test").tolist() == train[inside].tolist()
        assert not set(fold.fingerprints("test").tolist()) & set(fold.fingerprints("train").tolist())
        assert fold.labels("test").tolist() == labels[inside].tolist()
        assert sum(fold.class_counts) == len(fold.sources["train"])
        assert fold.sources["val"] is data.sources["val"]
        seen += inside.tolist()
    assert sorted(seen) == list(range(len(train)))
    assert data.fingerprints("train").tolist() == train.tolist()


def test_a_subset_gives_the_samples_of_its_source_with_numbers_of_its_own() -> None:
    data = Bulletins(train_size=40, val_size=10, test_size=10)
    data.prepare_once()
    source = data.sources["train"]
    part: Any = Subset(source, np.array([7, 3, 20]))
    batch, same = part[np.array([2, 0])], source[np.array([20, 7])]
    assert batch.words.tolist() == same.words.tolist() and batch.label.tolist() == same.label.tolist()
    assert batch.index.tolist() == [2, 0] and part.lengths.tolist() == source.lengths[[7, 3, 20]].tolist()
