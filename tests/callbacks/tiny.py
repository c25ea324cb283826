"""A model of two classes and its data, small enough to train within a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import HAN
from lightning_nn.callbacks.progress import Progress
from lightning_nn.data.batches import TextBatch
from lightning_nn.data.loader import BatchSampler, Loader
from lightning_nn.tasks.artifacts import Artifact, Attention, ConfusionMatrix


class Output(NamedTuple):
    logits: Tensor
    word_attention: Tensor
    sentence_attention: Tensor


class Words:
    """Processor of texts: a vocabulary and categories, some of them hostile."""

    words = ("<unk>", "<script>alert(1)</script>", "**冠军**", "a|b")
    categories = ("体育", "<b>财经</b>")

    def row_labels(self) -> dict[str, tuple[str, ...]]:
        return {"words": self.words}


class Tiny(pl.LightningModule):
    """Counts the words of each document; looks at all alike."""

    monitor = "val/acc"
    attends = True
    evaluating, explanations, _documents = HAN.evaluating, HAN.explanations, HAN._documents

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.embedding = nn.EmbeddingBag(len(Words.words), width)
        self.output = nn.Linear(width, 2)
        self.processor = Words()
        self.evaluated: list[tuple[Tensor, Tensor]] = []

    def settings(self) -> dict[str, dict[str, Any]]:
        return {"optimizer": {"lr": 0.1, "name": "sgd"}}

    def artifacts(self, split: str) -> Iterator[Artifact]:
        yield ConfusionMatrix(torch.tensor([[3, 1], [0, 4]]), list(Words.categories))
        yield Attention(self.explanations(Source(4)[np.arange(4)]))

    def guessing_loss(self) -> float | None:
        return None

    def monotony(self, split: str) -> str | None:
        return None

    def require_processor(self) -> Words:
        return self.processor

    def calibrated_probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)

    def forward(self, batch: TextBatch, return_attention: bool = False) -> Any:
        owner = torch.repeat_interleave(torch.arange(batch.documents.shape[0]), batch.documents)
        counts = torch.zeros_like(batch.documents).index_add(0, owner, batch.sentences)
        logits = self.output(self.embedding(batch.words, counts.cumsum(0) - counts))
        if not return_attention:
            return logits
        lengths = batch.sentences.tolist()
        words = torch.cat([torch.full((n,), 1 / n) for n in lengths])
        return Output(logits, words, (1 / batch.documents)[owner])

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch), batch.label)
        self.log("train/loss", loss, batch_size=batch.size)
        return loss

    def _evaluate(self, split: str, batch: TextBatch) -> None:
        logits = self(batch)
        values = {
            f"{split}/loss": F.cross_entropy(logits, batch.label),
            f"{split}/acc": (logits.argmax(1) == batch.label).float().mean(),
            f"{split}/f1": torch.tensor(0.5),
        }
        self.log_dict(values, batch_size=batch.size)

    def validation_step(self, batch: TextBatch, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: TextBatch, batch_idx: int) -> None:
        self._evaluate("test", batch)

    def predict_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        return self(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Source:
    """Documents of one to three sentences."""

    documents = ([[1, 2]], [[2], [3, 1]], [[3]], [[1], [2, 2], [3]], [[2, 1, 3]], [[1]])
    lengths = None

    def __init__(self, size: int) -> None:
        self.labels = np.arange(size) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> TextBatch:
        chosen = [self.documents[i % len(self.documents)] for i in index]
        return TextBatch(
            torch.tensor([len(d) for d in chosen]),
            torch.tensor([len(s) for d in chosen for s in d]),
            torch.tensor([w for d in chosen for s in d for w in s]),
            torch.from_numpy(self.labels[index]),
        )


class Data(pl.LightningDataModule):
    """So many batches of two documents in each split."""

    def __init__(self, batches: int = 4) -> None:
        super().__init__()
        self.sources = dict.fromkeys(("train", "val", "test"), Source(2 * batches))

    def loader(self) -> Loader:
        source = self.sources["train"]
        return Loader(source, BatchSampler(len(source), 2))

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = loader


def trainer(*callbacks: pl.Callback, **arguments: Any) -> pl.Trainer:
    """A trainer that writes nothing of its own."""
    given: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": any(isinstance(c, Progress) for c in callbacks),
        "max_epochs": 2,
        "log_every_n_steps": 2,
    }
    return pl.Trainer(callbacks=list(callbacks), **{**given, **arguments})
