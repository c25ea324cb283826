"""Exact resume: a resumed run ends with the same bits as an uninterrupted one."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import StochasticWeightAveraging
from torch import Tensor

from lightning_nn.callbacks.lightning_internals import check_counts, set_max_steps, settle_progress


class ExactResume(pl.Callback):
    """Exact resume from any checkpoint that was written between two batches, to the bit.

    It does what Lightning leaves out:

    - Gradients: validation may run before an optimizer step has all its batches (`accumulate_grad_batches`). A
      checkpoint written then holds the gradients so far, those of each process.
    - Progress: see `lightning_internals.settle_progress`.
    - `max_steps`: Lightning treats a run that is limited by steps as one that stopped within an epoch, even at its
      end. The limit is therefore hidden until the first batch.
    - Precision: Lightning loads weights before it converts the model to the precision that they were trained in.
    - Weight averaging: Lightning sets up its schedule only at the start of an epoch, and changes the learning rate
      by doing so.
    """

    def __init__(self) -> None:
        self._max_steps: int | None = None
        self._gradients: dict[str, Tensor] = {}
        self._averaging = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Convert the model to the precision of the run."""
        if stage == "fit":
            trainer.precision_plugin.convert_module(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the gradients of an incomplete optimizer step to the checkpoint."""
        done = trainer.fit_loop.batch_idx + 1
        if done % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch:
            return
        gradients = {name: each.grad for name, each in pl_module.named_parameters() if each.grad is not None}
        if trainer.world_size > 1:
            gradients = {name: trainer.strategy.all_gather(each) for name, each in gradients.items()}
        checkpoint["lightning_nn_gradients"] = gradients

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Load the gradients, and settle the progress."""
        if trainer.state.fn != "fit" or "loops" not in checkpoint:
            return
        check_counts(checkpoint["loops"])
        settle_progress(checkpoint["loops"]["fit_loop"], trainer.accumulate_grad_batches)
        self._gradients = checkpoint.get("lightning_nn_gradients", {})
        averaging = checkpoint["callbacks"].get(StochasticWeightAveraging.__qualname__, {})
        self._averaging = averaging.get("scheduler_state") is not None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hide the limit of steps while Lightning restores the progress."""
        if trainer.ckpt_path is not None:
            self._max_steps = trainer.max_steps
            set_max_steps(trainer, -1)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the limit of steps, the gradients and the schedule of weight averaging."""
        if self._max_steps is not None:
            set_max_steps(trainer, self._max_steps)
            self._max_steps = None
        for name, each in pl_module.named_parameters():
            if name in self._gradients:
                own = self._gradients[name]
                each.grad = (own if trainer.world_size == 1 else own[trainer.global_rank]).to(each.device)
        self._gradients = {}
        if self._averaging:
            rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in trainer.optimizers]
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, StochasticWeightAveraging):
                    callback.on_train_epoch_start(trainer, pl_module)
            for optimizer, saved in zip(trainer.optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, saved, strict=True):
                    group["lr"] = rate
            self._averaging = False
