"""The verb `tune`: a learning rate, suggested by Lightning's Tuner and checked by short runs, and the largest batch.

With `--search` a study of other options in place of that, see `study`.

The Tuner raises the rate step by step and suggests that at which the loss fell fastest (Smith 2017, "Cyclical learning
rates for training neural networks"). The loss of a hundred steps says little about that of a training, and the
suggestion may be a thousand times too low. So it only competes, with the rate of the settings and a tenth of that with
the lowest loss: each is trained for a fifth of the epochs, then a third and three times the best, until the best has
both beside it.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning.tuner import Tuner

from lightning_nn import catalog
from lightning_nn.callbacks.statistics import LOSS, rank
from lightning_nn.cli.console import show_table, show_text
from lightning_nn.cli.factory import check_training, make_trainer, share_features
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request, refuse_options
from lightning_nn.cli.study import run_study, search_space
from lightning_nn.cli.train import lengthen, prepared, weights_to_tune
from lightning_nn.cli.trial import ALONE, Weights, monitored, new_model, train_command, trial
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically, write_text
from lightning_nn.tasks.training import DivergedError
from lightning_nn.visualization.images import png
from lightning_nn.visualization.learning_rate import picture

STEPS, FIRST = 100, 10  # steps of the search, and those at its start that Lightning's mean weighs too little
LOWEST, HIGHEST = 1e-3, 100.0  # rates of the search, times that of the settings
SHARE = 5  # a short run has a fifth of the epochs
MOST = 8  # short runs
LARGEST = 65_536  # samples in a batch


class ShortRun(NamedTuple):
    """A short run at one learning rate.

    Attributes:
        lr: the rate.
        metrics: of its best validation; empty if the loss did not stay finite.
        seconds: that it took.
    """

    lr: float
    metrics: dict[str, float]
    seconds: float


class Curve(NamedTuple):
    """Losses while the rate grows.

    Attributes:
        points: rate and smoothed loss of each step where it is finite, without the first.
        suggested: the rate that Lightning reads off them; None if there are too few.
        tenth: of the rate with the lowest loss, likewise.
    """

    points: list[tuple[float, float]]
    suggested: float | None
    tenth: float | None


def tune(request: Request) -> int:
    """Look for a learning rate, and on a GPU for the largest batch; with --search, for values of other options.

    Returns:
        The exit code.

    Raises:
        UserError: the settings are wrong, or nothing is validated by which rates could be compared.
    """
    refuse_options(request, "ckpt_path")
    model = request.model
    assert model
    request = request._replace(rest=[*request.rest, *ALONE])
    cli = CommandLine(request, model, request.data or catalog.MODELS[model].data)
    _check(cli)
    space = search_space(cli) if cli.search is not None else []
    cli.seed()
    weights = weights_to_tune(cli)
    data = prepared(cli)
    data.require_split("val")
    lengthen(cli, data)
    folder = Path(request.folder) / "tune" / (request.name or f"{cli.model_name}-{cli.data_name}")
    if space:
        return run_study(cli, data, weights, space, folder)
    curve = find_rate(cli, data, weights)
    runs = try_rates(cli, data, weights, curve)
    _show(cli, curve, runs)
    _write(cli, curve, runs, folder)
    show_text(largest_batch(cli, data, weights), sys.stdout)
    return 0


def _check(cli: CommandLine) -> None:
    """Refuse settings with which rates can't be compared.

    Raises:
        UserError: names what is wrong.
    """
    if cli.task.monitor is None or "optimizer" not in cli.objects:
        raise UserError(f"{cli.model_name} has no validation by which learning rates could be compared")
    if cli.config.trainer.fast_dev_run:
        raise UserError("--trainer.fast_dev_run measures nothing that tune could compare: leave it out")
    if cli.trials is not None and cli.search is None:
        raise UserError(f'--trials {cli.trials} needs options to vary, such as --search "optimizer.lr=1e-4:1e-2:log"')
    check_training(cli)


def find_rate(cli: CommandLine, data: DataModule, weights: Weights | None) -> Curve:
    """Raise the learning rate step by step with Lightning's Tuner.

    Args:
        cli: the settings.
        data: the prepared data.
        weights: those that the model starts from.
    """
    model = new_model(cli, data, weights)
    share_features(model, data)
    low, high = LOWEST * model.lr, HIGHEST * model.lr
    with tempfile.TemporaryDirectory(prefix="lightning-nn-") as folder:
        trainer = make_trainer(_unvalidated(cli, folder), None)
        found = Tuner(trainer).lr_find(
            model, datamodule=data, min_lr=low, max_lr=high, num_training=STEPS, update_attr=False
        )
    assert found is not None  # None with fast_dev_run alone
    steps = zip(found.results["lr"], found.results["loss"], strict=False)
    points = [(rate, loss) for rate, loss in steps if math.isfinite(loss)][FIRST:]
    if len(points) < FIRST:
        return Curve(points, None, None)
    suggestion = found.suggestion(skip_begin=FIRST)
    assert suggestion is not None  # of enough losses
    return Curve(points, _rounded(suggestion), _rounded(min(points, key=lambda point: point[1])[0] / 10))


def _unvalidated(cli: CommandLine, folder: str) -> CommandLine:
    """Return the settings of a training that is not validated, has no end of its own, and writes into a folder."""
    return cli.varied(
        {
            "trainer.default_root_dir": folder,
            "trainer.enable_checkpointing": False,
            "trainer.check_val_every_n_epoch": 10**6,
            "trainer.max_epochs": 10**6,
            "trainer.max_steps": -1,
            "trainer.max_time": None,
        }
    )


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")  # as the table and the command show it


def try_rates(cli: CommandLine, data: DataModule, weights: Weights | None, curve: Curve) -> list[ShortRun]:
    """Train for a fifth of the epochs at some rates, until the best has its third and its triple beside it.

    The best by the metric that chooses checkpoints and the best by the loss both count: while a model still guesses,
    accuracy is chance, and the loss shows the way.

    Args:
        cli: the settings.
        data: the prepared data.
        weights: those that the model starts from.
        curve: with rates to try beside that of the settings.

    Returns:
        The runs, by ascending rate.
    """
    now = cli.config.optimizer.lr
    runs: list[ShortRun] = []
    waiting = [now]
    for rate in (curve.tenth, curve.suggested):
        if rate is not None and not any(_near(rate, other) for other in waiting):
            waiting.append(rate)
    while waiting and len(runs) < MOST:
        rate = waiting.pop(0)
        print(f"\nshort run {len(runs) + 1}: learning rate {rate:g}{' (as set)' * (rate == now)}", flush=True)
        runs.append(_short_run(cli, data, weights, rate))
        runs.sort()
        waiting = waiting or untried([best_run(cli, runs), best_run(cli, runs, by_loss=True)], runs)
    return runs


def untried(best: list[ShortRun | None], runs: list[ShortRun]) -> list[float]:
    """Return the third and the triple of the best rates, where no rate near it was tried.

    Args:
        best: of the runs; None if all diverged: a tenth of the lowest rate is next.
        runs: by ascending rate.
    """
    rates = dict.fromkeys(run.lr for run in best if run is not None)
    beside = [_rounded(rate * factor) for rate in rates for factor in (3, 1 / 3)] or [_rounded(runs[0].lr / 10)]
    return [rate for rate in beside if not any(_near(rate, run.lr) for run in runs)]


def _near(rate: float, other: float) -> bool:
    return abs(math.log(rate / other)) < math.log(1.5)


def _short_run(cli: CommandLine, data: DataModule, weights: Weights | None, rate: float) -> ShortRun:
    trainer = cli.config.trainer
    limits = {"max_epochs": trainer.max_epochs, "max_steps": trainer.max_steps}
    short = {f"trainer.{name}": math.ceil(value / SHARE) for name, value in limits.items() if (value or 0) > 0}
    optimizer = vars(cli.objects.optimizer.at(rate))
    start = time.perf_counter()
    metrics: dict[str, float] = {}
    try:
        with trial(cli.varied({**short, **{f"optimizer.{k}": v for k, v in optimizer.items()}}), data, weights) as done:
            metrics = done.statistics.best.metrics
    except DivergedError:
        print("the loss is no longer a finite number", flush=True)
    return ShortRun(rate, metrics, time.perf_counter() - start)


def best_run(cli: CommandLine, runs: list[ShortRun], *, by_loss: bool = False) -> ShortRun | None:
    """Return the run with the best validation; None if all diverged.

    Args:
        cli: the settings.
        runs: some runs.
        by_loss: by val/loss, if there is such a metric, not by the one that chooses checkpoints.
    """
    monitor, mode = (LOSS, "min") if by_loss else monitored(cli)
    ended = [run for run in runs if monitor in run.metrics]
    return max(ended, key=lambda run: rank(run.metrics[monitor], run.metrics.get(LOSS, math.inf), mode), default=None)


def _show(cli: CommandLine, curve: Curve, runs: list[ShortRun]) -> None:
    """Print the rates, what they reached, and the command that uses the best."""
    (monitor, _), now, best = monitored(cli), cli.config.optimizer.lr, best_run(cli, runs)
    shown = list(dict.fromkeys([monitor, LOSS]))
    rows = []
    for run in runs:
        marks = {
            "as set": run.lr == now,
            "suggestion": run.lr == curve.suggested,
            "lowest / 10": run.lr == curve.tenth,
            "best": run is best,
        }
        values = [f"{run.metrics[name]:.4f}" if name in run.metrics else "–" for name in shown]
        remark = ", ".join(mark for mark, applies in marks.items() if applies) if run.metrics else "diverged"
        rows.append((f"{run.lr:g}", *values, f"{run.seconds:.0f}", remark))
    print()
    show_table([("lr", *shown, "seconds", ""), *rows], sys.stdout)
    if curve.suggested is None:
        show_text("Lightning's Tuner suggests no rate: the loss was finite for too few steps", sys.stdout)
    if best is None:
        show_text("all runs diverged: clip gradients, --trainer.gradient_clip_val 1.0, or change the model", sys.stdout)
        return
    if beyond := untried([best], runs):
        show_text(f"after {MOST} runs not tried: {' and '.join(f'{rate:g}' for rate in beyond)}", sys.stdout)
    show_text(
        f"one run of each rate, seed {cli.config.seed_everything}: rates of nearly the same {monitor} are equally good",
        sys.stdout,
    )
    print(f"\ntrain        {command_with(cli, vars(cli.objects.optimizer.at(best.lr)))}")


def command_with(cli: CommandLine, settings: dict[str, Any]) -> str:
    """Return the command that trains with other settings of the optimizer.

    Args:
        cli: the settings of now.
        settings: of the optimizer; those that are as now are left out.
    """
    changed = {f"optimizer.{k}": v for k, v in settings.items() if v != cli.config.optimizer[k]}
    return train_command(cli.request, changed)


def _write(cli: CommandLine, curve: Curve, runs: list[ShortRun], folder: Path) -> None:
    """Write the picture and the table, and print where they are."""
    monitor, _ = monitored(cli)
    best = best_run(cli, runs)
    scores = {run.lr: run.metrics[monitor] for run in runs if monitor in run.metrics}
    image = picture(curve.points, curve.suggested, scores, None if best is None else best.lr, monitor)
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    rows.writerow(["lr", *names, "seconds"])
    rows.writerows([[run.lr, *[run.metrics.get(n, "") for n in names], round(run.seconds, 1)] for run in runs])
    write_atomically(folder / "learning_rate.png", lambda file: file.write(png(image)))
    write_text(folder / "learning_rate.csv", stream.getvalue())
    print(f"picture      {folder / 'learning_rate.png'}\ntable        {folder / 'learning_rate.csv'}")


def largest_batch(cli: CommandLine, data: DataModule, weights: Weights | None) -> str:
    """Double the batch on a GPU until it does not fit, with Lightning's Tuner, and return a line on the result.

    Args:
        cli: the settings.
        data: the prepared data; its batch size is as before afterwards.
        weights: those that the model starts from.
    """
    before = data.batch_size
    if before == "all":
        return "batch size   all samples are one batch already"
    with tempfile.TemporaryDirectory(prefix="lightning-nn-") as folder:
        trainer = make_trainer(_unvalidated(cli, folder), None)
        if not has_own_memory(trainer):
            return "batch size   the largest one is looked for on a GPU alone; this is a CPU"
        try:
            largest = Tuner(trainer).scale_batch_size(
                new_model(cli, data, weights), datamodule=data, init_val=before, max_val=LARGEST
            )
        finally:
            data.batch_size = before
    return (
        f"batch size   the largest that fits is {largest:,}, now {before:,}: --data.batch_size {largest}; "
        "it needs another learning rate, so tune again with it"
    )


def has_own_memory(trainer: Any) -> bool:
    """Return whether a trainer computes on a device that says when its memory is full."""
    return bool(trainer.strategy.root_device.type == "cuda")
