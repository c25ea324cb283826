"""What only the command line knows of a run, kept in its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


class RunSettings(pl.Callback):
    """Adds to each checkpoint the name of its data set, the trainer's settings and the seed.

    So a checkpoint that was moved away from its run's folder goes on as the run would.

    Args:
        data: name of the data set.
        settings: of the run by group, as plain data; what the model and the data module keep by themselves left out.
    """

    def __init__(self, data: str, settings: Mapping[str, Any]) -> None:
        self.run = {"data": data, **settings}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning's hook, called before the model's."""
        checkpoint.setdefault("lightning_nn", {})["run"] = self.run
