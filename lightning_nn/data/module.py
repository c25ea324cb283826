"""What all data sets share: splits behind sources, loaders over them, and what a model needs to know of them."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import lightning_nn.compat  # noqa: F401  isort: skip

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from lightning_nn.data.batch_sampler import BatchSampler
from lightning_nn.data.batches import Batch, Index
from lightning_nn.data.loader import Fingerprints, Loader, Source
from lightning_nn.data.overlap import duplicates
from lightning_nn.data.processor import Processor
from lightning_nn.data.trained_samples import keep
from lightning_nn.errors import UserError

BatchSize = int | Literal["all"]

SPLITS = ("train", "val", "test")


@runtime_checkable
class Learner(Protocol):
    """A model that is told of its data before a run starts; any other LightningModule needs nothing.

    Attributes:
        batch_type: of the batches it reads.
        processor: as it was trained, or None.
        train_batches: of an epoch on each process.
    """

    batch_type: type[Batch]
    processor: Processor | None
    train_batches: int | None


class DataModule(pl.LightningDataModule):
    """A data set with a train, a val and a test split, any of which may be missing.

    A subclass says what it is in `prepare`, which fills `sources`, `processor` and `summary`. Construction does no
    work.

    Args:
        batch_size: samples in a batch of one process; 1 is gradient descent by single samples, "all" by the whole set.

    Attributes:
        describes: arguments of models that this data decides (the keys of `describe()`).
        reading: arguments of its own that a trained model's processor decides.
        max_length: sum of the source's lengths in a batch, at most; None for no limit.
        sources: of the splits that there are, by name, once prepared.
        processor: turns raw input into batches, once prepared.
        summary: rows of the table shown when a run starts, the first one its header, once prepared.
        notes: lines shown below that table: what was skipped, warnings, once prepared.
        provided_splits: the splits that stand apart in the data, once prepared; the others are split off.
        fixed_processor: of a trained model, which decides how raw input is read; None for the data's own.
        evaluation_split: the only one to be loaded; None for all.
        batch_type: of the model's batches, where a data set can give several; set before it is prepared.
    """

    describes: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[tuple[str, ...]] = ()
    max_length: int | None = None
    sources: dict[str, Source]
    processor: Processor
    summary: list[tuple[str, ...]]
    notes: list[str]
    provided_splits: Sequence[str] = SPLITS

    def __init__(self, batch_size: BatchSize) -> None:
        super().__init__()
        if batch_size != "all" and batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be 'all' or at least 1")
        self.batch_size = batch_size
        self.fixed_processor: Processor | None = None
        self.evaluation_split: str | None = None
        self.batch_type: type[Batch] | None = None
        self._prepared = False
        self._digests: dict[str, str] = {}
        self._fingerprints: dict[str, Fingerprints] = {}

    # ------------------------------------------------------------------ preparing

    @abstractmethod
    def prepare(self) -> None:
        """Builds or opens the cache and fills `sources`, `processor`, `summary` and `notes`.

        Called once a process, before the model is made and before processes know of each other, so anything that is
        written is written under a file lock. With `evaluation_split`, that split is what counts: the one of the data,
        or all samples where there is none.

        Raises:
            UserError: the data can't be used; names the file, the line and the remedy.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Arguments of models that the data decides, by name: `num_classes`, `vocabulary_size`, `channels`, ..."""

    def prepare_once(self) -> None:
        """Calls `prepare` the first time.

        Raises:
            UserError: see `prepare`; also if the processor of a trained model does not fit.
        """
        if self._prepared:
            return
        self.prepare()
        self.check_processor()
        self._digests, self._fingerprints = {}, {}
        self._prepared = True
        if (only := self.evaluation_split) is not None:
            self.sources = {only: self.sources[only]}
            if only not in self.provided_splits:
                self.notes.append(f"{only} here is all {len(self.sources[only]):,} samples: no such part is given")
        elif found := duplicates({split: self.fingerprints(split) for split in self.sources}, self.place):
            self.notes.append(found)

    def check_processor(self) -> None:
        """Refuses the processor of a trained model that does not fit this data."""

    def use_processor(self, processor: Processor | None) -> None:
        """Reads as a trained model does: its vocabulary and categories instead of those the data would give.

        Args:
            processor: the model's; None changes nothing.

        Raises:
            UserError: see `prepare_once`, which is called again if it was before.
        """
        if processor is not None:
            self.fixed_processor = processor
            self._prepare_again()

    def evaluate_only(self, split: str) -> None:
        """Loads a single split, to evaluate a trained model on a new data set.

        Without such a split, all samples are used.

        Args:
            split: "val" or "test".

        Raises:
            UserError: see `prepare_once`, which is called again if it was before.
        """
        self.evaluation_split = split
        self._prepare_again()

    def _prepare_again(self) -> None:
        if self._prepared:
            self._prepared = False
            self.prepare_once()

    # ------------------------------------------------------------------ Lightning's hooks

    def prepare_data(self) -> None:
        """Lightning's hook: once a node."""
        self._learner()
        self.prepare_once()

    def setup(self, stage: str) -> None:
        """Lightning's hook, on each process, before the model's: agrees with the model on how raw input is read.

        That is as the model was trained, else as this data gives it.

        Raises:
            UserError: model and data belong to different data.
        """
        model = self._learner()
        self.prepare_once()
        if model is not None:
            if model.processor is not None and model.processor.state_dict() != self.processor.state_dict():
                self.use_processor(model.processor)
            model.processor = self.processor
            model.train_batches = len(self.train_dataloader()) if stage == "fit" else None
        if stage == "fit" and "train" in self.sources:
            keep(self.digest(["train"]), self.fingerprints("train"))

    def _learner(self) -> Learner | None:
        """The model of the run, if it wants to be told; its kind of batch decides what is prepared."""
        model = getattr(self.trainer, "lightning_module", None)
        if not isinstance(model, Learner):
            return None
        if not self._prepared:
            self.batch_type = model.batch_type
        return model

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data: digests of all splits and of train, empty where there is none."""
        return {"split_digest": self.split_digest, "train_digest": self.digest(["train"])}

    # ------------------------------------------------------------------ contents

    @property
    def split_digest(self) -> str:
        """Hash of the contents of all splits, in order.

        Compared with the checkpoint's before testing: if the file has grown, a new random split would put training
        samples into the test split.
        """
        return self.digest(SPLITS)

    def digest(self, splits: Iterable[str]) -> str:
        """Hash the contents of some splits, in order.

        Args:
            splits: their names; those that are missing count as such.
        """
        self.prepare_once()
        whole = hashlib.blake2b(digest_size=16)
        for split in splits:
            if split in self.sources:
                whole.update(f"{split} {self._digest(split)} ".encode())
        return whole.hexdigest()

    def _digest(self, split: str) -> str:
        if split not in self._digests:
            digest = hashlib.blake2b(f"{len(self.sources[split])} ".encode(), digest_size=16)
            for numbers in self.contents(split):
                digest.update(np.ascontiguousarray(numbers).data)
            self._digests[split] = digest.hexdigest()
        return self._digests[split]

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Yield what a digest of a split is made of: the fingerprint of each sample.

        Args:
            split: one that is there.
        """
        yield self.fingerprints(split)

    def fingerprints(self, split: str) -> Fingerprints:
        """Return a hash of the contents of each sample, uint64 (N,), made once.

        Args:
            split: one that is there.
        """
        self.prepare_once()
        if split not in self._fingerprints:
            self._fingerprints[split] = self.sources[split].fingerprints()
        return self._fingerprints[split]

    def place(self, split: str, number: int) -> str:
        """Name the place of a sample, for a note.

        Args:
            split: one that is there.
            number: of the sample in it, from 0.
        """
        return f"sample {number + 1:,} of {split}"

    # ------------------------------------------------------------------ loaders

    def require_split(self, split: str) -> None:
        """Refuse a split that is missing.

        Args:
            split: "train", "val" or "test".

        Raises:
            UserError: names those that there are.
        """
        self.prepare_once()
        if split not in self.sources:
            raise UserError(f"there is no {split} split in this data, only {' and '.join(self.sources)}")

    def train_dataloader(self) -> Loader:
        """Shuffled, each sample once an epoch (unless balanced).

        Raises:
            UserError: there is no train split.
        """
        self.require_split("train")
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return self._loader("train", shuffle=not overfit)

    def val_dataloader(self) -> Loader | list[Loader]:
        """Each sample once; no loaders where there is no such split."""
        return self._loader_or_none("val")

    def test_dataloader(self) -> Loader | list[Loader]:
        """Each sample once; no loaders where there is no such split."""
        return self._loader_or_none("test")

    def predict_dataloader(self) -> Loader | list[Loader]:
        """The test split in its own order: prediction i is about sample i. No loaders where there is no such split."""
        return self._loader_or_none("test", keep_order=True)

    def balanced_labels(self, split: str) -> Index | None:
        """Labels of the samples of which each class is shown as often as the largest; None: each sample once.

        Args:
            split: one that is there.
        """
        return None

    def _loader_or_none(self, split: str, *, keep_order: bool = False) -> Loader | list[Loader]:
        self.prepare_once()
        return self._loader(split, shuffle=False, keep_order=keep_order) if split in self.sources else []

    def _loader(self, split: str, *, shuffle: bool, keep_order: bool = False) -> Loader:
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
            labels=self.balanced_labels(split),
        )
        return Loader(source, order)
