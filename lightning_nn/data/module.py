"""What all data sets share: splits behind sources, loaders over them, and what a model needs to know of them."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import lightning_nn.compat  # noqa: F401  isort: skip

import numpy as np
import pytorch_lightning as pl

from lightning_nn.data.batch_sampler import BatchSampler
from lightning_nn.data.loader import Loader, Source
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError

BatchSize = int | Literal["all"]


class DataModule(pl.LightningDataModule):
    """A data set with a train, a val and a test split.

    A subclass says what it is in `prepare`, which fills `sources`, `processor` and `summary`. Construction does no
    work.

    Args:
        batch_size: samples in a batch of one process; 1 is gradient descent by single samples, "all" by the whole set.
        balanced: show each class as often as the largest one in training, repeating samples.

    Attributes:
        describes: arguments of models that this data decides (the keys of `describe()`).
        reading: arguments of its own that a trained model's reader decides.
        sources: "train", "val" and "test", once prepared.
        processor: turns raw input into batches, once prepared.
        summary: rows of the table shown when a run starts, the first one its header, once prepared.
        notes: lines shown below that table: what was skipped, warnings, once prepared.
    """

    describes: ClassVar[tuple[str, ...]]
    reading: ClassVar[tuple[str, ...]] = ()
    sources: dict[str, Source]
    processor: Processor
    summary: list[tuple[str, ...]]
    notes: list[str]

    def __init__(self, batch_size: BatchSize, balanced: bool) -> None:
        super().__init__()
        if batch_size != "all" and batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be 'all' or at least 1")
        self.batch_size, self.balanced = batch_size, balanced
        self.fixed_processor: Processor | None = None
        self.evaluation_split: str | None = None
        self._prepared = False

    def use_processor(self, processor: Processor | None) -> None:
        """Reads as a trained model does: its vocabulary and categories instead of those the data would give.

        Args:
            processor: the model's; None changes nothing.

        Raises:
            UserError: see `prepare_once`, which is called again if it was before.
        """
        if processor is not None:
            self.fixed_processor = processor
            if self._prepared:
                self._prepared = False
                self.prepare_once()

    @abstractmethod
    def prepare(self) -> None:
        """Builds or opens the cache and fills `sources`, `processor`, `summary` and `notes`.

        Called once a process, before the model is made and before processes know of each other, so anything that is
        written is written under a file lock.

        Raises:
            UserError: the data can't be used; names the file, the line and the remedy.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Arguments of models that the data decides, by name: `classes`, `vocabulary`, `channels`, ..."""

    def prepare_once(self) -> None:
        """Calls `prepare` the first time.

        Raises:
            UserError: see `prepare`; also if an adopted reader knows other categories.
        """
        if self._prepared:
            return
        self.prepare()
        if self.fixed_processor is not None and self.fixed_processor.categories != self.processor.categories:
            raise UserError(
                f"the model's categories are {', '.join(self.fixed_processor.categories)}; "
                f"this data has {', '.join(self.processor.categories)}"
            )
        if self.evaluation_split is not None and self.evaluation_split not in self.provided_splits:
            self._take_whole(self.evaluation_split)
        self._prepared = True

    def prepare_data(self) -> None:
        """Lightning's hook: once a node."""
        self.prepare_once()

    def setup(self, stage: str) -> None:
        """Lightning's hook: on each process."""
        self.prepare_once()

    provided_splits: Sequence[str] = ("train", "val", "test")  # the splits that stand apart in the data, once prepared

    def evaluate_only(self, split: str) -> None:
        """Gives one part alone, for a model that is tested on other data than its own: all samples where none is given.

        Args:
            split: "val" or "test".

        Raises:
            UserError: see `prepare_once`, which is called again if it was before.
        """
        self.evaluation_split = split
        if self._prepared:
            self._prepared = False
            self.prepare_once()

    def _take_whole(self, split: str) -> None:
        whole = self.sources["train"]
        for other in ("val", "test"):
            if other not in self.provided_splits:
                whole = whole.join(self.sources[other])
        self.sources[split] = whole
        self.notes.append(f"{split} here is all {len(whole):,} samples: no such part is given")

    @property
    def split_digest(self) -> str | None:
        """A digest of what its parts hold, where some of them are cut from others; None where all are given.

        Data that has grown since a model was trained is cut otherwise: samples it was trained on would be tested.
        """
        self.prepare_once()
        if set(self.provided_splits) >= {"train", "val", "test"}:
            return None
        digest = hashlib.blake2b(digest_size=16)
        for split in ("train", "val", "test"):
            digest.update(f"{split} {len(self.sources[split])} ".encode())
            digest.update(np.ascontiguousarray(self.sources[split].labels, np.int64).data)
        return digest.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data, so that a resumed or a tested model meets the same splits."""
        return {"split_digest": self.split_digest}

    @property
    def class_counts(self) -> list[int]:
        """Training samples of each class."""
        self.prepare_once()
        counts = np.bincount(self.sources["train"].labels, minlength=len(self.processor.categories))
        return [int(n) for n in counts]

    def train_dataloader(self) -> Loader:
        """Shuffled, each sample once an epoch (unless balanced)."""
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return self._loader("train", shuffle=not overfit)

    def val_dataloader(self) -> Loader:
        """Each sample once."""
        return self._loader("val", shuffle=False)

    def test_dataloader(self) -> Loader:
        """Each sample once."""
        return self._loader("test", shuffle=False)

    def predict_dataloader(self) -> Loader:
        """The test split in its own order: answer i is about sample i."""
        return self._loader("test", shuffle=False, keep_order=True)

    max_length: int | None = None  # sum of the source's lengths in a batch, at most

    def _loader(self, split: str, *, shuffle: bool, keep_order: bool = False) -> Loader:
        self.prepare_once()
        source = self.sources[split]
        order = BatchSampler(
            len(source),
            len(source) if self.batch_size == "all" else self.batch_size,
            shuffle=shuffle,
            keep_order=keep_order,
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),
            rank=self.trainer.global_rank if self.trainer is not None else 0,
            world_size=self.trainer.world_size if self.trainer is not None else 1,
            lengths=None if self.batch_size == "all" else source.lengths,
            max_length=self.max_length,
            labels=source.labels if self.balanced and split == "train" else None,
        )
        return Loader(source, order)
