"""What every topic shares: optimisation, what a checkpoint holds, loading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn import catalog
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import FORMAT, read_checkpoint, to_plain_data
from lightning_nn.runs.saved_settings import names, trusted
from lightning_nn.sanitize import sanitize
from lightning_nn.settings import LRScheduler, Optimizer
from lightning_nn.tasks.artifacts import Artifact
from lightning_nn.tasks.weight_transfer import Rows, transfer

if TYPE_CHECKING:
    from typing_extensions import Self


class Task(pl.LightningModule):
    """A model of the course.

    Attributes:
        name: in the catalog.
        exportable: whether `torch.export` takes its forward; not where the number of steps depends on the data.
        monitor: the metric by which the best checkpoint is chosen; lower is better if its name ends in loss, else
            higher.
        processor_buffers: buffers that `on_processor` fills; fine-tuning does not load them.
        optimizer: and its settings; replace it before training.
        lr_scheduler: how the learning rate moves; replace it before training.
        row_labels: parameters whose rows belong to words or categories, by what the reader's `rows` calls these.
        cut: a digest of what the parts of its data hold, where some were cut from others (`DataModule.cut`).
        config: all settings of the run as its config.yaml has them; kept in checkpoints, so that one that was moved
            away from its run goes on as it was.
    """

    name: ClassVar[str]
    exportable: ClassVar[bool] = True
    monitor: ClassVar[str] = "val/loss"
    row_labels: ClassVar[dict[str, str]] = {}
    processor_buffers: ClassVar[frozenset[str]] = frozenset()
    optimizer: Optimizer = Optimizer()
    lr_scheduler: LRScheduler = LRScheduler()

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = replace(self.optimizer)  # the topic's default, its own copy
        self.lr_scheduler = replace(self.lr_scheduler)
        self._processor: Processor | None = None
        self.data_name: str | None = None
        self.config: str | None = None
        self.split_digest: str | None = None
        self._all_finite: Tensor | None = None

    @property
    def processor(self) -> Processor | None:
        """Turns raw input into batches; taken from the data when a run starts, from the checkpoint when loaded."""
        return self._processor

    @processor.setter
    def processor(self, processor: Processor | None) -> None:
        if processor is not None:
            self.on_processor(processor)
        self._processor = processor

    def on_processor(self, processor: Processor) -> None:
        """Hook: the topic is told how raw input is read.

        Args:
            processor: of its data, or of the data it was trained on.

        Raises:
            UserError: it was made for other data.
        """

    def setup(self, stage: str) -> None:
        """Agrees with the data on how raw input is read: as this model was trained, else as the data does."""
        data = cast(Any, self.trainer).datamodule
        if getattr(data, "processor", None) is not None:
            if self.processor is not None and self.processor.state_dict() != data.processor.state_dict():
                data.use_processor(self.processor)
            self.processor = data.processor
        if stage == "fit":
            self._all_finite, self.split_digest = None, getattr(data, "split_digest", None)
            if not self.training:  # as load_from_checkpoint returns it; Lightning would train without dropout
                self.train()

    # ------------------------------------------------------------------ optimisation

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices are decayed; biases, norms and other vectors are not."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": self.optimizer.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]

    def configure_optimizers(self) -> Any:
        """Lightning's hook: from `optimizer` and `lr_scheduler`, stepped with each batch."""
        optimizer = self.optimizer.build([g for g in self.parameter_groups() if g["params"]])
        if self.lr_scheduler == LRScheduler():
            return optimizer
        factor = self.lr_scheduler.factor(self.trainer.estimated_stepping_batches)
        # Counting the steps made Lightning set up the loader before it knows whether the run resumes; without this it
        # would not be set up again, and the place in the epoch would be lost.
        self.trainer.fit_loop._combined_loader = None
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def world_mean(self, loss: Tensor, samples: int) -> Tensor:
        """A mean loss, weighted so that gradients averaged over processes are those of one process over all samples.

        Stops the run, on all processes together, before a loss that is not finite moves the weights. On a GPU, where
        looking would wait for the device, every 50 steps and before a checkpoint is written.

        Args:
            loss: mean over this process's samples.
            samples: how many it has in this step.

        Raises:
            UserError: the loss is not finite; with what to change.
        """
        finite = loss.detach().isfinite()
        weight: Tensor | float = 1.0
        if self.trainer.world_size > 1:
            own = torch.stack([torch.tensor(float(samples), device=loss.device), (~finite).float()])
            total = self.trainer.strategy.reduce(own.clone(), reduce_op="sum")
            weight, finite = own[0] * self.trainer.world_size / total[0], total[1] == 0
        self._all_finite = finite if self._all_finite is None else self._all_finite & finite
        if loss.device.type == "cpu" or self.trainer.global_step % 50 == 0:
            self._raise_unless_finite()
        return loss * weight

    def _raise_unless_finite(self) -> None:
        if self._all_finite is not None and not bool(self._all_finite):
            raise self.not_finite("training")

    def not_finite(self, what: str) -> UserError:
        """The error that says that a loss is not finite, and what to change."""
        return UserError(
            f"the {what} loss is no longer a finite number (epoch {self.trainer.current_epoch}, step "
            f"{self.trainer.global_step}): stopped before it reached a checkpoint.\n"
            f"Lower --optimizer.lr (it is {self.optimizer.lr:g}), or clip: --trainer.gradient_clip_val 1.0"
        )

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds all that a later run or a prediction needs, as plain data.

        Raises:
            UserError: an argument of the model or the data is more than plain data; the loss is not finite.
        """
        self._raise_unless_finite()
        for kind in (self.CHECKPOINT_HYPER_PARAMS_KEY, pl.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY):
            if kind in checkpoint:
                checkpoint[kind] = to_plain_data(dict(checkpoint[kind]), "arguments")
        processor = (
            None if self.processor is None else {"kind": self.processor.kind, "state": self.processor.state_dict()}
        )
        checkpoint["lightning_nn"] = {
            "version": FORMAT,
            "model": self.name,
            "data": self.data_name,
            "processor": processor,
            "settings": to_plain_data(self.settings(), "settings"),
            "config": self.config,
            "split_digest": self.split_digest,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores reader and settings."""
        mine = checkpoint["lightning_nn"]
        self.data_name = mine["data"]
        self.config = self.config or mine.get("config")
        self.split_digest = self.split_digest or mine.get("split_digest")
        if mine["processor"] is not None and self.processor is None:
            self.processor = catalog.processor(mine["processor"]["kind"], mine["processor"]["state"])

    def settings(self) -> dict[str, dict[str, Any]]:
        """Optimizer, schedule and the like, by group."""
        return {"optimizer": asdict(self.optimizer), "lr_scheduler": asdict(self.lr_scheduler)}

    def load_weights(
        self, checkpoint: dict[str, Any], processor: Processor | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Loads the parameters and buffers of a checkpoint that fit, for fine-tuning.

        Rows that belong to words or categories (`named_rows`) go to the same word or category, wherever it stands.

        Args:
            checkpoint: from `lightning_nn.runs.checkpoint.read_checkpoint`.
            processor: of the data that the model will be trained on.

        Returns:
            Each tensor that was loaded, with what is to be said of it; and each that was not, with the reason.

        Raises:
            UserError: it is no checkpoint of this project.
        """
        given, mine = checkpoint.get("state_dict"), checkpoint.get("lightning_nn")
        if not (isinstance(given, dict) and isinstance(mine, dict)):
            raise UserError(
                "this is no checkpoint of lightning_nn: it does not say which model and data its weights belong to; "
                "load them yourself: model.load_state_dict(weights, strict=False)"
            )
        saved = mine.get("processor")
        old = catalog.processor(saved["kind"], saved["state"]).row_labels() if saved else {}
        new = processor.row_labels() if processor else {}
        rows = {
            name: Rows(kind, new[kind], old[kind])
            for name, kind in self.row_labels.items()
            if kind in new and kind in old
        }
        once = dict(self.named_parameters())
        tied = dict(self.named_parameters(remove_duplicate=False)).keys() - once.keys()
        weights = {name: tensor for name, tensor in self.state_dict().items() if isinstance(tensor, Tensor)}
        own = {name: tensor for name, tensor in weights.items() if name not in tied | self.processor_buffers}
        loaded, kept = transfer(own, given, rows)
        kept |= dict.fromkeys(given.keys() - self.state_dict().keys(), "only in the checkpoint")
        return loaded, kept

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield what can be shown of an evaluation.

        Args:
            split: "val" or "test", after such an epoch.
        """
        yield from ()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, and afterwards the mode there was."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        strict: bool = True,
        weights_only: bool = True,
        **arguments: Any,
    ) -> Self:
        """The trained model, in evaluation mode, from a checkpoint alone; nothing in the file is executed.

        Args:
            checkpoint_path: the file.
            map_location: where its tensors go, as in `torch.load`; the CPU by default.
            strict: whether the weights must be those of this model, no more and no less.
            weights_only: has no say: nothing else is ever loaded.
            arguments: constructor arguments other than the saved ones.

        Raises:
            UserError: see `lightning_nn.runs.checkpoint.read_checkpoint`; also if it holds another model, or weights
                that do not fit.
        """
        checkpoint = read_checkpoint(checkpoint_path, map_location or "cpu")
        saved = checkpoint["lightning_nn"]["model"]
        if saved != cls.name:
            raise UserError(f"{checkpoint_path} holds the model {saved!r}, not {cls.name!r}")
        saved_arguments = {k: v for k, v in checkpoint["hyper_parameters"].items() if k not in arguments}
        form = trusted([{"model": saved_arguments}], {"model": cls})
        if form.left_out:
            raise UserError(
                f"{checkpoint_path}: {names(form.left_out)} can't be taken from it: no argument of {cls.__name__}, "
                f"or no plain data of its type; in Python, give it as load_from_checkpoint(FILE, NAME=VALUE)"
            )
        try:
            model = cls(**{**form.group("model"), **arguments})
            model.on_load_checkpoint(checkpoint)
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            raise _misfit(checkpoint_path, cls, error) from error
        model.load_state(checkpoint, checkpoint_path, strict=strict)
        return model.eval()

    def load_state(self, checkpoint: dict[str, Any], path: str | Path, *, strict: bool = True) -> None:
        """Takes the weights of a checkpoint.

        Args:
            checkpoint: from `lightning_nn.runs.checkpoint.read_checkpoint`.
            path: where it stands, for errors.
            strict: whether they must be those of this model, no more and no less.

        Raises:
            UserError: they do not fit.
        """
        try:
            self.load_state_dict(checkpoint["state_dict"], strict=strict)
        except (TypeError, RuntimeError) as error:
            raise _misfit(path, type(self), error) from error


def _misfit(path: str | Path, cls: type, error: Exception) -> UserError:
    reason = sanitize(" ".join(str(error).split()))
    return UserError(f"{path} does not fit {cls.__name__} as it is here: {reason}")
