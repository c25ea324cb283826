"""Arithmetic of training: means of an epoch, weights of accumulated batches, parameter groups, number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from lightning_nn.errors import UserError
from lightning_nn.metrics.running import RunningMeans, Totals
from lightning_nn.optimizers import normalised_kernels
from lightning_nn.settings import Optimizer

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm)

_AVERAGES = tuple(
    getattr(callbacks, name)
    for name in ("StochasticWeightAveraging", "WeightAveraging")  # the second since Lightning 2.6
    if hasattr(callbacks, name)
)
ROW_WISE_FROM = 1_000_000  # values of a table; updating a smaller one whole costs less than finding its rows


class DivergedError(UserError):
    """The loss of a training is no longer a finite number."""


class Means(NamedTuple):
    """Sums over the samples of a batch, and their number.

    Attributes:
        sums: scalars by metric name ("loss", "acc", ...); the loss keeps its graph and is the sum over all counted
            samples (pixels, words).
        weight: number of counted samples, an int or a scalar tensor; the loss of a step is `sums["loss"] / weight`.
    """

    sums: dict[str, Tensor]
    weight: int | Tensor

    def loss(self) -> Tensor:
        """Return the mean loss."""
        return cast(Tensor, self.sums["loss"] / at_least_one(self.weight))


class Window(NamedTuple):
    """The batches so far of one optimizer step.

    Attributes:
        first: weight of the first batch, over all processes: the unit of the losses.
        total: weight of all batches, over all processes.
        factor: correction of the gradient after the last batch; None before.
    """

    first: float | Tensor
    total: float | Tensor
    factor: float | Tensor | None = None


def at_least_one(weight: Any) -> Any:
    """Return the weight, at least 1, so that dividing by it gives 0 where nothing was counted."""
    return weight.clamp(min=1) if isinstance(weight, Tensor) else max(weight, 1)


def sum_over_processes(trainer: pl.Trainer, values: Tensor) -> Tensor:
    """Sum values over the processes of a run; in one process they are returned as they are."""
    if trainer.world_size == 1:
        return values
    return cast(Tensor, trainer.strategy.reduce(values.clone(), reduce_op="sum"))


def weighted(
    trainer: pl.Trainer, loss: Tensor, weight: int | Tensor, batch_idx: int, window: Window | None
) -> tuple[Tensor, Tensor, Window | None]:
    """Weight the mean loss of a batch so that each sample of the optimizer step has the same weight.

    Lightning divides the loss by the number of accumulated batches and averages gradients over processes. So each
    batch's mean is multiplied by its number of samples relative to the window's first batch, which is known by then,
    and `TrainingSums.correct_gradients` corrects the window's gradient once the number of all its samples is known.

    Args:
        trainer: of the run.
        loss: mean loss of the batch on this process.
        weight: number of its samples.
        batch_idx: number of the batch within the epoch.
        window: the batches before; None before the first of a run.

    Returns:
        The weighted loss, whether the losses of all processes are finite, and the window with this batch; no window
        where batches are not accumulated.
    """
    finite, total = loss.detach().isfinite(), cast("float | Tensor", weight)
    if trainer.world_size > 1:
        weight = torch.as_tensor(weight, dtype=torch.float32, device=loss.device)
        sums = sum_over_processes(trainer, torch.stack([weight, (~finite).float()]))
        total, finite = sums[0], sums[1] == 0
    accumulated = trainer.accumulate_grad_batches
    if accumulated == 1:
        if trainer.world_size > 1:
            loss = loss * (weight * trainer.world_size / at_least_one(total))
        return loss, finite, None
    if window is None or window.factor is not None or batch_idx % accumulated == 0:
        window = Window(at_least_one(total), 0.0)
    window = window._replace(total=window.total + total)
    last = batch_idx + 1 == trainer.num_training_batches or trainer.is_last_batch
    if last or (batch_idx + 1) % accumulated == 0:
        window = window._replace(factor=window.first * accumulated / at_least_one(window.total))
    return loss * (weight * trainer.world_size / window.first), finite, window


class TrainingSums:
    """Sums over the batches of the present epoch and of the present optimizer step.

    Attributes:
        finite: whether every loss of the run so far was finite, a scalar on the device; None before the first step.
    """

    def __init__(self) -> None:
        self.finite: Tensor | None = None
        self._epoch = RunningMeans()
        self._window: Window | None = None

    def clear(self) -> None:
        """Reset what an earlier run left."""
        self._epoch.clear()
        self.finite = self._window = None

    def add(self, trainer: pl.Trainer, means: Means, batch_idx: int) -> Tensor:
        """Add a batch, and return its mean loss, weighted by its share of the optimizer step (see `weighted`).

        Args:
            trainer: of the run.
            means: sums over the batch.
            batch_idx: number of the batch within the epoch.
        """
        self._epoch.add(means.sums, means.weight, trainer.current_epoch, keeps_resumed=trainer.is_global_zero)
        loss, finite, self._window = weighted(trainer, means.loss(), means.weight, batch_idx, self._window)
        self.finite = finite if self.finite is None else self.finite & finite
        return loss

    def check_finite(self, trainer: pl.Trainer, optimizer: Optimizer) -> None:
        """End a run whose loss is no longer finite.

        Lightning's finder of a learning rate raises the rate until that happens: its search ends here, without an
        error.

        Raises:
            DivergedError: names the remedy.
        """
        if self.finite is None or bool(self.finite):
            return
        if not finds_rate(trainer):
            raise loss_not_finite("training", trainer, optimizer)
        trainer.should_stop, self.finite = True, None

    def correct_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Multiply the gradients of a finished window by its factor."""
        factor = None if self._window is None else self._window.factor
        if factor is None or (isinstance(factor, float) and factor == 1.0):
            return
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def epoch_means(self, trainer: pl.Trainer) -> dict[str, Tensor]:
        """Return the means over the samples of the epoch, on all processes, and begin the next epoch."""
        totals = self._totals(trainer)
        self._epoch.clear()
        return {} if totals is None else {name: sum / at_least_one(totals.weight) for name, sum in totals.sums.items()}

    def state_dict(self, trainer: Any) -> dict[str, Any]:
        """Return the sums of an unfinished epoch and the weights of an unfinished step, as plain data."""
        state: dict[str, Any] = {}
        if self._window is not None and self._window.factor is None:
            state["window"] = {"first": float(self._window.first), "total": float(self._window.total)}
        if (totals := self._totals(trainer)) is not None:
            sums = {name: float(value) for name, value in totals.sums.items()}
            state["totals"] = {"sums": sums, "weight": float(totals.weight)}
        return state

    def load_state_dict(self, state: Mapping[str, Any], epoch: int) -> None:
        """Resume from a saved state.

        Args:
            state: with what `state_dict` returned.
            epoch: number of the unfinished epoch.
        """
        window, totals = state.get("window"), state.get("totals")
        self._window = None if window is None else Window(float(window["first"]), float(window["total"]))
        if totals is not None:
            sums: dict[str, float | Tensor] = {name: float(value) for name, value in dict(totals["sums"]).items()}
            self._epoch.resume(epoch, Totals(sums, float(totals["weight"])))

    def _totals(self, trainer: Any) -> Totals | None:
        return self._epoch.totals(lambda values: sum_over_processes(trainer, values))


def coalesce_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum the rows of sparse gradients that have the same index, so that a norm is that of the sum."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()


def row_wise_tables(
    tables: Iterable[nn.Embedding], optimizer: Optimizer, trainer: pl.Trainer | None
) -> list[nn.Embedding]:
    """Choose the tables that the optimizer updates row by row: large ones on a CPU, where nothing else reads them.

    On a GPU a dense step costs little; several processes would reduce sparse gradients, which not every backend does;
    clipping by value and averages of weights read all rows.

    Args:
        tables: embeddings that nothing reads but by calling them.
        optimizer: its settings.
        trainer: of the run; None for a loop of one's own, which may read the weights.
    """
    if trainer is None or not optimizer.can_update_rows or not isinstance(trainer.strategy, SingleDeviceStrategy):
        return []
    averages = any(isinstance(each, _AVERAGES) for each in trainer.callbacks)  # type: ignore[attr-defined]
    if trainer.strategy.root_device.type != "cpu" or averages or trainer.gradient_clip_algorithm == "value":
        return []
    return [t for t in tables if t.weight.requires_grad and t.weight.numel() >= ROW_WISE_FROM]


def parameter_groups(model: nn.Module, optimizer: Optimizer, fixed_norms: list[nn.Module]) -> list[dict[str, Any]]:
    """Group the trained parameters: matrices decay; biases, norms and other vectors do not, nor what muon turns.

    Args:
        model: the model.
        optimizer: its settings.
        fixed_norms: batch norms that use fixed statistics throughout training.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    norms: list[Tensor] = []
    if (scale := optimizer.norm_scale) != 1:
        norms = [p for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters() if p.requires_grad]
        trained = [p for p in trained if all(p is not norm for norm in norms)]
    groups: list[dict[str, Any]] = []
    if optimizer.name in ("muon", "muon_adamw"):
        kernels = {id(p) for p in normalised_kernels(model, fixed_norms)}
        groups = [{"params": [p for p in trained if id(p) in kernels], "kernels": True}]
        trained = [p for p in trained if id(p) not in kernels]
    groups += [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": optimizer.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return groups if scale == 1 else [*groups, {"params": norms, "weight_decay": 0.0, "scale": scale}]


def check_lbfgs(trainer: pl.Trainer) -> None:
    """Refuse a run that L-BFGS, which compares gradients of successive steps, is not made for.

    Raises:
        UserError: several processes, mixed precision or accumulated batches.
    """
    for wrong, setting, remedy in (
        (trainer.world_size > 1, f"{trainer.world_size} processes", "--trainer.devices 1"),
        ("mixed" in str(trainer.precision), f"--trainer.precision {trainer.precision}", "32-true"),
        (trainer.accumulate_grad_batches > 1, "--trainer.accumulate_grad_batches", "1"),
    ):
        if wrong:
            raise UserError(f"--optimizer.name lbfgs doesn't go with {setting}: use {remedy}, or another optimizer")


def finds_rate(trainer: pl.Trainer) -> bool:
    """Return whether Lightning's finder of a learning rate raises the rate step by step, to where the loss grows."""
    return any(type(each.scheduler).__module__.endswith(".lr_finder") for each in trainer.lr_scheduler_configs)


def keep_ratios(optimizer: torch.optim.Optimizer, lr: float, trainer: Any) -> None:
    """Let groups of parameters keep the ratios of their rates while Lightning's finder gives all the same rate.

    Args:
        optimizer: just built.
        lr: the rate that the finder looks for.
        trainer: of the run; None outside of Lightning's Trainer.
    """
    groups = optimizer.param_groups
    ratios = [group["lr"] / lr for group in groups]
    sought = trainer is not None and any(isinstance(each, callbacks.LearningRateFinder) for each in trainer.callbacks)
    if not sought or set(ratios) == {1.0}:
        return
    alike: list[float] = []  # the rate of all groups in the present step, if they have the same

    def scale(*_: Any) -> None:
        alike[:] = {group["lr"] for group in groups}
        if len(alike) == 1:
            for group, ratio in zip(groups, ratios, strict=True):
                group["lr"] = alike[0] * ratio

    def restore(*_: Any) -> None:
        if len(alike) == 1:
            for group in groups:
                group["lr"] = alike[0]

    optimizer.register_step_pre_hook(scale)
    optimizer.register_step_post_hook(restore)


def loss_not_finite(stage: str, trainer: pl.Trainer, optimizer: Optimizer) -> DivergedError:
    """Return the error for a loss that is not finite, with the remedy.

    Args:
        stage: "training" or "validation".
        trainer: the Trainer of the run.
        optimizer: settings of the run.
    """
    return DivergedError(
        f"the {stage} loss is no longer a finite number (epoch {trainer.current_epoch}, step "
        f"{trainer.global_step}): the run stopped before saving it in a checkpoint.\n"
        f"Lower --optimizer.lr (now {optimizer.lr:g}), or clip gradients: --trainer.gradient_clip_val 1.0"
    )


def optimizer_steps(trainer: pl.Trainer, batches: int | None) -> float:
    """Count the optimizer steps of a whole run; infinity if it has no end.

    Lightning's own count sets up the training loader before the checkpoint is restored, which loses the position in
    the epoch. It is used only if the number of batches is unknown.

    Args:
        trainer: of the run.
        batches: batches per epoch on each process; None if unknown.
    """
    if batches is None or trainer.max_epochs in (None, -1):
        return trainer.estimated_stepping_batches
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    steps = math.ceil(batches / trainer.accumulate_grad_batches) * max(trainer.max_epochs or 1, 1)
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)
