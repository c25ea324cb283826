"""The length of a training on few documents: more epochs than the recipe has, unless the person says how many."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.commands import command, write_reviews, write_street

SMALL = "fit --model lstm --data text --data.path reviews.csv --model.embedding_size 4 --model.hidden_size 4 --name run"


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ("", 12),  # at most four times the recipe's three
        ("--trainer.max_epochs 3", 3),
        ("--trainer.max_epochs 2", 2),
        ("--trainer.max_steps 4", 3),
        ("--data.batch_size all", 3),
    ],
)
def test_few_documents_are_read_more_often_than_the_recipe_says(tmp_path: Path, options: str, epochs: int) -> None:
    write_reviews(tmp_path / "reviews.csv")
    said = command(*f"{SMALL} {options} --trainer.enable_progress_bar false".split(), cwd=tmp_path).ok().out
    assert ("12 epochs instead of the 3 of the recipe" in said) == (epochs == 12)
    saved = yaml.safe_load((tmp_path / "logs/lstm/run/config.yaml").read_text(encoding="utf-8"))
    assert saved["trainer"]["max_epochs"] == epochs


def test_few_masks_are_seen_more_often_than_the_recipe_says(tmp_path: Path) -> None:
    write_street(tmp_path / "street")
    argv = "fit --model fcn --data segmentation --data.path street --model.first_channels 1 --name run"
    quick = ("--trainer.logger", "false", "--trainer.enable_progress_bar", "false", "--trainer.limit_val_batches", "1")
    said = command(*argv.split(), *quick, cwd=tmp_path).ok().out
    assert "40 epochs instead of the 10 of the recipe" in said
