"""What every task is: training, evaluation and prediction over a kind of batch; what a checkpoint holds, loading."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytorch_lightning as pl
from torch import Tensor

from lightning_nn import catalog
from lightning_nn.data.batches import Batch
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import FORMAT, read_checkpoint, to_plain_data
from lightning_nn.runs.saved_settings import names, trusted
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.evaluation import Evaluation
from lightning_nn.tasks.training import Means as Means
from lightning_nn.tasks.training import Training
from lightning_nn.tasks.weight_transfer import Rows, transfer

if TYPE_CHECKING:
    from typing_extensions import Self


class Task(Training, Evaluation):
    """A model of the course.

    A subclass says what it learns: `training_means`, `metrics`, `update`, `compute_metrics`, `predictions`, and where
    there is something to show `artifacts`; `forward` is the model's.

    Attributes:
        name: in the catalog.
        batch_type: of the batches it reads.
        exportable: whether `torch.export` takes its forward; not where the number of steps depends on the data.
        monitor: the metric by which the best checkpoint is chosen; lower is better if its name ends in loss, else
            higher. None: there is no validation, the last state is the result.
        headline: metrics that tables of results show, in their order.
        row_labels: parameters whose rows belong to words or categories, by what the processor's `row_labels` calls
            these.
        processor_buffers: buffers that `on_processor` fills; fine-tuning does not load them.
    """

    name: ClassVar[str]
    batch_type: ClassVar[type[Batch]]
    exportable: ClassVar[bool] = True
    monitor: ClassVar[str | None] = "val/loss"
    headline: ClassVar[tuple[str, ...]] = ()
    row_labels: ClassVar[dict[str, str]] = {}
    processor_buffers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.data_name: str | None = None
        self.config: str | None = None

    @property
    def attends(self) -> bool:
        """Whether it can show where it looked."""
        return False

    def setup(self, stage: str) -> None:
        """Lightning's hook, after the data module has told its processor: makes the metrics, begins a training."""
        for split in ("val", "test"):
            self.split_metrics(split)
        if stage == "fit":
            self.begin_training()

    def check_batch(self, batch: Any) -> None:
        """Refuses what the model can't read.

        Raises:
            UserError: another kind of batch, or one that does not fit the model's arguments.
        """
        if not isinstance(batch, self.batch_type):
            raise UserError(
                f"a batch is a {type(batch).__name__}; {type(self).__name__} takes {self.batch_type.__name__} of "
                "lightning_nn.data.batches"
            )
        batch.check(self.hparams)

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
        }
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the processor and what has been added up of the epoch that had begun."""
        mine = checkpoint["lightning_nn"]
        self.data_name = mine["data"]
        self.config = self.config or mine.get("config")
        if mine["processor"] is not None and self.processor is None:
            self.processor = catalog.processor(mine["processor"]["kind"], mine["processor"]["state"])
        super().on_load_checkpoint(checkpoint)

    def settings(self) -> dict[str, dict[str, Any]]:
        """Optimizer, schedule and the like, by group."""
        return {"optimizer": asdict(self.optimizer), "lr_scheduler": asdict(self.lr_scheduler)}

    def load_weights(
        self, checkpoint: dict[str, Any], processor: Processor | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Loads the parameters and buffers of a checkpoint that fit, for fine-tuning.

        Rows that belong to words or categories (`row_labels`) go to the same word or category, wherever it stands.

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
