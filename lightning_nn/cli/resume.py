"""What a checkpoint decides: model, data, settings; and what a run that goes on from it can't do."""

from __future__ import annotations

import math
import shlex
import sys
from inspect import signature
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer

from lightning_nn import catalog
from lightning_nn.callbacks.early_stopping import ResumableEarlyStopping
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import VERBS, Request
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run, find_checkpoint, is_first_process, program
from lightning_nn.runs.saved_settings import PATHS, Saved, names, overlap, read_config, trusted
from lightning_nn.sanitize import sanitize
from lightning_nn.settings import CheckpointSettings, EarlyStoppingSettings, Loss, LRScheduler, Optimizer

SETTINGS: dict[str, type] = {
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
    "loss": Loss,
    "checkpoint": CheckpointSettings,
    "early_stopping": EarlyStoppingSettings,
}
_ASIDE = ("trainer.default_root_dir", "trainer.profiler")  # take no part in training
_OBJECTS = ("trainer.callbacks", "trainer.logger", "trainer.plugins", "trainer.model_registry")


def open_checkpoint(request: Request, which: str) -> Checkpoint:
    """The checkpoint that `last`, `best` or a path means, opened.

    Raises:
        UserError: there is none, or it is not one of ours.
    """
    return Checkpoint.open(find_checkpoint(request.folder, request.model, which))


def as_saved(request: Request, checkpoint: Checkpoint) -> Request:
    """The request with model and data as the checkpoint has them.

    Raises:
        UserError: another model was asked for, or data that does not fit.
    """
    model, data, path = saved_model(request, checkpoint), request.data or checkpoint.data, checkpoint.path
    if data is None:  # saved by a Trainer without the command line
        raise UserError(f"{path} does not say which data its model was trained on: name it, --data NAME")
    entry = catalog.MODELS[model]
    if not entry.fits(catalog.find(catalog.DATA, data, "data set")):
        raise UserError(f"{path} reads {' or '.join(entry.batch_types)}, which --data {data} does not give")
    return request._replace(model=model, data=data)


def saved_model(request: Request, checkpoint: Checkpoint) -> str:
    """The name of the model that a checkpoint holds.

    Raises:
        UserError: another one was asked for, or there is no such model here.
    """
    model = checkpoint.model
    if request.model not in (None, model):
        raise UserError(f"{checkpoint.path} holds the model {model!r}, not {request.model!r}: leave --model out")
    catalog.find(catalog.MODELS, model, "model")
    return model


def saved_settings(checkpoint: Checkpoint, data: str | None = None) -> Saved:
    """The settings of a checkpoint that are trusted: of its model, its training and the data.

    Args:
        checkpoint: the open file.
        data: the data set to be read; None for none.
    """
    return trusted(_said(checkpoint, data), _classes(checkpoint, data))


def run_settings(checkpoint: Checkpoint, data: str, run: Run | None) -> Saved:
    """The same with those of the run that wrote it: its trainer, its seed, when it stops.

    Args:
        checkpoint: the open file.
        data: the data set to be read.
        run: whose folder the checkpoint is in; its config.yaml counts for more than the checkpoint.

    Raises:
        UserError: they can't be read.
    """
    sources = [checkpoint.run, *_said(checkpoint, data)]
    if run is not None:
        try:
            sources.append(read_config(run.config.read_text(encoding="utf-8"), str(run.config)))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"can't read {run.config}: {error}") from None
    trainer = {name: each.default for name, each in signature(Trainer).parameters.items()}
    return trusted(sources, _classes(checkpoint, data), trainer)


def _said(checkpoint: Checkpoint, data: str | None) -> list[dict[str, Any]]:
    of_data = checkpoint.data_arguments
    if data is None:
        of_data = {}
    elif data != checkpoint.data:  # other data has other options
        taken = signature(catalog.DATA[data].load()).parameters
        of_data = {name: value for name, value in of_data.items() if name in taken}
    return [checkpoint.settings, {"model": checkpoint.arguments, "data": of_data}]


def _classes(checkpoint: Checkpoint, data: str | None) -> dict[str, type]:
    model = catalog.find(catalog.MODELS, checkpoint.model, "model").load()
    return {"model": model, **SETTINGS, **({"data": catalog.DATA[data].load()} if data else {})}


def say_left_out(left_out: list[str], path: Path) -> None:
    """Says in a line which settings of a checkpoint are not taken.

    Args:
        left_out: their names.
        path: the checkpoint.
    """
    if left_out and is_first_process():
        run = Run.of(path)
        trust = f"; if you trust it: -c {shlex.quote(str(run.config))}" if run is not None else ""
        what = f"{names(left_out)} of {'the run' if run else path}"
        print(
            f"{sanitize(what)} {'is' if len(left_out) == 1 else 'are'} not taken from its file{sanitize(trust)}",
            file=sys.stderr,
        )


def refuse_left_out(cli: CommandLine, left_out: list[str], path: Path) -> None:
    """Goes on without the settings of a run that are not taken from its file, if they take no part in training.

    Args:
        cli: the command line, which can say them itself.
        left_out: their names.
        path: the checkpoint.

    Raises:
        UserError: they do; with the command that takes them.
    """
    left_out = [name for name in left_out if not cli.gives(name)]
    options = [name for name, _ in cli.parser.get_defaults().items() if not name.startswith("config")]
    needed = [name for name in left_out if name not in _ASIDE and any(overlap(name, each) for each in options)]
    if not needed:
        say_left_out(left_out, path)
        return
    run, one = Run.of(path), len(needed) == 1
    without = [f"--{name} null" for name in needed if name in _OBJECTS]
    ways = []
    if run is not None:
        first, *rest = shlex.split(cli.request.command)[1:] or [""]
        argv = [first, "-c", str(run.config), *rest] if first in VERBS else ["-c", str(run.config), first, *rest]
        ways.append(f"If you trust it: {program()} {shlex.join(argv)}")
    if len(without) == len(needed):
        ways.append(f"To go on without: {' '.join(without)}")
    raise UserError(
        "\n".join(
            [
                f"{names(needed)} of {run.folder if run else path} {'takes' if one else 'take'} part in training and "
                f"{'is' if one else 'are'} not taken from its file, which anyone may have written",
                *(ways or ["Use another checkpoint, or start a new run from these weights: --finetune"]),
            ]
        )
    )


def say_paths(cli: CommandLine, saved: Saved, checkpoint: Checkpoint) -> None:
    """Says which files are read because a checkpoint names them, before they are."""
    known = cli.data_module.reading if checkpoint.reads else ()
    for option in PATHS if is_first_process() else ():
        if saved.taken.get(option) and not cli.gives(option) and option.removeprefix("data.") not in known:
            print(sanitize(f"reading {saved.taken[option]}, the --{option} of {checkpoint.path}"), file=sys.stderr)


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


def saved_digest(data: DataModule, checkpoint: Checkpoint) -> str | None:
    """The digest of the splits that a checkpoint's model was trained on; None where it keeps none."""
    digest = checkpoint.data_state(type(data)).get("split_digest")
    return digest if isinstance(digest, str) else None


def refuse_other_splits(data: DataModule, checkpoint: Checkpoint) -> None:
    """Refuses data whose splits are not those of when the model was trained.

    Raises:
        UserError: what it was trained on would be validated or tested.
    """
    saved = saved_digest(data, checkpoint)
    if saved is not None and data.split_digest != saved:
        raise UserError(
            f"the data is not what {checkpoint.path} was trained on: it has changed, or is split otherwise, so what "
            "the model was trained on would be tested. Bring the old data back; new samples belong in a file of their "
            "own, for --data.path, or into a new run: --finetune"
        )


def refuse_finished(cli: CommandLine, checkpoint: Checkpoint) -> None:
    """A run that has nothing left to do says so.

    Raises:
        UserError: with what to set.
    """
    epochs, steps = checkpoint.progress
    max_epochs, max_steps = cli.config.trainer.max_epochs, cli.config.trainer.max_steps
    go_on = f"{program()} --model {checkpoint.model} --ckpt_path {shlex.quote(str(checkpoint.path))}"
    if max_epochs not in (None, -1) and epochs >= max_epochs:
        raise UserError(
            f"this run is finished: it has done {epochs} of {max_epochs} epochs. To go on: {go_on} "
            f"--trainer.max_epochs {2 * epochs}"
        )
    trainer, early_stopping = cli.config.trainer, cli.config.early_stopping
    enough = epochs >= (trainer.min_epochs or 0) and steps >= (trainer.min_steps or 0)
    waited = ResumableEarlyStopping.impatience(checkpoint.content)
    if enough and 0 < early_stopping.patience <= waited:
        raise UserError(
            f"this run stopped early: {waited} validations without a better {early_stopping.monitor}. To go on: "
            f"{go_on} --early_stopping.patience {2 * waited}"
        )
    timer = Timer(trainer.max_time)
    timer.load_state_dict(checkpoint.content.get("callbacks", {}).get(timer.state_key, {}))
    if enough and (longer := longer_time(timer)):
        raise UserError(f"this run has used up its --trainer.max_time. To go on: {go_on} --trainer.max_time {longer}")
    if max_steps not in (None, -1) and steps >= max_steps:
        raise UserError(
            f"this run is finished: it has done {steps} of {max_steps} steps. To go on, set a larger "
            "--trainer.max_steps"
        )


def longer_time(timer: Timer) -> str | None:
    """Return twice the time that a run has taken, as `--trainer.max_time` takes it; None if it has time left.

    Args:
        timer: of the run.
    """
    left = timer.time_remaining()
    if left is None or left > 0:
        return None
    minutes, seconds = divmod(math.ceil(2 * timer.time_elapsed()), 60)
    return f"{minutes // 1440:02}:{minutes // 60 % 24:02}:{minutes % 60:02}:{seconds:02}"


def say_schedule(cli: CommandLine) -> None:
    """A rate that was to fall over the epochs there were rises again with more of them."""
    if cli.config.lr_scheduler.name != "constant":
        epochs = cli.config.trainer.max_epochs
        print(f"learning rate: {cli.config.lr_scheduler.name}, from here on as if over {epochs} epochs from the start")
