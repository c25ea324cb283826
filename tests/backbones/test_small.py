from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lightning_nn import FCN, BackboneClassifier, ConvNet, UserError
from lightning_nn.backbones.mobilenet import MobileNetV1
from lightning_nn.backbones.small import EMBEDDED, SmallBody, embedded_body
from lightning_nn.backbones.torchvision import STRIDES, Network, network_body
from lightning_nn.data.batches import ImageBatch, MaskBatch
from lightning_nn.models.fcn import BodyName
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile, embedded_weights, open_weights
from lightning_nn.tasks.fine_tuning import FineTune
from tests.commands import command
from tests.contract import check_export

NETWORKS: tuple[Network, ...] = get_args(Network)
SMALL_BODY: Any = {"body": "mobilenet_v1", "multiplier": 0.125}


def saved(model: Any) -> Checkpoint:
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    return Checkpoint.of(content, "one.ckpt")


def images(height: int, width: int, count: int = 2, channels: int = 3) -> MaskBatch:
    return MaskBatch(torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8))


def shapes(body: nn.Module, height: int, width: int) -> list[tuple[int, ...]]:
    return [tuple(each.shape[1:]) for each in body.eval()(torch.zeros(1, 3, height, width, device="meta"))]


def test_every_network_is_a_body() -> None:
    assert {*get_args(BodyName)} == {"small", "embedded", *NETWORKS}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_maps_of_a_network_have_the_strides_they_say(network: Network) -> None:
    with torch.device("meta"):
        body = network_body(network)
    for height, width in ((128, 224), (body.least, 256)):
        expected = [(c, height // s, width // s) for c, s in zip(body.channels, STRIDES, strict=False)]
        assert shapes(body, height, width) == expected
    assert len(expected) == (3 if network == "squeezenet1_1" else 4)
    parameters = {name for name, _ in body.named_parameters()}
    assert all(name.startswith(tuple(f"{layer}." for layer in body.layers)) for name in parameters)
    assert 0 < body.layers.index(body.last_stage) < len(body.layers)


def test_the_maps_of_the_small_body_have_the_strides_they_say() -> None:
    with torch.device("meta"):
        body = SmallBody(3, 4)
    assert shapes(body, 128, 64) == [(12, 32, 16), (16, 16, 8), (24, 8, 4), (32, 4, 2)]


def test_the_embedded_body_is_the_network_of_the_package_without_its_pool() -> None:
    weights = embedded_weights("convnet")
    assert weights.arguments["layers"] == EMBEDDED
    body, model = embedded_body(), ConvNet.from_pretrained()
    body.load_state_dict(model.body.state_dict())
    assert body.layers[-3:] == ["batch_norm5", "conv6", "batch_norm6"] and body.last_stage == "batch_norm5"
    image = torch.rand(1, 3, 64, 96)
    fine, coarse = body.eval()(image)
    assert fine.shape[2:] == (16, 24) and coarse.shape[2:] == (8, 12)
    inner = model.body[:-1](nn.functional.pad(image, body._border, mode="replicate"))
    torch.testing.assert_close(coarse, inner)


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v1", "mobilenet_v2", "squeezenet1_1"])
@torch.no_grad()
def test_a_map_stands_where_its_stride_says(network: Network) -> None:
    """A change in a cell of the image changes the map around this cell."""
    body = network_body(network, 0.125).double().eval()
    wide = torch.zeros(1, 3, 32, 512, dtype=torch.float64)
    wide[..., 256:272] = 1  # covers the cell 16 of stride 16
    at = list(body.strides.values()).index(16)
    empty = body(torch.zeros_like(wide))[at]
    change = (body(wide)[at] - empty).abs().sum((0, 1, 2))
    centre = float((change * (torch.arange(32) * 16 + 7.5)).sum() / change.sum())
    assert abs(centre - 263.5) < 16, centre


@pytest.mark.parametrize("body", ["embedded", "mobilenet_v1", "squeezenet1_1"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (1, 1), (37, 70)])
def test_any_size_gives_a_mask_of_that_size(body: Any, height: int, width: int) -> None:
    model = FCN(3, 4, body=body, multiplier=0.125, stride=8).eval()
    assert model(images(height, width)).shape == (2, 4, height, width)


def test_gray_is_three_equal_colours() -> None:
    gray, colour = FCN(1, 4, **SMALL_BODY).eval(), FCN(3, 4, **SMALL_BODY).eval()
    colour.load_state_dict(gray.state_dict())
    batch = images(32, 40, channels=1)
    assert torch.equal(gray(batch), colour(MaskBatch(batch.image.expand(-1, 3, -1, -1))))
    with pytest.raises(UserError, match="images of 2 channels; the body mobilenet_v1 reads 1 or 3"):
        FCN(2, 4, **SMALL_BODY)


def test_a_last_batch_of_one_small_image_is_trained_on() -> None:
    model = FCN(3, 4, **SMALL_BODY)
    means = model.training_means(images(32, 20, 1)._replace(mask=torch.ones(1, 32, 20, dtype=torch.uint8)))
    means.sums["loss"].backward()
    assert means.sums["loss"].isfinite() and model.training


# ---------------------------------------------------------------------- weights of others


def trained_network() -> MobileNetV1:
    net = MobileNetV1(10, 0.125)
    net(torch.randn(4, 3, 64, 64))
    return net.eval()


def test_weights_of_a_file_give_the_maps_of_its_network(tmp_path: Path) -> None:
    theirs, file = trained_network(), tmp_path / "mobilenet.safetensors"
    save_file(theirs.state_dict(), file)
    model = FCN(3, 4, **SMALL_BODY)
    loaded, kept = model.load_weights(open_weights(file))
    assert not [name for name in kept if name.startswith("body.") and not name.startswith("body.fc")]
    assert {name for name in loaded if name.startswith("normalize.")}
    x = torch.randn(1, 3, 64, 96)
    coarsest = model.body.eval()(x)[-1]
    torch.testing.assert_close(theirs.fc(coarsest.mean((2, 3))), theirs(x))


def test_weights_of_a_trained_classifier_load() -> None:
    for theirs, arguments in (
        (BackboneClassifier(3, 64, 64, 5, "mobilenet_v1", 0.125), SMALL_BODY),
        (ConvNet.from_pretrained(), {"body": "embedded"}),
    ):
        theirs.measure([ImageBatch(images(64, 64).image)])
        model = FCN(3, 4, **arguments, finetune=FineTune("head"))
        loaded, _ = model.load_weights(saved(theirs))
        expected = {f"body.{name}" for name in model.body.state_dict()}
        assert {name for name in loaded if name.startswith("body.")} == expected
        torch.testing.assert_close(model.normalize.mean, theirs.normalize.mean)
        assert model.pretrained


def test_norms_that_lack_weights_are_trained() -> None:
    model = FCN(3, 4, body="embedded")
    assert model.batch_norms() and not [name for name in model.batch_norms() if name.startswith("head.")]
    assert [name for name, each in model.named_modules() if name.startswith("head.") and "BatchNorm" in str(type(each))]


def test_weights_that_fit_nothing_are_not_loaded() -> None:
    weights = WeightsFile(Path("other.pth"), trained_network().state_dict())
    assert not FCN(3, 4).load_weights(weights)[0]
    with pytest.raises(UserError, match=r"torchvision has no mobilenet_v1; use --model.body mobilenet_v2"):
        FCN(3, 4, **SMALL_BODY).imagenet_weights()
    with pytest.raises(UserError, match="no such weights of fcn"):
        FCN(3, 4).imagenet_weights()


def test_the_embedded_network_is_fine_tuned_by_one_command(tmp_path: Path) -> None:
    few = ("--data.train_size", "8", "--data.val_size", "4", "--data.test_size", "4", "--data.size", "32")
    options = ("--model.finetune.trainable", "last_stage", "--model.finetune.body_lr", "0.1")
    argv = ("--model", "fcn", *few, *options, "--finetune", "embedded", "--trainer.max_epochs", "1")
    said = command(*argv, cwd=tmp_path).ok().out
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "frozen" in rows["conv1"] and "rate x 0.1" in rows["conv6"] and rows["head"].split()[-1] == "trained"
    command("--model", "fcn", *few, "--model.body", "alexnet", "--finetune", "embedded", cwd=tmp_path).refused(
        "other names", "not those of alexnet"
    )


@pytest.mark.slow
@pytest.mark.parametrize("body", sorted({*get_args(BodyName)} - {"small"}))
def test_every_body_is_exported(body: Any) -> None:
    check_export(FCN(3, 4, body=body, multiplier=0.25, stride=8).eval(), images(100, 70, 4))
