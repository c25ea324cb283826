"""Every recipe in conf/ parses, changes something, and runs; one of images and one of texts overfit a batch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from lightning_nn import catalog
from lightning_nn.backbones.mobilenet import MobileNetV1
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import find_recipes, parse
from tests.commands import ROOT, command, write_described, write_pictures, write_reviews, write_street

RECIPES = sorted((ROOT / "conf").glob("*.yaml"))
TINY = {
    "text": ("--data.path", "reviews.csv"),
    **dict.fromkeys(("cifar10", "images"), ("--data.path", "pictures")),
    "segmentation": ("--data.path", "street"),
    "captions": ("--data.path", "described/captions.csv", "--data.vocabulary.min_count", "1"),
    **dict.fromkeys(
        ("bulletins", "scenes"), ("--data.train_size", "64", "--data.val_size", "16", "--data.test_size", "16")
    ),
}


def pair(recipe: Path) -> tuple[str, str]:
    """Return model and data set of MODEL.yaml, MODEL-DATA.yaml or MODEL-DATA-VARIANT.yaml."""
    model, data, *_ = [*recipe.stem.split("-"), ""]
    return model, data or catalog.MODELS[model].data


def on_top(recipe: Path) -> list[Path]:
    """List the recipes that this one, given with -c, is given on top of: MODEL-DATA-VARIANT of its own variant."""
    return [file for file in RECIPES if file.stem.count("-") == 2 and recipe.stem.startswith(f"{file.stem}-")]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_runs(recipe: Path, tmp_path: Path) -> None:
    model, data = pair(recipe)
    write_reviews(tmp_path / "reviews.csv")
    write_pictures(tmp_path / "pictures")
    write_street(tmp_path / "street")
    write_described(tmp_path / "described")
    argv = ["--model", model, "--data", data, *TINY.get(data, ())]
    given = [*on_top(recipe), recipe]
    for file in given:
        if file not in find_recipes(model, data):
            argv += ["-c", str(file)]
    if any(
        ((yaml.safe_load(file.read_text(encoding="utf-8")).get("model") or {}).get("finetune") or {}).get("trainable")
        for file in given
    ):
        torch.save(MobileNetV1(10).state_dict(), tmp_path / "weights.pt")  # what is frozen comes from a file
        argv += ["--finetune", "weights.pt"]
    command(*argv, "--trainer.fast_dev_run", "true", cwd=tmp_path).ok()
    assert not list(tmp_path.rglob("*.ckpt")), "a trial run left a checkpoint"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_holds_only_what_differs_from_what_it_stands_on(recipe: Path) -> None:
    model, data = pair(recipe)
    under = [file for file in find_recipes(model, data) if recipe.stem.startswith(f"{file.stem}-")] + on_top(recipe)
    line = CommandLine(parse(["--model", model, "--data", data]), model, data, recipes=under)
    code = {key: value for key, value in line.config.items() if not key.startswith("config")}
    said = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    same = [key for key, value in _flat(said).items() if code[key] == value]
    assert not same, f"{recipe.name} repeats the defaults of {same}"


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


# The contract has every model overfit a batch; a command passes on the same option whatever the model.
OVERFIT = {
    "convnet": "",
    "han": (
        "--data text --data.path reviews.csv --data.vocabulary.segmenter chars --optimizer.lr 0.01 "
        "--model.embedding_size 32 --model.hidden_size 24"
    ),
}


@pytest.mark.parametrize("model", OVERFIT)
def test_overfits_one_batch(model: str, tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    argv = ["--model", model, "--name", "r", "--trainer.overfit_batches", "1", "--trainer.max_epochs", "60"]
    argv += ["--data.batch_size", "8", "--trainer.enable_progress_bar", "false"]
    argv += ["--trainer.limit_val_batches", "0", "--trainer.enable_checkpointing", "false"]
    command("fit", *argv, *shlex.split(OVERFIT[model]), cwd=tmp_path).ok()
    events = EventAccumulator(str(tmp_path / "logs" / model / "r"))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert losses[-1] < 0.05, f"training loss {losses[0]:.3f} at the start, {losses[-1]:.3f} at the end"
