from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nn import ConvNet
from lightning_nn.backbones.feature_network import feature_network
from lightning_nn.errors import UserError
from lightning_nn.layers.features import Features, activations
from tests.contract import trainer


def checkpoint(folder: Path, **arguments: Any) -> str:
    run = trainer(folder)
    run.strategy.connect(ConvNet(num_classes=2, height=16, width=16, **arguments))
    run.save_checkpoint(folder / "net.ckpt", weights_only=True)
    return str(folder / "net.ckpt")


def vgg(folder: Path, *channels: int) -> str:
    """Weights of the convolutions of one stage; each takes as many channels as the one before should have made."""
    pairs = zip((3, *channels[1:]), channels, strict=False)
    weights = {f"features.{2 * i}.weight": torch.randn(out, into, 3, 3) for i, (into, out) in enumerate(pairs)}
    weights |= {name.replace("weight", "bias"): torch.zeros(len(each)) for name, each in weights.items()}
    torch.save(weights, folder / "vgg.pt")
    return str(folder / "vgg.pt")


def test_a_network_that_takes_no_colours_is_refused_in_a_line(tmp_path: Path) -> None:
    gray = checkpoint(tmp_path, channels=1, layers=["conv 4 3", "relu", "flatten"])
    with pytest.raises(UserError, match=r"net\.ckpt: its layers take no picture of 3 channels"):
        feature_network(gray)


def test_channels_that_contradict_each_other_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vgg\.pt: its layers take no picture of 3 channels"):
        feature_network(vgg(tmp_path, 4, 6))


def test_a_network_without_activations_is_refused_in_a_line(tmp_path: Path) -> None:
    linear = checkpoint(tmp_path, channels=3, layers=["conv 4 3", "flatten"])
    with pytest.raises(UserError, match="no activation comes before its first fully connected layer"):
        feature_network(linear)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_without_a_network_the_message_says_where_weights_go(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=rf"can't download https://.*{name}.*: get {name}-\w+.pth another way and put it"
    ):
        feature_network(name)


def test_the_smallest_side_is_the_smallest_that_works() -> None:
    network = Features(feature_network("embedded"), activations(feature_network("embedded")))
    side = network.smallest_side()
    network(torch.zeros(1, 3, side, side))
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, side - 1, 64))
