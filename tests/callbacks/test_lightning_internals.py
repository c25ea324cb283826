"""Lightning still has each private name that the project stands on: these fail by the name where it has not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser

from lightning_nn.callbacks.lightning_internals import (
    COUNTS,
    set_max_steps,
    settle_progress,
    try_int_before_float,
    validation_follows,
)
from tests.callbacks.tiny import Data, Tiny, trainer


class Watch(pl.Callback):
    """After which batches validation was foretold, and after which it came."""

    def __init__(self) -> None:
        self.batch, self.told, self.came = 0, list[int](), list[int]()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.batch += 1
        if validation_follows(trainer):
            self.told.append(self.batch)

    def on_validation_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if not trainer.sanity_checking:
            self.came.append(self.batch)


@pytest.mark.parametrize("options", [{}, {"val_check_interval": 0.5}, {"check_val_every_n_epoch": 2}])
def test_should_check_val_fx_and_data_fetcher_tell_that_validation_follows(options: dict[str, Any]) -> None:
    watch = Watch()
    trainer(watch, **options).fit(Tiny(), datamodule=Data(batches=4))
    assert watch.told == watch.came != []


class SaveAt(pl.Callback):
    """Saves at a call of a hook."""

    def __init__(self, hook: str, path: Path) -> None:
        self.path = path
        setattr(self, hook, self._save)

    def _save(self, trainer: pl.Trainer, *args: Any) -> None:
        if not trainer.sanity_checking and trainer.fit_loop.total_batch_idx == 2:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_end", "on_train_epoch_end", "on_train_end"])
@pytest.mark.parametrize("batches", [3, 5])
def test_batches_that_stepped_and_the_progress_are_in_a_checkpoint(hook: str, batches: int, tmp_path: Path) -> None:
    file = tmp_path / "one.ckpt"
    run = trainer(SaveAt(hook, file), max_steps=3, val_check_interval=3, check_val_every_n_epoch=None)
    run.fit(Tiny(), datamodule=Data(batches=batches))
    loop = torch.load(file, weights_only=True)["loops"]["fit_loop"]
    done = settle_progress(loop, accumulate=1)
    epoch, batch = loop["epoch_progress"]["total"], loop["epoch_loop.batch_progress"]
    stepped = loop["epoch_loop.state_dict"]["_batches_that_stepped"]
    if batches == 3:  # the epoch is over
        assert (done, stepped) == (0, 3)
        assert epoch == dict.fromkeys(COUNTS, 1)
    else:
        assert (done, stepped) == (3, 2), "Lightning counts the last step when it resumes"
        assert epoch == {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        assert batch["current"] == {"ready": 3, "started": 3, "processed": 3, "completed": 2}


def test_max_steps_is_what_ends_a_run() -> None:
    run = trainer(max_steps=2)
    set_max_steps(run, 3)
    assert run.max_steps == 3
    run.fit(Tiny(), datamodule=Data(batches=4))
    assert run.global_step == 3


@pytest.mark.parametrize(("value", "kind"), [("3", int), ("0.5", float), ("1.0", float)])
def test_actions_and_typehint_let_an_int_be_read_before_a_float(value: str, kind: type) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--limit", type=float | int | None)
    try_int_before_float(parser)
    assert type(parser.parse_args(["--limit", value]).limit) is kind
