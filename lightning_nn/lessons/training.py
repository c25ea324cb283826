"""Training in a lesson: a plain loop, whole splits, and random numbers that its seed decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lightning_nn import Scenes
from lightning_nn.data.batches import ImageBatch
from lightning_nn.data.module import DataModule
from lightning_nn.layers.images import resize
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.task import Task

_ORDER = "PL_GLOBAL_SEED"  # the seed of the order in which loaders give samples


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch and the order of the data while the body runs; afterwards both are as they were.

    Args:
        seed: 0 or above.
    """
    before = os.environ.get(_ORDER)
    os.environ[_ORDER] = str(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        if before is None:
            del os.environ[_ORDER]
        else:
            os.environ[_ORDER] = before


def split(data: DataModule, name: str) -> Any:
    """Return all samples of a split as one batch.

    Args:
        data: the data set.
        name: train, val or test.
    """
    import numpy as np

    data.prepare_once()
    source = data.sources[name]
    return source[np.arange(len(source))]


def fit(model: Task, data: DataModule, epochs: int, optimizer: Optimizer | None = None) -> list[float]:
    """Train a model by a plain loop.

    Args:
        model: to be trained.
        data: gives the batches, in a new order each epoch.
        epochs: times that each sample is seen.
        optimizer: and its settings; None for the model's.

    Returns:
        The mean loss of each batch, before its step.
    """
    losses = []
    model.optimizer = optimizer or model.optimizer  # whose decay the groups of parameters have
    loader, stepper = data.train_dataloader(), model.optimizer.build(model.parameter_groups())
    for epoch in range(epochs):
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            stepper.zero_grad()
            loss = model.training_step(data.augmented(batch))
            loss.backward()
            stepper.step()
            losses.append(loss.item())
    return losses


def few_scenes(images: int, tests: int, side: int) -> tuple[ImageBatch, ImageBatch]:
    """Return some drawn scenes of each class to train on, and others to test, of `side` x `side` pixels."""
    data = Scenes(train_size=600, val_size=1, test_size=tests, size=32)
    train, test = (
        ImageBatch(resize(batch.image, (side, side)), labels(batch))
        for batch in (split(data, "train"), split(data, "test"))
    )
    order, kinds = torch.randperm(train.size), labels(train)
    few = torch.cat([order[kinds[order] == kind][:images] for kind in kinds.unique().tolist()])
    return train.select(few.tolist()), test


def accuracy(model: Classifier, batch: Any) -> float:
    """Return the share of samples whose likeliest class is their label, in evaluation mode."""
    with torch.no_grad(), model.evaluating():
        return float((model(batch).argmax(1) == batch.label).double().mean())


def labels(batch: ImageBatch) -> Tensor:
    """Return the labels of a batch that has them, int64 (B,)."""
    assert batch.label is not None
    return batch.label
