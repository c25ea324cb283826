"""Runs of random options, stopped at random places in every way, end with the bits of the run that nobody touched."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from lightning_nn.cli.main import main
from lightning_nn.models.softmax import SoftmaxClassifier
from tests.commands import Result, command, process, same_bits

HOOKS = (
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "training_step",
    "optimizer_step",
    "on_train_batch_end",
    "on_validation_start",
    "validation_step",
    "on_validation_epoch_end",
    "on_validation_end",
    "on_train_epoch_end",
    "on_save_checkpoint",
    "on_train_end",
)
WAYS = ("SIGINT", "SIGTERM", "exception")
RUN = Path("logs/softmax/r/checkpoints")


class Stop(NamedTuple):
    """A stop of a run: at which call of which hook of its model."""

    way: str
    hook: str
    call: int


class Plan(NamedTuple):
    """Options of a run, and where it is stopped."""

    options: list[str]
    stops: list[Stop]


def plan(seed: int) -> Plan:
    """Draw a run of 2 to 9 batches an epoch and up to three stops."""
    draw = random.Random(seed)
    batch_size = draw.choice((128, 192, 256))
    batches = {128: 9, 192: 6, 256: 5}[batch_size]
    given: dict[str, Any] = {
        "data.batch_size": batch_size,
        "model.hidden": "[4]",
        "trainer.max_epochs": draw.choice((1, 2, 3, 4)),
        "trainer.accumulate_grad_batches": draw.choice((1, 1, 2, 3, 4)),
        "lr_scheduler.name": draw.choice(("constant", "cosine", "one_cycle")),
        "optimizer.name": draw.choice(("adam", "sgd")),
        "checkpoint.minutes": draw.choice(("1e-9", "5")),
        "trainer.precision": draw.choice(("32-true", "32-true", "64-true", "bf16-mixed")),
    }
    if draw.random() < 0.4:
        limit = draw.choice((draw.randint(2, batches), 0.5, 1))
        given["trainer.limit_train_batches"] = limit
        batches = max(1, int(batches * limit)) if isinstance(limit, float) else limit
    if draw.random() < 0.4:
        given["trainer.max_steps"] = draw.randint(1, 25)
    if draw.random() < 0.3:
        given["trainer.limit_val_batches"] = draw.choice((0, 1, 0.5))
    if draw.random() < 0.2:
        given["trainer.min_epochs"] = draw.randint(1, 4)
    if draw.random() < 0.2:
        given["trainer.num_sanity_val_steps"] = 0
    if draw.random() < 0.3:
        given["early_stopping.patience"] = draw.randint(1, 2)
        given["early_stopping.min_delta"] = draw.choice((0, 0.2))
    match draw.randrange(4):
        case 0:
            given["trainer.val_check_interval"] = draw.choice((0.3, 0.5, 0.75))
        case 1:
            given["trainer.val_check_interval"] = draw.randint(1, batches)
        case 2:
            given["trainer.val_check_interval"] = draw.randint(1, 2 * batches)
            given["trainer.check_val_every_n_epoch"] = "null"
        case _:
            given["trainer.check_val_every_n_epoch"] = draw.randint(1, 2)
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    stops = [Stop(draw.choice(WAYS), draw.choice(HOOKS), draw.randint(1, 12)) for _ in range(draw.randint(1, 3))]
    return Plan(options, stops)


class StopError(Exception):
    """Error of a stop by an exception."""


@contextmanager
def stopping(stop: Stop | None) -> Iterator[None]:
    """Within it, a run of softmax in this process is stopped."""
    calls = 0

    def stopped(original: Any) -> Any:
        def hook(self: SoftmaxClassifier, *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if stop and calls == stop.call:
                if stop.way == "exception":
                    raise StopError
                os.kill(os.getpid(), getattr(signal, stop.way))
            return original(self, *args, **kwargs)

        return hook

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with pytest.MonkeyPatch.context() as patch:
        if stop:
            patch.setattr(SoftmaxClassifier, stop.hook, stopped(getattr(SoftmaxClassifier, stop.hook)))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def here(argv: list[str], cwd: Path, stop: Stop | None) -> Result:
    """A run in this process."""
    with stopping(stop):
        try:
            return command(*argv, cwd=cwd)
        except StopError:
            return Result(1, "", "stopped by an exception")


def elsewhere(argv: list[str], cwd: Path, stop: Stop | None) -> Result:
    """A run in a process of its own."""
    done = process(json.dumps(stop), *argv, cwd=cwd, script=Path(__file__))
    return done._replace(err="stopped by an exception") if "StopError" in done.err else done


def check(seed: int, folder: Path, run: Any) -> bool:
    """Run a plan untouched and stopped, and compare.

    Returns:
        Whether its options were taken.
    """
    options, stops = plan(seed)
    told = f"seed {seed}: {' '.join(options)}\n{stops}"
    whole, stopped = folder / "whole", folder / "stopped"
    whole.mkdir()
    stopped.mkdir()
    common = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false", "--name", "r"]
    first = ["fit", "--model", "softmax", *options, *common]
    untouched = run(first, whole, None)
    if untouched.code == 2:
        untouched.refused("--")
        return False
    assert untouched.code == 0, f"{told}\n{untouched}"
    argv, past = first, []
    for stop in [*stops, None]:
        done = run(argv, stopped, stop)
        past.append((stop, done.code))
        if done.code == 0:
            break
        last = stopped / RUN / "last.ckpt"
        if done.code == 2:
            assert past[-2:-1] and past[-2][0].way == "exception" and "--ckpt_path" in argv, f"{told}\n{past}\n{done}"
            assert "finished" in done.err or "stopped early" in done.err, f"{told}\n{past}\n{done}"
            break
        expected = 130 if stop and stop.way != "exception" else 1
        assert done.code == expected, f"{told}\n{past}\n{done}"
        argv = ["fit", "--ckpt_path", "last"]
        if not last.exists():
            argv = first
            shutil.rmtree(stopped / "logs", ignore_errors=True)
    if past[-1][1] == 1:  # stopped after the last step; it has nothing left to do
        run(argv, stopped, None)
    for name in ("last", "best"):
        ours, theirs = stopped / RUN / f"{name}.ckpt", whole / RUN / f"{name}.ckpt"
        assert ours.exists() == theirs.exists(), f"{told}\n{past}\n{name}.ckpt"
        assert not ours.exists() or same_bits(ours, theirs), f"{told}\n{past}\nother bits in {name}.ckpt"
        if name == "last":
            assert counted(ours) == counted(theirs), f"{told}\n{past}"
    return True


def counted(file: Path) -> dict[str, Any]:
    """Return what else a checkpoint has counted, as far as it does not depend on the clock or the folder."""
    states = torch.load(file, weights_only=True)["callbacks"]
    keys = ("samples", "best", "wait_count", "best_score", "best_model_score", "seed")
    names = {name: name.partition("{")[0] for name in states}
    return {f"{names[n]}.{k}": str(state[k]) for n, state in states.items() for k in keys if k in state}


@pytest.mark.parametrize("seed", range(8))
def test_a_run_that_was_stopped_ends_with_the_same_bits(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path, here)


@pytest.mark.slow
def test_many_runs_that_were_stopped_end_with_the_same_bits(tmp_path: Path) -> None:
    taken = failed = 0
    messages = []
    for seed in range(100, 280):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            taken += check(seed, folder, here)
        except AssertionError as error:
            failed += 1
            messages.append(str(error)[:1500])
        shutil.rmtree(folder)
    assert not failed, f"{failed} of {taken + failed}\n" + "\n\n".join(messages)
    assert taken > 120, f"only {taken} of 180 sets of options were taken"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300, 320))
def test_processes_that_were_stopped_end_with_the_same_bits(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path, elsewhere)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    with stopping(Stop(*told) if told else None):
        sys.exit(main(sys.argv[2:]))
