"""Construction of data, model and trainer from the settings of a command line."""

from __future__ import annotations

import os
import sys
from typing import Any

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from pytorch_lightning import Trainer

from lightning_nn.callbacks.checkpoints import BestCheckpoint, LastCheckpoint, RunSettings
from lightning_nn.callbacks.progress import Progress
from lightning_nn.callbacks.resume import ExactResume, MonitorCheck, ResumableEarlyStopping, StepSeed
from lightning_nn.callbacks.statistics import RunStatistics
from lightning_nn.callbacks.tensorboard import AugmentedImages, PictureFiles, RunLogger, TensorBoardCallback
from lightning_nn.callbacks.threads import Threads
from lightning_nn.cli.parser import RUN_SETTINGS, TASK_SETTINGS, CommandLine
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint, PlainCheckpointIO
from lightning_nn.runs.comparison import better
from lightning_nn.runs.run_folder import Run
from lightning_nn.tasks.task import Task

_KEPT = ("seed_everything", "trainer")  # saved in a checkpoint by neither the model nor the data module
_FROM_WITHIN = ("ddp_spawn", "ddp_fork", "ddp_notebook")


def make_data(cli: CommandLine) -> DataModule:
    """Build the data module."""
    data = cli.data_module(**cli.arguments("data"))
    data.batch_type = cli.task.batch_type
    return data


def make_model(cli: CommandLine, data: DataModule) -> Task:
    """Build the model, with the sizes of the data and the settings of the command line.

    Raises:
        UserError: its arguments make no sense together.
    """
    try:
        model = cli.task.for_data(data, **cli.arguments("model"))
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:  # torch's errors about sizes and probabilities
        reason = "they need more memory than this machine has" if "alloc" in str(error).lower() else error
        raise UserError(f"{cli.task.__name__} can't be built with these --model. arguments: {reason}") from None
    for group in TASK_SETTINGS:
        if group in cli.objects:
            setattr(model, group, cli.objects[group])
    model.check_settings()
    return model


def share_features(model: Task, data: DataModule, *, compute: bool = True) -> None:
    """Let the data give features in place of images, if the model's encoder is not trained and images don't change.

    Args:
        model: the model.
        data: the data module.
        compute: features of all splits that are not in the cache; if not, the images themselves are given.
    """
    if not data.augment.is_on:
        data.use_features(model.frozen_encoder(), compute=compute)


def check_training(cli: CommandLine) -> None:
    """Check the settings of a training before the data is read.

    Raises:
        UserError: a setting makes no sense.
    """
    if "optimizer" in cli.objects:
        cli.objects.optimizer.check()
        cli.objects.lr_scheduler.check()
    trainer, stop = cli.config.trainer, cli.config.early_stopping
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if trainer[name] == 0:
            raise UserError(f"--trainer.{name} is 0: there is nothing to train")
    if (batches := trainer.accumulate_grad_batches) < 1:
        raise UserError(f"--trainer.accumulate_grad_batches is {batches}; it must be 1 or above")
    if stop.patience < 0:
        raise UserError(f"--early_stopping.patience is {stop.patience}; it must be 0 (never stop) or above")
    check_processes(cli)


def check_processes(cli: CommandLine) -> None:
    """Check the number of processes and the way they are started.

    Raises:
        UserError: there are too few cores, or the command can't use the strategy.
    """
    trainer, cores = cli.config.trainer, os.cpu_count() or 1
    asked = str(trainer.devices)
    if _on_cpu(cli) and asked.isdigit() and int(asked) > max(2, cores):
        raise UserError(f"--trainer.devices {trainer.devices}: this machine has {cores} cores; use at most as many")
    if isinstance(trainer.strategy, str) and trainer.strategy.startswith(_FROM_WITHIN):
        start = next(name for name in _FROM_WITHIN if trainer.strategy.startswith(name))
        remedy = trainer.strategy.replace(start, "ddp", 1)
        raise UserError(
            f"--trainer.strategy {trainer.strategy} starts processes that return nothing to the command, which "
            f"could then not test or finish the run: use --trainer.strategy {remedy}"
        )


def _on_cpu(cli: CommandLine) -> bool:
    return cli.config.trainer.accelerator == "cpu" or not torch.accelerator.is_available()


def make_trainer(
    cli: CommandLine, run: Run | None, record: RunStatistics | None = None, checkpoint: Checkpoint | None = None
) -> Trainer:
    """Build the trainer.

    Args:
        cli: the settings.
        run: the run to train; None for an evaluation, which saves nothing.
        record: the callback that records what the run did.
        checkpoint: the checkpoint that the run resumes from.

    Raises:
        UserError: Lightning refuses the options.
    """
    config = dict(cli.objects.trainer.items())
    callbacks: list[Any] = [Progress()] if config.get("enable_progress_bar") is not False else []
    config["enable_progress_bar"] = bool(callbacks)
    if _on_cpu(cli):
        config["sync_batchnorm"] = False  # torch's needs a GPU, and that of `layers.batch_norm` is so already
    if config.get("plugins") is None:
        config["plugins"] = [PlainCheckpointIO(checkpoint)]
    if run is None:
        config["logger"] = False
    else:
        callbacks += _training_callbacks(cli, run, record)
        if config.get("logger") in (None, True):
            folder = run.folder
            config["logger"] = RunLogger(
                str(folder.parent.parent), folder.parent.name, folder.name, default_hp_metric=False
            )
    of_user = config.get("callbacks") or []
    config["callbacks"] = [*(of_user if isinstance(of_user, list) else [of_user]), *callbacks]
    try:
        trainer = Trainer(**config)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UserError(f"the trainer can't be built from these options: {str(error).strip()}") from None
    if trainer.num_devices > 1 and (hasattr(sys, "ps1") or sys.flags.interactive):  # Lightning would fork then
        raise UserError(
            f"{trainer.num_devices} processes of a notebook or an interactive Python return nothing to the command, "
            "which could then not finish the run: use --trainer.devices 1, or the command line"
        )
    return trainer


def _training_callbacks(cli: CommandLine, run: Run, record: RunStatistics | None) -> list[Any]:
    best, stop = cli.objects.checkpoint, cli.objects.early_stopping
    validates = cli.task.monitor is not None
    stops = validates and stop.patience > 0
    watched = {"checkpoint": best.monitor} if validates else {}
    watched |= {"early_stopping": stop.monitor} if stops else {}
    settings = {name: values for name, values in cli.settings().items() if name in (*RUN_SETTINGS, *_KEPT)}
    callbacks: list[Any] = [RunSettings(cli.data_name, settings), MonitorCheck(watched)]
    callbacks += [
        StepSeed(cli.config.seed_everything),
        Threads(),
        TensorBoardCallback(run.folder),
        ExactResume(),
        AugmentedImages(run.folder),
    ]
    if not validates:
        callbacks.append(PictureFiles(run.folder))
    if record is not None:
        callbacks += [record.best, record]
    if stops:
        callbacks.append(ResumableEarlyStopping(stop))
    if cli.config.trainer.enable_checkpointing is not False:
        if validates:
            callbacks.append(BestCheckpoint(run.checkpoints.absolute(), best.monitor, better(best.monitor, best.mode)))
        callbacks.append(LastCheckpoint(run.last.absolute(), best.minutes))
    return callbacks
