from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn import Digits, LogisticRegression
from lightning_nn.data.batches import Batch
from lightning_nn.data.cache import cache_folder
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.processor import RunFacts
from lightning_nn.data.splits import stratified_split
from lightning_nn.errors import UserError


def batches_of(data: Digits) -> list[Batch]:
    return list(data.train_dataloader())


@pytest.mark.parametrize("size", [1, 64, "all"])
def test_batch_size(size: int | str) -> None:
    data = Digits(classes=[3, 8], batch_size=size)  # type: ignore[arg-type]
    sizes = [batch.size for batch in batches_of(data)]
    samples = sum(data.class_counts)
    assert sum(sizes) == samples
    assert max(sizes) == (samples if size == "all" else size)
    assert len(sizes) == (1 if size == "all" else -(-samples // int(size)))


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"batch_size is {size}; it must be 'all' or at least 1"):
        Digits(batch_size=size)


def test_splits_share_no_sample() -> None:
    data = Digits(batch_size="all")
    splits = [next(iter(loader)) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())]
    assert sum(batch.size for batch in splits) == 1797
    pictures = [{bytes(i.numpy().tobytes()) for i in batch.image} for batch in splits]  # type: ignore[union-attr]
    assert not pictures[0] & pictures[1] and not pictures[0] & pictures[2] and not pictures[1] & pictures[2]


def test_training_is_shuffled_by_the_seed_of_the_run_and_validation_never(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(split: str, seed: int) -> torch.Tensor:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        return next(iter(getattr(Digits(), f"{split}_dataloader")())).image

    assert torch.equal(first("train", 1), first("train", 1))
    assert not torch.equal(first("train", 1), first("train", 2))
    assert torch.equal(first("val", 1), first("val", 2))


def test_balanced_repeats_the_samples_of_small_classes_in_training_only() -> None:
    plain, balanced = Digits(balanced=False), Digits(balanced=True)
    shown = torch.cat([batch.label for batch in batches_of(balanced)]).bincount().tolist()  # type: ignore[misc]
    assert set(shown) == {max(plain.class_counts)}
    assert len(list(balanced.val_dataloader())) == len(list(plain.val_dataloader()))


def test_a_processor_that_no_checkpoint_could_name_is_refused_before_training() -> None:
    class Mine(ImageProcessor):
        kind = "mine"

    model = LogisticRegression(features=64)
    with pytest.raises(UserError, match=r"'mine' could be read.*: catalog.register_processor\('mine', Mine\)"):
        model.begin(RunFacts(Mine(["3", "8"], 1, 8, 8)))


def test_a_checkpoint_of_other_categories_is_refused() -> None:
    data = Digits(classes=[3, 8])
    data.use_processor(ImageProcessor(["cat", "dog"], 1, 8, 8))
    with pytest.raises(UserError, match="the model's categories are cat, dog; this data has 3, 8"):
        data.prepare_once()


def test_cache_folder_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LIGHTNING_NN_CACHE")
    assert cache_folder().name == "lightning_nn"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0.05, 0.6), st.integers(0, 9))
def test_stratified_split(labels: list[int], fraction: float, seed: int) -> None:
    given_labels = np.array(labels)
    stay, cut = stratified_split(given_labels, fraction, seed)
    assert sorted([*stay.tolist(), *cut.tolist()]) == list(range(len(labels)))
    for label in set(labels):
        count, of_cut = labels.count(label), int((given_labels[cut] == label).sum())
        expected = 0 if count == 1 else max(1, round(fraction * count))
        assert of_cut == expected, (label, count, of_cut)
        assert of_cut < count
    again = stratified_split(given_labels, fraction, seed)
    assert np.array_equal(cut, again[1]) and np.array_equal(stay, again[0])
