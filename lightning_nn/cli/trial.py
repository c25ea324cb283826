"""Trainings of which nothing is kept but what they measure: the folds of a cross-validation, trials of settings."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytorch_lightning import Callback, Trainer

from lightning_nn.callbacks.statistics import BestValidation, RunStatistics
from lightning_nn.callbacks.tensorboard import AugmentedImages, PictureFiles, TensorBoardCallback
from lightning_nn.cli.factory import make_model, make_trainer
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request
from lightning_nn.cli.verbs import program
from lightning_nn.data.module import DataModule
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.comparison import better
from lightning_nn.runs.run_folder import Run
from lightning_nn.runs.weights_file import WeightsFile, open_weights
from lightning_nn.tasks.task import Task

ALONE = ("--trainer.logger=false", "--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto")
_DRAWING = (TensorBoardCallback, AugmentedImages, PictureFiles)
Weights = Checkpoint | WeightsFile


class Trial(NamedTuple):
    """A training that has ended.

    Attributes:
        trainer: its trainer.
        model: the model, in its last state.
        statistics: what the training did, and its best validation.
        result: the best checkpoint, or the last one if nothing was validated; deleted with the trial.
    """

    trainer: Trainer
    model: Task
    statistics: RunStatistics
    result: Path


def new_model(cli: CommandLine, data: DataModule, weights: Weights | None) -> Task:
    """Build a model as a run would start with it.

    Args:
        cli: its settings; `cli.request.finetune` says whether it starts from weights.
        data: the prepared data.
        weights: those that it starts from; None for ImageNet's, if any.
    """
    cli.seed()
    model = make_model(cli, data)
    if cli.request.finetune:
        model.load_weights(weights or open_weights(model.imagenet_weights()), data.processor)
    return model


@contextmanager
def trial(
    cli: CommandLine, data: DataModule, weights: Weights | None = None, callbacks: Sequence[Callback] = ()
) -> Iterator[Trial]:
    """Train a new model in a temporary folder, without logs and drawings.

    Args:
        cli: its settings, `ALONE` among them.
        data: the prepared data.
        weights: see `new_model`.
        callbacks: further callbacks.

    Raises:
        KeyboardInterrupt: a person stopped the training.
    """
    model = new_model(cli, data, weights)
    with tempfile.TemporaryDirectory(prefix="lightning-nn-") as folder:
        run = Run(Path(folder, cli.model_name, "trial"))
        statistics = RunStatistics(cli.request.command, BestValidation())
        trainer: Any = make_trainer(cli, run, statistics)
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, _DRAWING)]
        trainer.callbacks = [*callbacks, *trainer.callbacks]
        try:
            trainer.fit(model, datamodule=data)
        except SystemExit:  # Lightning's way to end after Ctrl-C
            if not trainer.interrupted:
                raise
        if trainer.interrupted:
            raise KeyboardInterrupt
        yield Trial(trainer, model, statistics, run.best if run.best.is_file() else run.last)


def monitored(cli: CommandLine) -> tuple[str, Literal["min", "max"]]:
    """Return the metric that chooses checkpoints, and whether lower or higher is better."""
    settings = cli.objects.checkpoint
    return settings.monitor, better(settings.monitor, settings.mode)


def train_command(request: Request, settings: dict[str, Any]) -> str:
    """Return the command of this request that trains, with settings in place of its own.

    Args:
        request: of `tune`.
        settings: by dotted name.
    """
    words: list[str] = []
    left_out = {f"--{name}" for name in (*settings, "trials", "search", "name")}
    argv = iter(request.argv[1:])
    for word in argv:
        if word.partition("=")[0] not in left_out:
            words.append(word)
        elif "=" not in word:
            next(argv, None)
    for name, value in settings.items():
        words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return f"{program()} {shlex.join(words)}"
