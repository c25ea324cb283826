"""A loader of pairs (x, y) is refused with the lines that adapt it, and these lines do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_nn import LSTMClassifier, MaskBatch, SoftmaxClassifier, UserError
from lightning_nn.tasks.foreign_batch import foreign_batch
from lightning_nn.tasks.task import Task
from tests.contract import trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*no `val_dataloader`.*")

LABELS = torch.tensor([0, 1, 2, 0])
IMAGES = TensorDataset(torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8), LABELS)
TEXTS = TensorDataset(torch.randint(9, (4, 5)), LABELS)


def small(kind: type[Task]) -> Task:
    if kind is LSTMClassifier:
        return LSTMClassifier(9, 3, embedding_size=8, hidden_size=4)
    return SoftmaxClassifier(features=64, num_classes=3, hidden=[8])


@pytest.mark.parametrize(("kind", "dataset"), [(SoftmaxClassifier, IMAGES), (LSTMClassifier, TEXTS)])
def test_the_three_lines_of_the_error_adapt_a_loader(kind: type[Task], dataset: Dataset[Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"takes (Image|Text)Batch") as of_trainer:
        trainer(tmp_path, max_epochs=1).fit(small(kind), DataLoader(dataset, batch_size=2))
    with pytest.raises(UserError) as of_step:
        small(kind).training_step(next(iter(DataLoader(dataset, batch_size=2))))
    assert str(of_trainer.value) == str(of_step.value)
    _, *lines = str(of_step.value).splitlines()
    assert len(lines) == 3, lines
    names: dict[str, Any] = {"torch": torch, "dataset": dataset}
    exec("\n".join(line.strip() for line in lines), names)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(small(kind), names["loader"])
    assert run.callback_metrics["train/loss"].isfinite()
    assert small(kind).training_step(next(iter(names["loader"]))).isfinite()


def test_what_is_no_pair_is_named_alone() -> None:
    for batch in ({"x": 1}, [LABELS, LABELS, LABELS], LABELS):
        with pytest.raises(UserError, match=rf"^a batch is a {type(batch).__name__}; .*\.batches$"):
            small(SoftmaxClassifier).training_step(batch)


def test_pairs_of_images_and_masks_are_adapted_too() -> None:
    pair = [torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 8, 8, dtype=torch.uint8)]
    error = foreign_batch(pair, "FCN", MaskBatch)
    assert "return MaskBatch(*torch.utils.data.default_collate(pairs))" in str(error)
