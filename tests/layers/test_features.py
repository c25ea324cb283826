from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_nn.errors import UserError
from lightning_nn.layers.features import Features, activations, deep_layer, first_of_stages, vgg


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.GELU()), nn.Flatten(), nn.Linear(6, 2), nn.ReLU(),
    )  # fmt: skip


def test_activations_are_named_by_kind_stage_and_number() -> None:
    assert activations(network()) == {"relu1_1": (1, 1), "relu1_2": (3, 1), "gelu3_1": (6, 3)}
    assert first_of_stages(network()) == ["relu1_1", "gelu3_1"]
    assert deep_layer(network()) == "gelu3_1"


def test_values_are_those_of_the_network_which_is_cut_and_frozen() -> None:
    net, image = network(), torch.randn(2, 3, 8, 8)
    expected = net[3](net[2](net[1](net[0](image))))
    features = Features(net, ["relu1_2", "relu1_1"])
    found = features(image)
    assert list(found) == ["relu1_1", "relu1_2"] and len(features.layers) == 4
    torch.testing.assert_close(found["relu1_2"], expected)
    assert not any(p.requires_grad for p in features.parameters()) and not features.training


def test_pooling_by_means() -> None:
    chain = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())
    image = torch.rand(1, 3, 4, 4)
    found = Features(chain, ["relu2_1"], "average")(image)["relu2_1"]
    torch.testing.assert_close(found, nn.functional.avg_pool2d(image, 2))


def test_an_unknown_layer_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="no layer 'relu1_3'; did you mean 'relu1_"):
        Features(network(), ["relu1_3"])


def test_the_weights_of_the_first_layers_of_a_vgg_are_enough() -> None:
    shapes = {0: (4, 3), 2: (4, 4), 5: (6, 4)}
    weights = {f"features.{i}.weight": torch.randn(*shape, 3, 3) for i, shape in shapes.items()}
    weights |= {f"features.{i}.bias": torch.randn(shape[0]) for i, shape in shapes.items()}
    chain = vgg(weights)
    assert [type(layer).__name__ for layer in chain] == [
        "Conv2d",
        "ReLU",
        "Conv2d",
        "ReLU",
        "MaxPool2d",
        "Conv2d",
        "ReLU",
    ]
    assert list(activations(chain)) == ["relu1_1", "relu1_2", "relu2_1"]
    with pytest.raises(UserError, match="not the weights of a VGG"):
        vgg({"fc.weight": torch.zeros(2, 2)})


def test_memory_grows_with_the_layers() -> None:
    few, more = (Features(network(), [name]).values_per_pixel()[0] for name in ("relu1_1", "relu1_2"))
    assert 3 <= few < more
