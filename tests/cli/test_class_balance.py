"""Remarks at the start of a training on rare classes, and the metric that is monitored for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import command, results

LSTM = ("--model", "lstm", "--data", "text")
TINY = ("--data.path", "rare.csv", "--model.hidden_size", "4", "--model.embedding_size", "4", "--name", "r")
TINY += ("--data.min_count", "1", "--trainer.max_epochs", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table of 60 good reviews and 10 bad ones."""
    rows = [f"好,很好的房间{i}" for i in range(60)] + [f"差,很差的房间{i}" for i in range(10)]
    (tmp_path / "rare.csv").write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "monitors"),
    [
        ("", ("val/acc", "val/acc")),
        ("--data.balanced true", ("val/f1", "val/f1")),
        ("--loss.class_weights balanced", ("val/f1", "val/f1")),
        ("--data.balanced true --checkpoint.monitor val/loss", ("val/loss", "val/f1")),
        ("--data.balanced true --early_stopping.mode max", ("val/f1", "val/acc")),
        ("--data.balanced true --checkpoint.monitor val/acc", ("val/acc", "val/f1")),
    ],
)
def test_f1_is_monitored_where_classes_are_weighed(options: str, monitors: tuple[str, str], tmp_path: Path) -> None:
    printed = command(*LSTM, *options.split(), "--print_config", cwd=tmp_path).ok().out
    config: dict[str, Any] = yaml.safe_load(printed)
    assert (config["checkpoint"]["monitor"], config["early_stopping"]["monitor"]) == monitors


def test_rare_classes_are_said_with_the_options_for_them(folder: Path) -> None:
    said = command(*LSTM, *TINY, cwd=folder).ok().out
    assert "classes are imbalanced, 1 to 6: 差 has 8 samples in train, 好 48;" in said, said
    assert "for rare classes: --checkpoint.monitor val/f1 --data.balanced true" in said
    assert "best checkpoint is that of" not in said


def test_a_balanced_run_says_what_it_monitors_and_why_it_stops(folder: Path) -> None:
    argv = (*LSTM, *TINY, "--data.balanced", "true", "--early_stopping.patience", "2", "--trainer.max_epochs", "9")
    done = command(*argv, "--optimizer.lr", "1e-9", cwd=folder).ok()
    assert "so the best checkpoint is that of the highest val/f1 (else: --checkpoint.monitor val/acc)" in done.out
    assert "imbalanced" not in done.out
    kept = results(folder / "logs/lstm/r")
    assert f"stopped early after {kept['epochs']} epochs: val/f1 was best in epoch " in done.err
    assert "and did not improve in the 2 validations since (--early_stopping.patience 2)" in done.err
    resumed = command("fit", "--ckpt_path", "last", "--early_stopping.patience", "3", cwd=folder).ok()
    assert "best checkpoint is that of" not in resumed.out and "in the 3 validations since" in resumed.err
