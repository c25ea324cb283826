from __future__ import annotations

import io
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nn.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from lightning_nn.callbacks.statistics import BestValidation
from tests.callbacks.tiny import Data, Tiny, trainer

NAN = math.nan


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(
    ("monitor", "mode", "scores", "losses", "best"),
    [
        ("val/acc", "max", (0.4, 0.4, 0.4), (1.4, 1.2, 1.3), 1),
        ("val/acc", "max", (0.4, 0.4, 0.4), (1.4, 1.3, 1.2), 2),
        ("val/acc", "max", (0.4, 0.5, 0.5), (1.0, 1.3, 1.3), 1),
        ("val/cider", "max", (0.0, 0.0, 0.0), (3.3, 3.2, 3.1), 2),
        ("val/error", "min", (0.5, 0.5, 0.6), (1.4, 1.2, 0.1), 1),
        ("val/miou", "max", (NAN, NAN, NAN), (1.4, 1.2, 1.3), 1),
        ("val/miou", "max", (0.1, NAN, 0.1), (1.4, 1.2, 1.3), 2),
        ("val/loss", "min", (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
    ],
)
def test_of_equal_validations_that_with_the_lowest_loss_is_the_best(
    monitor: str,
    mode: str,
    scores: tuple[float, ...],
    losses: tuple[float, ...],
    best: int,
    resumed: bool,
    tmp_path: Path,
) -> None:
    class Given(Tiny):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            epoch = self.trainer.current_epoch
            self.log_dict({"val/loss": losses[epoch], monitor: scores[epoch]}, batch_size=1)

    validation = BestValidation()
    for epochs in (1, 2, 3) if resumed else (3,):
        validation = BestValidation()
        callbacks = [validation, BestCheckpoint(tmp_path, monitor, mode), LastCheckpoint(tmp_path / "last.ckpt", 3)]
        fit = trainer(*callbacks, max_epochs=epochs, enable_checkpointing=True, num_sanity_val_steps=0)
        path = tmp_path / "last.ckpt" if epochs > 1 and resumed else None
        fit.fit(Given(), datamodule=Data(1), ckpt_path=path, weights_only=True)
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert (kept["epoch"], validation.epoch) == (best, best)
    (state,) = (state for key, state in kept["callbacks"].items() if key.startswith("BestCheckpoint"))
    assert state["best_loss"] == pytest.approx(losses[best])


def test_a_stop_within_a_line_of_output_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(io.StringIO):
        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name=2>")

    class Interrupted(Tiny):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            monkeypatch.setattr(sys, "stderr", Busy())
            os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.undo()

    handler = signal.getsignal(signal.SIGINT)
    fit = trainer(LastCheckpoint(tmp_path / "last.ckpt", 3), max_epochs=3, enable_checkpointing=True)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit.fit(Interrupted(), datamodule=Data(4))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert fit.interrupted and fit.global_step < 12 and (tmp_path / "last.ckpt").is_file()
