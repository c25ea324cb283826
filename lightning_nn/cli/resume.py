"""What a checkpoint decides: model, data, settings; and what a run that goes on from it can't do."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from lightning_nn import catalog
from lightning_nn.callbacks.early_stopping import ResumableEarlyStopping
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import read_checkpoint
from lightning_nn.runs.run_folder import find_checkpoint, program


def open_checkpoint(request: Request, which: str) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that `last`, `best` or a path means: its file and what it holds.

    Raises:
        UserError: there is none, or it is not one of ours.
    """
    path = find_checkpoint(request.folder, request.model, which)
    return path, read_checkpoint(path)


def as_saved(request: Request, path: Path, checkpoint: dict[str, Any]) -> Request:
    """The request with model and data as the checkpoint has them.

    Raises:
        UserError: another model was asked for, or data that does not fit.
    """
    model, data = saved_model(request, path, checkpoint), request.data or checkpoint["lightning_nn"]["data"]
    if data is None:  # saved by a Trainer without the command line
        raise UserError(f"{path} does not say which data its model was trained on: name it, --data NAME")
    if catalog.find(catalog.DATA, data, "data set").reads != catalog.MODELS[model].reads:
        raise UserError(f"{path} reads {catalog.MODELS[model].reads}, which --data {data} does not give")
    return request._replace(model=model, data=data)


def saved_model(request: Request, path: Path, checkpoint: dict[str, Any]) -> str:
    """The name of the model that a checkpoint holds.

    Raises:
        UserError: another one was asked for, or there is no such model here.
    """
    model = checkpoint["lightning_nn"]["model"]
    if request.model not in (None, model):
        raise UserError(f"{path} holds the model {model!r}, not {request.model!r}: leave --model out")
    catalog.find(catalog.MODELS, model, "model")
    return str(model)


def saved_processor(checkpoint: dict[str, Any]) -> Any:
    """How raw input is read, as the checkpoint's model was trained; None if it kept no reader.

    Raises:
        UserError: the checkpoint's reader is damaged.
    """
    processor = checkpoint["lightning_nn"]["processor"]
    return None if processor is None else catalog.processor(processor["kind"], processor["state"])


def saved_defaults(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Settings of a checkpoint by dotted name."""
    groups = {
        "model": checkpoint["hyper_parameters"],
        "data": checkpoint.get("datamodule_hyper_parameters", {}),
        **checkpoint["lightning_nn"]["settings"],
    }
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}


def run_defaults(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The same with those of the run that wrote it: its trainer, its seed, when it stops.

    Raises:
        UserError: they can't be read.
    """
    try:
        config = dict(yaml.safe_load(checkpoint["lightning_nn"].get("config") or "{}"))
    except (yaml.YAMLError, TypeError, ValueError):
        raise UserError("the checkpoint's copy of its run's config.yaml is damaged; use another checkpoint") from None
    groups = {group: values if isinstance(values, dict) else {"": values} for group, values in config.items()}
    plain = {
        f"{group}.{key}".rstrip("."): value
        for group, values in groups.items()
        for key, value in values.items()
        if value is None or isinstance(value, str | int | float)  # no class that a stranger's file names is made
    }
    return {**plain, **saved_defaults(checkpoint)}


def refuse_ignored(cli: CommandLine) -> None:
    """A resumed run goes on as it was; what it would ignore is refused.

    Raises:
        UserError: names the option and its value in the run.
    """
    free = {"data.path", "data.encoding", "checkpoint.minutes", "early_stopping.patience"}
    for key, (before, now) in cli.changes().items():
        if key.split(".")[0] != "trainer" and key not in free:
            raise UserError(
                f"--{key} {now}: a resumed run goes on with {before}, so this would be ignored or contradict the "
                f"checkpoint.\nLeave it out, or start a new run from these weights: --finetune {cli.request.ckpt_path}"
            )


def refuse_other_parts(data: DataModule, checkpoint: dict[str, Any], path: Path) -> None:
    """Refuses data whose parts are cut otherwise than when the model was trained.

    Raises:
        UserError: what it was trained on would be validated or tested.
    """
    saved = checkpoint["lightning_nn"].get("split_digest")
    if saved is not None and data.split_digest != saved:
        raise UserError(
            f"the data is not what {path} was trained on: it has changed, or is cut otherwise, so what the model was "
            "trained on would be tested. Bring the old data back; new samples belong in a file of their own, for "
            "--data.path, or into a new run: --finetune"
        )


def refuse_finished(cli: CommandLine, checkpoint: dict[str, Any], model: str, path: Path) -> None:
    """A run that has nothing left to do says so.

    Raises:
        UserError: with what to set.
    """
    if "loops" not in checkpoint:
        raise UserError(f"{cli.request.ckpt_path} holds weights only, no run to go on with: --finetune FILE")
    try:
        loop = checkpoint["loops"]["fit_loop"]
        epoch, through = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["is_last_batch"]
        # The epoch in hand is done where its last batch is, and is not counted yet.
        epochs = epoch["processed"] + int(through and epoch["processed"] < epoch["started"])
    except (KeyError, TypeError):
        raise UserError(f"{path} is not whole: it does not say how far its run was; use another checkpoint") from None
    max_epochs, max_steps = cli.config.trainer.max_epochs, cli.config.trainer.max_steps
    if max_epochs not in (None, -1) and epochs >= max_epochs:
        raise UserError(
            f"this run is finished: it has done {epochs} of {max_epochs} epochs. To go on: {program()} --model {model} "
            f"--ckpt_path {shlex.quote(str(path))} --trainer.max_epochs {2 * epochs}"
        )
    patience, waited = cli.config.early_stopping.patience, ResumableEarlyStopping.impatience(checkpoint)
    if 0 < patience <= waited:
        raise UserError(
            f"this run stopped early: {waited} validations without a better {cli.config.early_stopping.monitor}. To go "
            f"on: {program()} --model {model} --ckpt_path {shlex.quote(str(path))} "
            f"--early_stopping.patience {2 * patience}"
        )
    if max_steps not in (None, -1) and checkpoint["global_step"] >= max_steps:
        raise UserError(
            f"this run is finished: it has done {checkpoint['global_step']} of {max_steps} steps. "
            "To go on, set a larger --trainer.max_steps"
        )


def say_schedule(cli: CommandLine) -> None:
    """A rate that was to fall over the epochs there were rises again with more of them."""
    if cli.config.lr_scheduler.name != "constant":
        epochs = cli.config.trainer.max_epochs
        print(f"learning rate: {cli.config.lr_scheduler.name}, from here on as if over {epochs} epochs from the start")
