"""Randomness as a function of the position in the run."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from lightning_nn.data.batches import Origin


class StepSeed(pl.Callback):
    """Seed of torch before each training step, made from (seed, rank, epoch, batch), for dropout and the like.

    A resumed run thus draws the same numbers as an uninterrupted one, on every process, and no random state has to
    be saved.

    Args:
        seed: of the run; a resumed run keeps its first seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch for this step: the generators of the CPU and of the device in use."""
        seed = Origin(self.seed, trainer.global_rank, trainer.current_epoch, batch_idx).random_seed()
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every kind of device: 1 ms a step
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the seed of the resumed run."""
        self.seed = int(state_dict["seed"])
