"""Files of tensors: opened without running code, downloaded whole or not at all."""

from __future__ import annotations

import gc
import hashlib
import warnings
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from safetensors.torch import save_file
from torch import nn

from lightning_nn import ConvNet, Digits
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile, download_weights, open_weights, save_weights


def test_a_state_dict_and_safetensors_hold_the_same(tmp_path: Path) -> None:
    weights = nn.Linear(3, 2).state_dict()
    torch.save(weights, tmp_path / "a.pth")
    save_file(weights, tmp_path / "a.safetensors", {"about": "of somebody", "licence": "MIT"})
    one, other = open_weights(tmp_path / "a.pth"), open_weights(tmp_path / "a.safetensors")
    assert isinstance(one, WeightsFile) and isinstance(other, WeightsFile)
    assert one.state_dict.keys() == other.state_dict.keys() == weights.keys()
    assert all(torch.equal(one.state_dict[name], other.state_dict[name]) for name in weights)
    assert (one.about, set(other.about.split())) == ("", {"of", "somebody", "MIT"})


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_is_missing_or_damaged(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"no checkpoint at .*{name}"):
        open_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00" * 50)
    with pytest.raises(UserError, match=rf"{name} is damaged or no"):
        open_weights(tmp_path / name)


def test_a_module_that_could_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "a.pth")
    with pytest.raises(UserError, match="could run code"):
        open_weights(tmp_path / "a.pth")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


def test_a_file_is_downloaded_once(tmp_path: Path, hub: Path) -> None:
    digits = hashlib.sha256(b"weights").hexdigest()[:8]
    source = tmp_path / f"net-{digits}.pth"
    source.write_bytes(b"weights")
    assert download_weights(source.as_uri()) == hub / source.name
    source.unlink()
    assert download_weights(source.as_uri()).read_bytes() == b"weights"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/net-0123abcd.pth", "FOLDER/net-0123abcd.pth"])
def test_a_file_that_can_not_be_downloaded_says_where_to_put_it(tmp_path: Path, hub: Path, url: str) -> None:
    (tmp_path / "net-0123abcd.pth").write_bytes(b"other content than the name says")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # torch 2.6 does not close what it could not check
        with pytest.raises(
            UserError, match=r"can't download .*: get net-0123abcd.pth another way and put it into"
        ) as error:
            download_weights(url.replace("FOLDER", tmp_path.as_uri()))
        error.value.__cause__ = error.value.__context__ = None
        gc.collect()
    assert str(hub) in str(error.value) and "\n" not in str(error.value)
    assert not list(hub.iterdir()), "half a file stays"


NET = ["conv 4 3", "batch_norm", "relu", "max_pool 2", "flatten"]


def test_a_model_comes_back_in_half_precision_with_its_processor(tmp_path: Path) -> None:
    data = Digits()
    model = ConvNet(1, 8, 8, 10, layers=NET)
    trainer = Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    file = tmp_path / "one.safetensors"
    save_weights(Checkpoint.open(tmp_path / "one.ckpt"), file, {"test/acc": "0.9"})
    opened = open_weights(file)
    assert isinstance(opened, Checkpoint)
    loaded = ConvNet.from_checkpoint(opened)
    batch = data.sources["test"][torch.arange(20).numpy()]
    torch.testing.assert_close(loaded(batch), model.eval()(batch), rtol=0.01, atol=0.01)
    assert loaded.require_processor().categories == data.categories
    assert all(value.dtype == torch.float32 for value in loaded.parameters())
    with pytest.raises(UserError, match="weights only, no run"):
        _ = opened.progress
