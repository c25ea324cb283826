"""A study of settings by Optuna: trainings with values of some options, poor ones ended early.

Optuna proposes values by a tree-structured Parzen estimator (Bergstra et al. 2011) and a training ends at a validation
that is worse than the median of the others at that point (Akiba et al. 2019, "Optuna: a next-generation hyperparameter
optimization framework"). Each trial is in a journal as soon as it is known, so that a study that was stopped goes on.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_nn.cli.console import show_table, show_text
from lightning_nn.cli.factory import check_training, make_data, share_features
from lightning_nn.cli.parser import CommandLine, full_names
from lightning_nn.cli.search_space import Dimension, parse_search, typed, written
from lightning_nn.cli.trial import Weights, monitored, new_model, train_command, trial
from lightning_nn.cli.verbs import program
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.run_folder import Run
from lightning_nn.tasks.training import DivergedError

TRIALS = 20
_SHOWN = 8  # trials in the table
_DIGITS = 3  # of a value, so that the command shows what was trained


class Pruning(pl.Callback):
    """Reports each validation to a study, and ends a training that the study gives up.

    Args:
        asked: trial of the study.
        monitor: metric that it compares.

    Attributes:
        gave_up: whether it ended the training.
    """

    def __init__(self, asked: Any, monitor: str) -> None:
        self._asked, self._monitor = asked, monitor
        self._validations = 0
        self.gave_up = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the metric."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.global_step:
            return
        self._validations += 1
        if self._monitor in trainer.callback_metrics:
            self._asked.report(float(trainer.callback_metrics[self._monitor]), self._validations)
            if self._asked.should_prune():
                self.gave_up = trainer.should_stop = True


def search_space(cli: CommandLine) -> list[Dimension]:
    """Return the options that `--search` names, checked against the settings; Optuna must be installed.

    Raises:
        UserError: it is not, or an option or one of its values is wrong.
    """
    assert cli.search is not None
    if find_spec("optuna") is None:
        raise UserError('--search needs Optuna: pip install -e ".[tune]", or pip install optuna')
    if cli.trials is not None and cli.trials < 1:
        raise UserError(f"--trials is {cli.trials}; it must be 1 or above")
    space = []
    for dimension in parse_search(cli.search):
        (word,) = full_names([f"--{dimension.name}"], cli.options)
        dimension = dimension._replace(name=word.removeprefix("--"))
        space.append(typed(dimension, cli.options, cli.config.get(dimension.name)))
    for dimension in space:
        for end in dimension.ends:
            check_training(with_values(cli, {dimension.name: end}))
    return space


def with_values(cli: CommandLine, values: dict[str, Any]) -> CommandLine:
    """Return the settings with values of some options, checked as if the command line gave them."""
    words = [f"--{name}={value}" for name, value in values.items()]
    request = cli.request._replace(rest=[*cli.request.rest, *words])
    parsed = CommandLine(request, cli.model_name, cli.data_name).config
    optimizer = vars(parsed.optimizer)  # whole: a recipe's settings that another optimizer lacks are left out
    return cli.varied(
        {**{f"optimizer.{k}": v for k, v in optimizer.items()}, **{name: parsed[name] for name in values}}
    )


def run_study(cli: CommandLine, data: DataModule, weights: Weights | None, space: list[Dimension], folder: Path) -> int:
    """Train trial after trial, those of earlier calls included, and show the best.

    Args:
        cli: the settings.
        data: the prepared data.
        weights: those that each model starts from.
        space: options to vary.
        folder: of the journal.

    Returns:
        The exit code.

    Raises:
        UserError: the journal is of other settings, or another process works on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.claim()
    study = _opened(cli, data, space, folder / "study.journal")
    if not any(dimension.name.startswith(("model.", "data.")) for dimension in space):
        share_features(new_model(cli, data, weights), data)
    trials, code = cli.trials or TRIALS, 0
    try:
        while (done := len(_finished(study))) < trials:
            _run_trial(study, cli, data, weights, space, f"trial {done + 1} of {trials}")
    except KeyboardInterrupt:
        print(f"\nstopped; continue with: {program()} {shlex.join(cli.request.argv)}", file=sys.stderr)
        code = 130
    _show(study, cli, space, folder)
    run.release()
    return code


def _opened(cli: CommandLine, data: DataModule, space: list[Dimension], journal: Path) -> Any:
    """Open the study in a journal, or begin one with the settings as they are.

    Raises:
        UserError: the journal is of other settings or other samples, or can't be read.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    remedy = "name another study, --name NAME, or remove the file"
    _, mode = monitored(cli)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="study",
            direction="maximize" if mode == "max" else "minimize",
            load_if_exists=True,
        )
    except (ValueError, KeyError, AssertionError, TypeError) as error:
        raise UserError(f"{journal} can't be read ({error}): {remedy}") from None
    settings = json.loads(
        json.dumps({**cli.settings(), "search": sorted(map(str, space)), "samples": data.digest(["train", "val"])})
    )
    known = study.user_attrs.get("settings")
    if known is None:
        study.set_user_attr("settings", settings)
        present = {dimension.name: cli.config[dimension.name] for dimension in space}
        if all(dimension.holds(present[dimension.name]) for dimension in space):
            study.enqueue_trial({d.name: written(v) if d.choices else v for d in space for v in [present[d.name]]})
    elif known != settings:
        other = next(name for name in settings if known.get(name) != settings[name])
        raise UserError(f"{journal} is of a study with other settings ({other}): {remedy}")
    for left in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):  # it was stopped in these
        study.enqueue_trial(left.params)
        study.tell(left.number, state=optuna.trial.TrialState.FAIL)
    study.sampler = optuna.samplers.TPESampler(seed=_seed(cli) + len(study.trials))
    study.pruner = optuna.pruners.MedianPruner()
    return study


def _seed(cli: CommandLine) -> int:
    return int(cli.config.seed_everything) % 2**31


def _finished(study: Any) -> list[Any]:
    return [each for each in study.trials if each.state.name in ("COMPLETE", "PRUNED")]


def _run_trial(
    study: Any, cli: CommandLine, data: DataModule, weights: Weights | None, space: list[Dimension], title: str
) -> None:
    """Train once with values that the study proposes."""
    import optuna

    asked = study.ask()
    values = {dimension.name: _value(asked, dimension) for dimension in space}
    print(f"\n{title}: {', '.join(f'{name} {value}' for name, value in values.items())}", flush=True)
    monitor, _ = monitored(cli)
    pruning, start, metrics = Pruning(asked, monitor), time.perf_counter(), {}
    try:
        varied = with_values(cli, values)
        with trial(varied, _data(varied, data, values), weights, [pruning]) as done:
            metrics = done.statistics.best.metrics
        outcome = "pruned" if pruning.gave_up else "ended"
    except DivergedError:
        outcome = "diverged"
    except Exception:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
        raise
    seconds = round(time.perf_counter() - start, 1)
    asked.set_user_attr("run", {"values": values, "outcome": outcome, "metrics": metrics, "seconds": seconds})
    if outcome == "ended" and math.isfinite(metrics.get(monitor, math.nan)):
        study.tell(asked, metrics[monitor])
    else:
        study.tell(asked, state=optuna.trial.TrialState.PRUNED)
    print(f"{outcome}, {monitor} {metrics.get(monitor, math.nan):.4f}", flush=True)


def _value(asked: Any, dimension: Dimension) -> Any:
    """Return the value of an option that a trial proposes."""
    if dimension.choices:
        return asked.suggest_categorical(dimension.name, dimension.choices)
    suggest: Callable[..., Any] = asked.suggest_int if isinstance(dimension.low, int) else asked.suggest_float
    value = suggest(dimension.name, dimension.low, dimension.high, log=dimension.log)
    return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


def _data(cli: CommandLine, data: DataModule, values: dict[str, Any]) -> DataModule:
    """Return the data of a trial: the data itself unless options of it are varied.

    Raises:
        UserError: they change the samples of validation.
    """
    varied = [name for name in values if name.startswith("data.")]
    if not varied:
        return data
    other = make_data(cli)
    other.prepare_once()
    if len(other.sources.get("val", ())) != len(data.sources["val"]):
        raise UserError(
            f"--search {', '.join(varied)} changes the samples of validation, so that trials can't be compared: "
            "leave it out"
        )
    return other


def _show(study: Any, cli: CommandLine, space: list[Dimension], folder: Path) -> None:
    """Print the best trials and the command that trains with the best values, and write all of them to a table."""
    monitor, mode = monitored(cli)
    runs = [(number, each.user_attrs["run"]) for number, each in enumerate(_finished(study), 1)]
    sign = -1 if mode == "max" else 1
    ended = [(number, run) for number, run in runs if run["outcome"] == "ended" and monitor in run["metrics"]]
    ended.sort(key=lambda entry: sign * entry[1]["metrics"][monitor])
    present = {dimension.name: cli.config[dimension.name] for dimension in space}
    rows = []
    for number, run in ended[:_SHOWN]:
        values = run["values"]
        shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values.values()]
        same = all(written(present[name]) == written(value) for name, value in values.items())
        rows.append((str(number), f"{run['metrics'][monitor]:.4f}", *shown, "as set" * same))
    counts = {name: sum(run["outcome"] == name for _, run in runs) for name in ("ended", "pruned", "diverged")}
    print(f"\n{len(runs)} trials: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    _write(runs, folder / "trials.csv")
    if ended:
        show_table([("trial", monitor, *[dimension.name for dimension in space], ""), *rows], sys.stdout)
        show_text(
            f"the best of {len(ended)} by the same validation looks better than it is: its test tells", sys.stdout
        )
        print(f"\ntrain        {train_command(cli.request, ended[0][1]['values'])}")
    print(f"table        {folder / 'trials.csv'}\njournal      {folder / 'study.journal'}")


def _write(runs: list[tuple[int, dict[str, Any]]], file: Path) -> None:
    names = list(dict.fromkeys(name for _, run in runs for name in run["metrics"]))
    options = list(runs[0][1]["values"]) if runs else []
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["trial", "outcome", *names, *options, "seconds"])
    for number, run in runs:
        metrics = [run["metrics"].get(name, "") for name in names]
        rows.writerow([number, run["outcome"], *metrics, *run["values"].values(), run["seconds"]])
    write_text(file, stream.getvalue())
