"""Settings that only the command line knows, stored in each checkpoint of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


class RunSettings(pl.Callback):
    """The name of the data set, the trainer's settings and the seed, added to each checkpoint.

    A checkpoint that was moved out of its run's folder can thus be resumed as the run itself.

    Args:
        data: name of the data set.
        settings: of the run by group, as plain data, without those that the model and the data module save
            themselves.
    """

    def __init__(self, data: str, settings: Mapping[str, Any]) -> None:
        self.run = {"data": data, **settings}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add them; Lightning calls this hook before the model's."""
        checkpoint.setdefault("lightning_nn", {})["run"] = self.run
