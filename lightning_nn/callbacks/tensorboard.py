"""What a run writes to TensorBoard beside its metrics, and its page of attention."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.core.module import _jit_is_scripting
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.jit._trace import TracerWarning
from torch.optim import Optimizer
from torchmetrics import Metric

from lightning_nn.callbacks.best_validation import BestValidation
from lightning_nn.tasks.artifacts import Explanation
from lightning_nn.visualization.attention import page, shade, strongest
from lightning_nn.visualization.confusion import markdown, picture, report

DOCUMENTS = 4  # whose attention is shown
SENTENCES = 20  # of a document in TensorBoard, the heaviest; the page has all
THRIFT = 20  # validation pictures may take one part in so many of the time


class TensorBoardCallback(pl.Callback):
    """Learning rate, gradient norm, confusion matrices, modules or graph, hyperparameters, attention.

    All goes to the run's `TensorBoardLogger`; without one nothing is done. Names: `lr`, `grad_norm` (before clipping),
    `val/confusion`, `val/report`, `val/attention`, the same under `test/`, `modules`, and `best/...`, the metrics of
    the best validation that stand beside the hyperparameters. `attention.html` lies in the run's folder, of the
    validation part after training, of the test part after a test.

    What a model may have: `confusion(split)`, `explain_batch`, `settings()`; a data module: `sources` by split, of
    which a sample is traced for the graph and documents are shown.
    """

    def __init__(self) -> None:
        self._best = BestValidation()
        self._drawn_at, self._cost = -float("inf"), 0.0
        self._pending = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Gives the logger the hyperparameters, so that its hparams.yaml has them."""
        logger = _logger(trainer)
        if logger is not None and stage == "fit":
            logger.hparams.update(_hyperparameters(trainer, pl_module))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows what the model is made of."""
        logger = _logger(trainer)
        if logger is None:
            return
        logger.experiment.add_text("modules", module_table(pl_module), trainer.global_step)
        sources = getattr(getattr(trainer, "datamodule", None), "sources", {})
        if "train" in sources and trainer.global_step == 0 and _is_whole(trainer):
            batch = pl_module.transfer_batch_to_device(sources["train"][np.arange(1)], pl_module.device, 0)
            _add_graph(logger, pl_module, batch)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Writes learning rate and gradient norm, in steps that are logged."""
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # Lightning's own metrics are written under this
        every = cast(Any, trainer).log_every_n_steps  # 0: never
        if every and (step + 1) % every == 0 and (logger := _logger(trainer)) is not None:
            values = {"grad_norm": gradient_norm(pl_module), **_learning_rates(optimizer)}
            logger.log_metrics(values, step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the matrix, unless the last drawing was so short a time ago that it would slow training down."""
        logger = _logger(trainer)
        if logger is None or trainer.sanity_checking:
            return
        self._best.update(trainer, pl_module)
        now = time.monotonic()
        self._pending = now - self._drawn_at < THRIFT * self._cost
        if not self._pending:
            self._draw(trainer, pl_module, logger, "val")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the last matrix if it was not; writes attention and hyperparameters with the best metrics."""
        logger = _logger(trainer)
        if logger is None:
            return
        if self._pending:
            self._draw(trainer, pl_module, logger, "val")
        self._show_attention(trainer, pl_module, logger, "val")
        if self._best.metrics:
            metrics = {f"best/{name.removeprefix('val/')}": value for name, value in self._best.metrics.items()}
            logger.log_hyperparams(_hyperparameters(trainer, pl_module), metrics, trainer.global_step)
        logger.experiment.flush()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the matrix and shows attention."""
        if (logger := _logger(trainer)) is not None:
            self._draw(trainer, pl_module, logger, "test")
            self._show_attention(trainer, pl_module, logger, "test")
            logger.experiment.flush()

    def state_dict(self) -> dict[str, Any]:
        """The best metrics so far."""
        return {"best": self._best.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from them."""
        self._best.load_state_dict(state_dict["best"])

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, logger: TensorBoardLogger, split: str) -> None:
        """Picture and table of a confusion matrix."""
        if not hasattr(pl_module, "confusion"):
            return
        start = time.monotonic()
        matrix = cast(Tensor, cast(Any, pl_module).confusion(split)).cpu()
        categories = getattr(getattr(pl_module, "processor", None), "categories", None) or [
            str(k) for k in range(len(matrix))
        ]
        step = trainer.global_step
        drawing = picture(matrix, categories, split)
        logger.experiment.add_image(f"{split}/confusion", drawing, step, dataformats="HWC")
        logger.experiment.add_text(f"{split}/report", report(matrix, categories), step)
        self._drawn_at, self._pending = time.monotonic(), False
        self._cost = self._drawn_at - start

    def _show_attention(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, logger: TensorBoardLogger, split: str
    ) -> None:
        """A few documents with their words by weight, in TensorBoard and as attention.html."""
        sources = getattr(getattr(trainer, "datamodule", None), "sources", {})
        if not (hasattr(pl_module, "explain_batch") and split in sources and _is_whole(trainer)):
            return
        source = sources[split]
        some = np.unique(np.linspace(0, len(source) - 1, DOCUMENTS, dtype=np.int64))
        batch = pl_module.transfer_batch_to_device(source[some], pl_module.device, 0)
        with trainer.precision_plugin.forward_context():
            explanations = cast(Any, pl_module).explain_batch(batch)
        tables = "\n\n".join(attention_table(e) for e in explanations)
        logger.experiment.add_text(f"{split}/attention", tables, trainer.global_step)
        folder = Path(logger.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        what = "test" if split == "test" else "validation"
        title = f"Attention: {type(pl_module).__name__}, {len(explanations)} {what} documents"
        (folder / "attention.html").write_text(page(explanations, title), encoding="utf-8")


def attention_table(explanation: Explanation) -> str:
    """A document as a Markdown table: its heaviest sentences in their order, strong words bold."""
    sentences = shade(explanation)
    heaviest = sorted(range(len(sentences)), key=lambda i: -sentences[i].weight)[:SENTENCES]
    truth = "" if explanation.truth is None else f", truth: {markdown(explanation.truth)}"
    rows = [
        f"**{markdown(explanation.category)}** {explanation.probability:.1%}{truth}",
        "",
        "| share | words | top 3 |",
        "|-:|:-|:-|",
    ]
    for sentence in [sentences[i] for i in sorted(heaviest)]:
        words = "".join(
            f"{w.gap}<strong>{markdown(w.text)}</strong>" if w.shade >= 0.3 else f"{w.gap}{markdown(w.text)}"
            for w in sentence.words
        )
        named = ", ".join(f"{markdown(w.text)} {w.weight:.0%}" for w in strongest([sentence], 3))
        rows.append(f"| {sentence.weight:.0%} | {words} | {named} |")
    if len(sentences) > SENTENCES:
        rows += ["", f"The heaviest {SENTENCES} of {len(sentences)} sentences."]
    return "\n".join(rows)


def module_table(model: nn.Module) -> str:
    """The layers of a model, their shapes and numbers of parameters, as a Markdown table."""
    rows = ["| name | module | parameters |", "|:-|:-|-:|"]
    for name, module in model.named_modules():
        parts = list(module.modules())
        if name and not all(isinstance(part, Metric | nn.ModuleDict) for part in parts):
            what = repr(module) if len(parts) == 1 else type(module).__name__
            rows.append(f"| {markdown(name)} | {markdown(what)} | {_parameters(module):,} |")
    return "\n".join([*rows, f"| **total** | {type(model).__name__} | **{_parameters(model):,}** |"])


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def gradient_norm(model: nn.Module) -> float:
    """2-norm of all gradients together."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    return float(nn.utils.get_total_norm(dense)) if dense else 0.0


def _learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """`lr` of the first group; those of later groups that differ, by their number."""
    first, *others = [float(group["lr"]) for group in optimizer.param_groups]
    return {"lr": first, **{f"lr/{i}": lr for i, lr in enumerate(others, 1) if lr != first}}


def _hyperparameters(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
    """Arguments of model and data, and the settings of the training, by dotted name."""
    groups: dict[str, Any] = {"model": pl_module.hparams}
    groups["data"] = getattr(getattr(trainer, "datamodule", None), "hparams", {})
    if hasattr(pl_module, "settings"):
        groups.update(cast(Any, pl_module).settings())
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


def _is_whole(trainer: pl.Trainer) -> bool:
    """Whether this process can call the model alone, its weights not scattered over several."""
    return isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy)


def _logger(trainer: pl.Trainer) -> TensorBoardLogger | None:
    """The run's TensorBoard logger, on the process that writes."""
    if not trainer.is_global_zero:
        return None
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


class ModelOnTensors(nn.Module):
    """A model called with the tensors of a batch one by one, as tracing wants it."""

    def __init__(self, model: nn.Module, batch_type: Any) -> None:
        super().__init__()
        self.model, self.batch_type = model, batch_type

    def forward(self, *tensors: Tensor) -> Any:
        """What the model returns."""
        return self.model(self.batch_type(*tensors))


def _add_graph(logger: TensorBoardLogger, model: pl.LightningModule, batch: Any) -> None:
    """The model's graph, if it can be traced without a warning; the table of modules tells of the others."""
    tensors = tuple(t for t in batch._replace(label=None) if t is not None)
    was_training, said = model.training, io.StringIO()
    try:
        with warnings.catch_warnings(), torch.no_grad(), _jit_is_scripting(), contextlib.redirect_stdout(said):
            warnings.simplefilter("ignore")  # deprecations that tracing meets on its way, none of them ours
            warnings.simplefilter("error", TracerWarning)
            logger.experiment.add_graph(ModelOnTensors(model, type(batch)), tensors)
    except Exception:  # whatever tracing stumbles over, training does not need it
        return
    finally:
        model.train(was_training)
