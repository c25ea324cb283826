"""What a run that is resumed can't do, and how it says so."""

from __future__ import annotations

import shlex
from pathlib import Path

from pytorch_lightning.callbacks import Timer

from lightning_nn.callbacks.early_stopping import ResumableEarlyStopping
from lightning_nn.callbacks.run_end import longer_time
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import VERBS, Request
from lightning_nn.cli.saved import saved_digest, say_left_out
from lightning_nn.cli.usage import program
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run
from lightning_nn.runs.saved_settings import names, overlap

_ASIDE = ("trainer.default_root_dir", "trainer.profiler")  # take no part in training
_OBJECTS = ("trainer.callbacks", "trainer.logger", "trainer.plugins", "trainer.model_registry")


def resume_command(path: Path, model: str, request: Request) -> str:
    """The command that resumes a run.

    Args:
        path: its checkpoint.
        model: the model's name.
        request: of the command that trained it.
    """
    imports = "".join(f" --import {shlex.quote(module)}" for module in request.imports)
    return f"{program()}{imports} --model {model} --ckpt_path {shlex.quote(str(path))}"


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
        first, *rest = cli.request.argv or [""]
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
    go_on = resume_command(checkpoint.path, checkpoint.model, cli.request)
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
    timer.load_state_dict(checkpoint.callback_state(timer.state_key))
    if enough and (longer := longer_time(timer)):
        raise UserError(f"this run has used up its --trainer.max_time. To go on: {go_on} --trainer.max_time {longer}")
    if max_steps not in (None, -1) and steps >= max_steps:
        raise UserError(
            f"this run is finished: it has done {steps} of {max_steps} steps. To go on, set a larger "
            "--trainer.max_steps"
        )


def say_schedule(cli: CommandLine) -> None:
    """A rate that was to fall over the epochs there were rises again with more of them."""
    if cli.config.lr_scheduler.name != "constant":
        epochs = cli.config.trainer.max_epochs
        print(f"learning rate: {cli.config.lr_scheduler.name}, from here on as if over {epochs} epochs from the start")
