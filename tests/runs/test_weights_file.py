"""Weights without a run: what is written is read, and what is not ours is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from safetensors.torch import save_file

from lightning_nn import ConvNet, Digits
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import open_weights, save_weights

NET = ["conv 4 3", "batch_norm", "relu", "max_pool 2", "flatten"]


def test_a_model_comes_back_in_half_precision_with_its_processor(tmp_path: Path) -> None:
    data = Digits()
    model = ConvNet(1, 8, 8, 10, layers=NET)
    trainer = Trainer(max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    file = tmp_path / "one.safetensors"
    save_weights(Checkpoint.open(tmp_path / "one.ckpt"), file, {"test/acc": "0.9"})
    opened = open_weights(file)
    loaded = ConvNet.from_checkpoint(opened)
    batch = data.sources["test"][torch.arange(20).numpy()]
    torch.testing.assert_close(loaded(batch), model.eval()(batch), rtol=0.01, atol=0.01)
    assert loaded.require_processor().categories == data.categories
    assert all(value.dtype == torch.float32 for value in loaded.parameters())
    with pytest.raises(UserError, match="weights only, no run"):
        _ = opened.progress


def test_what_is_not_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights at"):
        open_weights(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "theirs.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 100)
    for name in ("theirs", "damaged"):
        with pytest.raises(UserError, match=f"{name}.safetensors holds no weights of lightning_nn"):
            open_weights(tmp_path / f"{name}.safetensors")
