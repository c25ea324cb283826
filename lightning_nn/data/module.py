"""Base class of data sets: splits, loaders, and the facts about the data that a model needs."""

from __future__ import annotations

import copy
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import lightning_nn.compat  # noqa: F401  isort: skip

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from lightning_nn.data.augmentation import NO_AUGMENT, Augment, augmented
from lightning_nn.data.batches import Batch, FrozenEncoder, Index
from lightning_nn.data.cache import thorough_checks
from lightning_nn.data.duplicates import duplicates, remember_trained
from lightning_nn.data.features import give_features
from lightning_nn.data.loader import BatchSampler, Fingerprints, Loader, Source, SpreadSamples
from lightning_nn.data.processor import Processor, RunFacts, Samples
from lightning_nn.data.representation import fields_shown
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import further_arguments

if TYPE_CHECKING:
    from typing_extensions import Self

BatchSize = int | Literal["all"]


@runtime_checkable
class Trainee(Protocol):
    """A model that is told the facts about the data when a run starts; any other LightningModule is told none.

    Attributes:
        batch_type: type of its batches.
        processor: the one it was trained with, or None.
    """

    batch_type: type[Batch]
    processor: Processor | None

    def begin(self, facts: RunFacts) -> None:
        """Begin a run; called on each process, before the model's `setup`."""
        ...


class View(NamedTuple):
    """A data set as batches of one type; a data set that can give several makes the one of its model's type.

    Attributes:
        sources: samples of each existing split, by its name.
        processor: converter of raw input to batches.
        summary: rows of the table shown when a run starts, header first.
        arguments: model arguments that the data determines.
        notes: lines shown below the table.
    """

    sources: Mapping[str, Source]
    processor: Processor
    summary: Sequence[tuple[str, ...]]
    arguments: dict[str, Any]
    notes: Sequence[str] = ()


class DataModule(pl.LightningDataModule, ABC):
    """A data set with a train, a val and a test split, any of which may be missing.

    A subclass defines `prepare`, which fills `sources`, `processor`, `summary` and `notes`, and `describe`; one that
    opens a `View` needs no `describe`. The constructor reads nothing.

    Args:
        batch_size: samples in a batch of one process; 1 is gradient descent on single samples, "all" on the whole set.

    Attributes:
        describes: model arguments that the data determines (the keys of `describe()`).
        reading: arguments of the data module that a trained model's processor determines.
        max_length: maximum sum of the source's lengths in a batch; None for no limit.
        sources: sources of the existing splits by name, once prepared.
        processor: converter of raw input to batches, once prepared.
        summary: rows of the table shown when a run starts, header first, once prepared.
        notes: lines shown below that table, such as skipped files and warnings, once prepared.
        provided_splits: splits that the data itself provides, once prepared; the others are split off.
        augment: random changes of training images.
        fixed_processor: processor of a trained model, which determines how raw input is read; None for the data's own.
        evaluation_split: the only split to load; None for all.
        least_steps: steps of a training that takes its epochs from a recipe, which is for larger data, at least.
        encoder: computes the features that are given in place of images; None for the images themselves.
        batch_type: type of the model's batches, for a data set that can give several; set before it is prepared.
    """

    describes: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[tuple[str, ...]] = ()
    max_length: int | None = None
    least_steps: ClassVar[int] = 0
    sources: dict[str, Source]
    processor: Processor
    summary: list[tuple[str, ...]]
    notes: list[str]
    provided_splits: Sequence[str] = SPLITS
    augment: Augment = NO_AUGMENT

    def __init__(self, batch_size: BatchSize) -> None:
        super().__init__()
        self.further_arguments = further_arguments(self)
        if batch_size != "all" and batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be 'all' or at least 1")
        self.batch_size = batch_size
        self.fixed_processor: Processor | None = None
        self.evaluation_split: str | None = None
        self.batch_type: type[Batch] | None = None
        self._prepared = False
        self._digests: dict[str, str] = {}
        self._fingerprints: dict[str, Fingerprints] = {}
        self._arguments: dict[str, Any] = {}
        self._has_all = True  # not a part that `with_sources` made
        self.encoder: FrozenEncoder | None = None
        self._computes_features = True

    def __repr__(self) -> str:
        """Return path, batch size, and once prepared the samples of each split and what the data determines."""
        fields = {"path": getattr(self, "path", None), "batch_size": self.batch_size}
        if self._prepared:
            fields |= {split: len(source) for split, source in self.sources.items()} | self.describe()
        return fields_shown(type(self).__name__, fields)

    __str__ = __repr__  # Lightning's makes loaders to tell of them

    @abstractmethod
    def prepare(self) -> None:
        """Build or open the cache and fill `sources`, `processor`, `summary` and `notes`.

        Called once per process, before the model is made and before the processes are connected, so every write is
        under a file lock. With `evaluation_split`, only that split is loaded, or all samples if the data has no such
        split.

        Raises:
            UserError: the data can't be used; names file, line and remedy.
        """

    def open(self, view: View) -> None:
        """Take what a view consists of."""
        self.sources, self.processor, self.summary = {**view.sources}, view.processor, [*view.summary]
        self.notes, self._arguments = [*view.notes], view.arguments

    def describe(self) -> dict[str, Any]:
        """Prepare the data, and return the model arguments that it determines: `num_classes`, `channels`, ...

        Raises:
            UserError: see `prepare_once`.
        """
        self.prepare_once()
        return self._arguments

    def describe_for(self, batch_type: type[Batch]) -> dict[str, Any]:
        """Prepare the data for a type of batch, and return the model arguments that it determines.

        Raises:
            UserError: see `prepare_once`.
        """
        if self.batch_type is not batch_type:
            self.batch_type = batch_type
            self._prepare_again()
        self.prepare_once()
        return self.describe()

    def prepare_once(self) -> None:
        """Call `prepare`, on the first call only.

        Raises:
            UserError: see `prepare`; also if a trained model's processor does not fit.
        """
        if self._prepared:
            return
        with thorough_checks(self.fixed_processor is not None):  # a run goes on, or a trained model is evaluated
            self.prepare()
            give_features(self.sources.values(), self.encoder, compute=self._computes_features)
        self.check_processor()
        self._digests, self._fingerprints = {}, {}
        self._prepared = True
        if (only := self.evaluation_split) is not None:
            self.sources = {only: self.sources[only]}
            if only not in self.provided_splits:
                self.notes.append(f"{only}: all {len(self.sources[only]):,} samples, as the data has no {only} split")
        elif remarks := duplicates({split: self.fingerprints(split) for split in self.sources}, self.place):
            self.notes.append(remarks)

    def check_processor(self) -> None:
        """Refuse a trained model's processor that does not fit this data."""

    def use_processor(self, processor: Processor | None) -> None:
        """Use a trained model's processor, with its vocabulary and categories, instead of the data's own.

        Args:
            processor: the model's; None changes nothing.

        Raises:
            UserError: see `prepare_once`, which runs again if the data was already prepared.
        """
        if processor is not None:
            self.fixed_processor = processor
            self._prepare_again()

    def evaluate_only(self, split: str) -> None:
        """Load a single split, to evaluate a trained model on a new data set; without such a split, all samples.

        Args:
            split: "val" or "test".

        Raises:
            UserError: see `prepare_once`, which runs again if the data was already prepared.
        """
        self.evaluation_split = split
        self._prepare_again()

    def use_features(self, encoder: FrozenEncoder | None, *, compute: bool = True) -> None:
        """Give features in place of images, computed once and kept in the cache, if these samples can.

        Args:
            encoder: computes them; None for the images themselves.
            compute: False: give the images themselves if their features are not in the cache.
        """
        self.encoder, self._computes_features = encoder, compute
        self.prepare_once()
        with thorough_checks(self.fixed_processor is not None):
            give_features(self.sources.values(), encoder, compute=compute)

    def with_sources(self, sources: Mapping[str, Source]) -> Self:
        """Return this data with other samples in its splits, for a training that is not kept.

        Args:
            sources: of each split, by its name.
        """
        self.prepare_once()
        part = copy.copy(self)
        part.sources, part._digests, part._fingerprints, part._has_all = {**sources}, {}, {}, False
        return part

    def _prepare_again(self) -> None:
        if self._prepared:
            self._prepared = False
            self.prepare_once()

    def prepare_data(self) -> None:
        """Prepare the data; Lightning calls this once per node."""
        self._trainee()
        self.prepare_once()

    def setup(self, stage: str) -> None:
        """Begin a run: give model and data the same processor, the trained model's or else the data's, and tell facts.

        Lightning calls this on each process, before the model's `setup`.

        Raises:
            UserError: the model was trained on data that this data does not fit.
        """
        model = self._trainee()
        self.prepare_once()
        if model is not None:
            if model.processor is not None and model.processor.state_dict() != self.processor.state_dict():
                self.use_processor(model.processor)
            model.begin(self.facts(stage))
        if stage == "fit" and "train" in self.sources and self._has_all:
            remember_trained(self.digest(["train"]), self.fingerprints("train"))

    def facts(self, stage: str = "fit") -> RunFacts:
        """Return what a model is told when a run starts.

        Args:
            stage: "fit", or another of Lightning's.

        Raises:
            UserError: see `prepare_once`; also if there is no train split to fit.
        """
        self.prepare_once()
        counts = self.epoch_counts() if "train" in self.sources else None
        splits = {split: source for split, source in self.sources.items() if isinstance(source, Samples)}
        if stage != "fit":
            return RunFacts(self.processor, class_counts=counts, splits=splits)
        batches = len(self.train_dataloader())
        return RunFacts(self.processor, batches, counts, partial(SpreadSamples, self.sources["train"]), splits)

    def epoch_counts(self) -> list[int] | None:
        """Return the number of training samples, or pixels, of each class in an epoch; None without classes."""
        return None

    def _trainee(self) -> Trainee | None:
        """Return the model of the run if it is a `Trainee`; its `batch_type` determines what `prepare` makes."""
        model = getattr(self.trainer, "lightning_module", None)
        if not isinstance(model, Trainee):
            return None
        if not self._prepared:
            self.batch_type = model.batch_type
        return model

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores of the data: the digests of all splits and of train."""
        return {"split_digest": self.split_digest, "train_digest": self.digest(["train"])}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment a training batch on the device; batches of validation, test and prediction are left as they are."""
        if self.trainer is not None and self.trainer.training:
            batch = self.augmented(batch)
        return batch._replace(origin=None) if hasattr(batch, "origin") else batch

    def augmented(self, batch: Any) -> Any:
        """Return a training batch, from `train_dataloader` and on any device, as a network sees it."""
        return augmented(batch, self.augment, self.describe().get("num_classes")) if self.augment.is_on else batch

    @property
    def split_digest(self) -> str:
        """Hash of the contents of all splits, in order.

        Compared with the checkpoint's before testing: if the file has grown, a new random split would put training
        samples into the test split.
        """
        return self.digest(SPLITS)

    def digest(self, splits: Iterable[str]) -> str:
        """Hash the contents of some splits, in order; missing ones add nothing."""
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
        """Yield the arrays that the digest of an existing split hashes: the fingerprints of its samples."""
        yield self.fingerprints(split)

    def fingerprints(self, split: str) -> Fingerprints:
        """Return a hash of the contents of each sample of an existing split, uint64 (N,), computed once."""
        self.prepare_once()
        if split not in self._fingerprints:
            self._fingerprints[split] = self.sources[split].fingerprints()
        return self._fingerprints[split]

    def place(self, split: str, number: int) -> str:
        """Name the place of sample `number` (from 0) of an existing split, for a note."""
        source = self.sources[split]
        file = source.origins(np.array([number]))[0].file if isinstance(source, Samples) else ""
        return file or f"sample {number + 1:,} of {split}"

    def require_split(self, split: str) -> None:
        """Refuse a split that is missing.

        Args:
            split: "train", "val" or "test".

        Raises:
            UserError: names the splits that exist.
        """
        self.prepare_once()
        if split not in self.sources:
            raise UserError(f"there is no {split} split in this data, only {' and '.join(self.sources)}")

    def train_dataloader(self) -> Loader:
        """Return a loader of train: shuffled, each sample once per epoch unless balanced.

        Raises:
            UserError: there is no train split.
        """
        self.require_split("train")
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return self._loader("train", shuffle=not overfit)

    def val_dataloader(self) -> Loader | list[Loader]:
        """Return a loader of val, each sample once; an empty list if there is no such split."""
        return self._loader_or_none("val")

    def test_dataloader(self) -> Loader | list[Loader]:
        """Return a loader of test, each sample once; an empty list if there is no such split."""
        return self._loader_or_none("test")

    def predict_dataloader(self) -> Loader | list[Loader]:
        """Return a loader of test in data-set order, so that prediction i is for sample i; an empty list without it."""
        return self._loader_or_none("test", keep_order=True)

    def balanced_labels(self, split: str) -> Index | None:
        """Return the labels of an existing split if its classes are to be balanced by repeating samples, or None."""
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
