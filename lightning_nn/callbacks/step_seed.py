"""Randomness as a function of the position in the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class StepSeed(pl.Callback):
    """Seeds torch before each training step from (seed, rank, epoch, batch), for dropout and the like.

    A run that was stopped and resumed then goes on with the same numbers as one that was not, on every process, and
    there is no random state to keep.

    Args:
        seed: of the run; a resumed run keeps its first one.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds torch for this step: the generators of the CPU and of the device in use."""
        key = (self.seed, trainer.global_rank, trainer.current_epoch, batch_idx)
        seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
        torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device: a millisecond a step
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The seed of the run that is resumed."""
        self.seed = state_dict["seed"]
