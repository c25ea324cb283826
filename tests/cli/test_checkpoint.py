"""The file of a checkpoint: opened once per command; it holds each setting once, and every state has an owner."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

from tests.commands import command, write_reviews

SOFTMAX = ("--model", "softmax", "--model.hidden", "[8]", "--data.batch_size", "128")
HAN = (
    "--model han --data text --data.path reviews.csv --data.batch_size 8 --model.embedding_size 8 "
    "--model.hidden_size 4 --model.attention_size 4"
)
COMMON = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--name", "r")
VERBS = {
    "resume": ("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2"),
    "validate": ("validate", "--ckpt_path", "last"),
    "test": ("test", "--ckpt_path", "last"),
    "predict": ("predict", "--ckpt_path", "last", "--data.file", "a.png"),
    "finetune": ("fit", *SOFTMAX, "--finetune", "last", "--trainer.max_epochs", "1", "--name", "tuned"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train a run `r` of each model, and return its folder by model."""
    made = {}
    for model, options in {"softmax": SOFTMAX, "han": HAN.split()}.items():
        cwd = made[model] = tmp_path_factory.mktemp(model)
        write_reviews(cwd / "reviews.csv")
        command(*options, *COMMON, cwd=cwd).ok()
    return made


@pytest.fixture
def copy(whole: dict[str, Path], tmp_path: Path) -> Path:
    """Copy the finished run of softmax."""
    return Path(shutil.copytree(whole["softmax"], tmp_path / "copy"))


@pytest.mark.parametrize("verb", VERBS)
def test_a_checkpoint_is_opened_once_a_command(verb: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (8, 8), 200).save(copy / "a.png")
    opened: list[Path] = []
    load = torch.load

    def counted(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(Path(file))
        return load(file, *args, **kwargs)

    monkeypatch.setattr(torch, "load", counted)
    command(*VERBS[verb], cwd=copy).ok()
    assert [path.name for path in opened] == ["last.ckpt"]


def test_every_state_of_a_callback_finds_its_owner_in_a_resumed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning keys states by the class's name, and only warns if no callback claims one."""
    own = "--trainer.callbacks+=pytorch_lightning.callbacks.ModelCheckpoint"
    command(*SOFTMAX, "--early_stopping.patience", "5", own, *COMMON, cwd=tmp_path).ok()
    kept = torch.load(tmp_path / "logs/softmax/r/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    owners: set[str] = set()
    fit = Trainer.fit

    def watched(trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        owners.update(callback.state_key for callback in trainer.callbacks)  # type: ignore[attr-defined]
        fit(trainer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "fit", watched)
    command(*VERBS["resume"], own, cwd=tmp_path).ok()
    assert len(kept) >= 5, f"only {list(kept)} have a state"
    assert not kept.keys() - owners


def test_each_setting_is_kept_once(whole: dict[str, Path]) -> None:
    content = torch.load(whole["han"] / "logs/han/r/checkpoints/last.ckpt", weights_only=True)
    mine = content["lightning_nn"]
    assert mine.keys() >= {"format", "model", "processor", "settings", "run"}
    assert (mine["format"], mine["model"], mine["run"]["data"]) == (1, "han", "text")
    groups = {*mine["settings"], *mine["run"]}
    assert groups == {
        "optimizer",
        "lr_scheduler",
        "loss",
        "data",
        "trainer",
        "checkpoint",
        "early_stopping",
        "seed_everything",
    }
    assert "hidden_size" in content["hyper_parameters"] and "path" in content["datamodule_hyper_parameters"]
    assert "hidden_size" not in str(mine["run"]) and "reviews.csv" not in str(mine)
