"""A study of options: how `--search` is read, what it trains, and how it goes on after a stop."""

from __future__ import annotations

import csv
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from lightning_nn import UserError
from lightning_nn.cli import study as module
from lightning_nn.cli.search_space import Dimension, parse_search, typed
from tests.commands import command

OPTIONS = ["model.dropout", "optimizer.lr", "optimizer.name", "data.batch_size", "data.seed", "trainer.max_epochs"]
MODEL = ["tune", "--model", "softmax", "--data", "digits"]
DIGITS = [*MODEL, "--trainer.max_epochs", "3", "--trainer.enable_progress_bar", "false"]
SEARCH = "optimizer.lr=1e-2:1:log, optimizer.momentum=0:0.95,data.batch_size=64|128"


def test_ranges_and_choices_are_read() -> None:
    text = "model.dropout=0:0.5, --optimizer.lr=1e-4:1e-2:log,optimizer.name=adam|sgd,data.batch_size=16:256:log"
    dropout, lr, name, size = parse_search(text)
    assert dropout == Dimension("model.dropout", 0, 0.5) and lr == Dimension("optimizer.lr", 1e-4, 1e-2, True)
    assert name == Dimension("optimizer.name", choices=("adam", "sgd"))
    assert size == Dimension("data.batch_size", 16, 256, True) and isinstance(size.low, int)
    assert str(lr) == "optimizer.lr=0.0001:0.01:log" and str(name) == "optimizer.name=adam|sgd"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected NAME=LOW:HIGH"),
        ("model.dropout", "model.dropout: expected"),
        ("model.dropout=", "expected"),
        ("model.dropout=0.5", "expected"),
        ("model.dropout=0:0.5:log:1", "expected"),
        ("model.dropout=0:0.5:exp", "expected"),
        ("model.dropout=a:b", "no numbers"),
        ("model.dropout=0.5:0.1", "must be below"),
        ("model.dropout=0:inf", "finite"),
        ("model.dropout=0:0.5:log", "begins above 0"),
        ("optimizer.name=adam|", "empty or comes twice"),
        ("optimizer.name=adam|adam", "empty or comes twice"),
        ("optimizer.lr=1:2,optimizer.lr=2:3", "names optimizer.lr twice"),
    ],
)
def test_another_form_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_search(text)


def test_ends_get_the_type_of_the_option() -> None:
    whole = typed(Dimension("model.dropout", 0, 1), OPTIONS, 0.5)
    assert isinstance(whole.low, float) and isinstance(whole.high, float)
    assert isinstance(typed(Dimension("data.batch_size", 16, 64), OPTIONS, 32).low, int)
    for dimension, present, words in (
        (Dimension("data.batch_size", 0.5, 64), 32, "a whole number"),
        (Dimension("optimizer.name", 0, 1), "adam", r"list values: optimizer.name=A\|B"),
        (Dimension("optimizer.learning_rate", 0, 1), None, "did you mean 'optimizer.lr'"),
        (Dimension("data.seed", 0, 9), 0, "a seed is nothing to choose"),
    ):
        with pytest.raises(UserError, match=words):
            typed(dimension, OPTIONS, present)


def test_present_settings_are_recognised() -> None:
    assert Dimension("data.balanced", choices=("true", "false")).holds(False)
    assert Dimension("model.dropout", 0.0, 0.5).holds(0.5) and not Dimension("model.dropout", 0.0, 0.5).holds(None)


def test_without_optuna_its_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = command(*DIGITS, "--search", SEARCH, cwd=tmp_path).refused('pip install -e ".[tune]"')
    assert len(result.err.strip().splitlines()) == 1 and not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--trials", "3"), ("--trials 3", "--search")),
        (("--trials", "0", "--search", SEARCH), ("--trials is 0",)),
        (("--search", "optimizer.lr=1:2,optimizer.momentum=0:1.5"), ("--optimizer.momentum is 1.5",)),
        (("--search", "optimizer.name=sgd|adom"), ("--optimizer.name", "adom")),
    ],
)
def test_slips_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: name)
    command(*DIGITS, *argv, cwd=tmp_path).refused(*words)


def test_a_study_is_stopped_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="the study itself is Optuna's")
    train, count = module.trial, 0

    class CtrlC(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            raise KeyboardInterrupt

    @contextmanager
    def stopped_in_the_third(cli: Any, data: Any, weights: Any, callbacks: list[pl.Callback]) -> Iterator[Any]:
        nonlocal count
        count += 1
        with train(cli, data, weights, [*callbacks, *[CtrlC()] * (count == 3)]) as done:
            yield done

    monkeypatch.setattr(module, "trial", stopped_in_the_third)
    argv = (*DIGITS, "--search", SEARCH, "--trials", "9")
    handler = signal.getsignal(signal.SIGINT)
    first = command(*argv, cwd=tmp_path)
    signal.signal(signal.SIGINT, handler)  # Lightning ignores a second Ctrl-C
    assert first.code == 130 and "continue with: " in first.err and "2 trials: 2 ended" in first.out
    stopped = next(line for line in first.out.splitlines() if line.startswith("trial 3 of 9"))
    second = command(*argv, cwd=tmp_path).ok()
    assert stopped in second.out.splitlines(), "the interrupted trial is trained again"
    assert "trial 2 of 9" not in second.out and "trial 9 of 9" in second.out
    folder = tmp_path / "logs/tune/softmax-digits"
    with (folder / "trials.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9 and {row["data.batch_size"] for row in rows} == {"64", "128"}
    assert rows[0]["optimizer.lr"] == "0.1" and "as set" in second.out, "the settings themselves are the first trial"
    best = max((row for row in rows if row["outcome"] == "ended"), key=lambda row: float(row["val/acc"]))
    words = shlex.split(next(line for line in second.out.splitlines() if line.startswith("train  ") and "--" in line))
    assert float(words[words.index("--optimizer.lr") + 1]) == float(best["optimizer.lr"])
    assert not {"tune", "--search", "--trials", SEARCH} & {*words}
    command(*argv, "--optimizer.weight_decay", "0.1", cwd=tmp_path).refused("other settings (optimizer)", "--name")
    count = 10
    assert "trial 1" not in command(*argv, cwd=tmp_path).ok().out, "nine are done"


def test_poor_trials_are_pruned_and_diverged_ones_are_passed_over(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the study itself is Optuna's")
    argv = (*DIGITS, "--search", "optimizer.lr=1e-6:1e37:log", "--trials", "12")
    result = command(*argv, cwd=tmp_path).ok()
    counts = next(line for line in result.out.splitlines() if line.startswith("12 trials"))
    assert " 0 pruned" not in counts and " 0 diverged" not in counts
