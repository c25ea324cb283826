"""Checks of a run before it is resumed, and the errors and notes about it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from pytorch_lightning.callbacks import Timer

from lightning_nn.callbacks.resume import ResumableEarlyStopping, longer_time
from lightning_nn.cli.checkpoint import print_left_out, saved_digest
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request
from lightning_nn.cli.verbs import program
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run, is_first_process, load_results
from lightning_nn.runs.saved_settings import names, overlap
from lightning_nn.tasks.task import Task

_ASIDE = ("trainer.default_root_dir", "trainer.profiler")  # without effect on training
_OBJECTS = ("trainer.callbacks", "trainer.logger", "trainer.plugins", "trainer.model_registry")


def resume_command(path: Path, model: str, request: Request) -> str:
    """Return the command that resumes a run.

    Args:
        path: its checkpoint.
        model: name of the model.
        request: request of the command that trained it.
    """
    return f"{program()}{_imports(request)} --model {model} --ckpt_path {shlex.quote(str(path))}"


def predict_command(path: Path, model: Task, request: Request) -> str:
    """Return the command that predicts with a run's checkpoint.

    Args:
        path: its checkpoint.
        model: the trained model.
        request: request of the command that trained it.
    """
    return f"{program()} predict{_imports(request)} --ckpt_path {shlex.quote(str(path))} {model.inputs_hint}"


def _imports(request: Request) -> str:
    return "".join(f" --import {shlex.quote(module)}" for module in request.imports)


def refuse_left_out(cli: CommandLine, left_out: list[str], path: Path) -> None:
    """Refuse to resume without settings that affect training; note the others that are not loaded from the run's file.

    Args:
        cli: the command line, which may set them itself.
        left_out: names of the settings that are not loaded.
        path: the checkpoint.

    Raises:
        UserError: a setting affects training; the message has the command that loads it.
    """
    left_out = [name for name in left_out if not cli.gives(name)]
    needed = [name for name in left_out if name not in _ASIDE and any(overlap(name, option) for option in cli.options)]
    if not needed:
        print_left_out(left_out, path)
        return
    run, ways = Run.of(path), []
    if run is not None:
        verb, rest = cli.request.verb, cli.request.argv[bool(cli.request.verb) :]
        argv = [*[verb] * bool(verb), "-c", str(run.config), *rest]
        ways.append(f"If you trust it: {program()} {shlex.join(argv)}")
    if all(name in _OBJECTS for name in needed):
        ways.append(f"To resume without: {' '.join(f'--{name} null' for name in needed)}")
    affect, are = ("affects", "is") if len(needed) == 1 else ("affect", "are")
    raise UserError(
        f"{names(needed)} of {run.folder if run else path} {affect} training and {are} not loaded from its file, which "
        "anyone may have written\n"
        + "\n".join(ways or ["Use another checkpoint, or start a new run from these weights: --finetune"])
    )


def refuse_ignored(cli: CommandLine) -> None:
    """Refuse options that a resumed run, which keeps its settings, would ignore.

    Raises:
        UserError: names the option and its value in the run.
    """
    free = {"data.path", "data.content", "data.style", "data.encoding", "checkpoint.minutes", "early_stopping.patience"}
    for key, (before, now) in cli.changes().items():
        if key.split(".")[0] != "trainer" and key not in free:
            raise UserError(
                f"--{key} {now}: a resumed run keeps {before}, so this would be ignored or contradict the "
                f"checkpoint.\nLeave it out, or start a new run from these weights: --finetune {cli.request.ckpt_path}"
            )


def refuse_other_splits(data: DataModule, checkpoint: Checkpoint) -> None:
    """Refuse data whose splits are not those that the model was trained with.

    Raises:
        UserError: the splits differ, so training samples would be validated or tested on.
    """
    saved = saved_digest(data, checkpoint)
    if saved is not None and data.split_digest != saved:
        raise UserError(
            f"the data is not what {checkpoint.path} was trained on: it has changed, or is split differently, so "
            "training samples would be tested on. Restore the old data; put new samples into a file of their own, for "
            "--data.path, or train a new run on them: --finetune"
        )


def refuse_finished(cli: CommandLine, checkpoint: Checkpoint) -> None:
    """Refuse to resume a run that has nothing left to do, unless it ended before it wrote its results.

    Raises:
        UserError: names the option to set.
    """
    message = _finished(cli, checkpoint)
    if message is None:
        return
    run, path = Run.of(checkpoint.path), checkpoint.path
    if run is not None and path.name == run.last.name and not cli.changes():
        written = load_results(run.results).get("epochs")  # one more where the run ended within an epoch
        if not isinstance(written, int) or written < checkpoint.progress.epochs:
            if is_first_process():
                print("this run has ended, but not written its results: they are made now", file=sys.stderr)
            return
        path = run.best if run.best.is_file() else path
    test = f"{program()} test{_imports(cli.request)} --ckpt_path {shlex.quote(str(path))}"
    raise UserError(f"{message}\nTo test it: {test}")


def _finished(cli: CommandLine, checkpoint: Checkpoint) -> str | None:
    """Return how a run has ended and what lets it go on; None if it has not ended."""
    epochs, steps = checkpoint.progress
    max_epochs, max_steps = cli.config.trainer.max_epochs, cli.config.trainer.max_steps
    go_on = resume_command(checkpoint.path, checkpoint.model, cli.request)
    if max_epochs not in (None, -1) and epochs >= max_epochs:
        return (
            f"this run is finished: it has done {epochs} of {max_epochs} epochs. To resume: {go_on} "
            f"--trainer.max_epochs {2 * epochs}"
        )
    trainer, early_stopping = cli.config.trainer, cli.config.early_stopping
    enough = epochs >= (trainer.min_epochs or 0) and steps >= (trainer.min_steps or 0)
    waited = ResumableEarlyStopping.impatience(checkpoint.content)
    if enough and 0 < early_stopping.patience <= waited:
        return (
            f"this run stopped early: {waited} validations without a better {early_stopping.monitor}. To resume: "
            f"{go_on} --early_stopping.patience {2 * waited}"
        )
    timer = Timer(trainer.max_time)
    timer.load_state_dict(checkpoint.callback_state(timer.state_key))
    if enough and (longer := longer_time(timer)):
        return f"this run has used up its --trainer.max_time. To resume: {go_on} --trainer.max_time {longer}"
    if max_steps not in (None, -1) and steps >= max_steps:
        return (
            f"this run is finished: it has done {steps} of {max_steps} steps. To resume: {go_on} "
            f"--trainer.max_steps {2 * steps}"
        )
    return None


def print_schedule(cli: CommandLine) -> None:
    """Print a note that the learning rate follows the new number of epochs: with more of them it may rise again."""
    if cli.config.lr_scheduler.name != "constant":
        epochs = cli.config.trainer.max_epochs
        print(f"learning rate: {cli.config.lr_scheduler.name}, from here on as in a run of {epochs} epochs")
