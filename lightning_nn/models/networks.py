"""The classic convolutional networks as modules, and weights of others for them; `backbone` tells of each.

All but mobilenet_v1 are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from lightning_nn.errors import UserError
from lightning_nn.layers.batch_norm import with_batch_norms
from lightning_nn.layers.mobilenet import MobileNetV1, unfolded
from lightning_nn.layers.normalize import IMAGENET_DEVIATION, IMAGENET_MEAN, Normalize
from lightning_nn.runs.weights_file import WeightsFile, download_weights

Network = Literal[
    "alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet34", "resnet50", "squeezenet1_1",
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
]  # fmt: skip


HEADS = ("avgpool", "dropout", "classifier", "fc")  # what follows the last maps begins with


class Form(NamedTuple):
    """Particulars of a network.

    Attributes:
        last_stage: its first layer after the last halving, or the last one but the head's.
        smallest: smallest height and width at which the first two halvings are kept.
        auxiliary: whether it has auxiliary classifiers.
        symmetric: whether its public weights take images scaled to -1 to 1, not ImageNet's mean and deviation.
    """

    last_stage: str
    smallest: int = 33
    auxiliary: bool = False
    symmetric: bool = False


FORMS = {
    "alexnet": Form("features.6"),
    "vgg16": Form("features.24", smallest=0),
    "googlenet": Form("inception5a", auxiliary=True, symmetric=True),
    "inception_v3": Form("Mixed_7a", smallest=75, auxiliary=True, symmetric=True),
    "resnet18": Form("layer4.0"),
    "resnet34": Form("layer4.0"),
    "resnet50": Form("layer4.0"),
    "squeezenet1_1": Form("features.9"),
    "mobilenet_v1": Form("dw.11", symmetric=True),
    "mobilenet_v2": Form("features.14"),
    "mobilenet_v3_small": Form("features.9"),
    "mobilenet_v3_large": Form("features.13"),
}


def make_network(network: Network, num_classes: int, multiplier: float = 1.0) -> nn.Module:
    """Make a network with random weights.

    Raises:
        UserError: the multiplier is not above 0.
    """
    if multiplier <= 0:
        raise UserError(f"multiplier is {multiplier}; it must be above 0")
    if network == "mobilenet_v1":
        return with_batch_norms(MobileNetV1(num_classes, multiplier))
    # Their own start gives inception_v3's logits a deviation of 3; batch norms need no special one.
    options = {"aux_logits": False, "init_weights": False} if FORMS[network].auxiliary else {}
    return with_batch_norms(models.get_model(network, weights=None, num_classes=num_classes, **options))


def top_layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the layers of a network by name: its children, or what is in them if they are plain sequences."""
    found = []
    for name, child in net.named_children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            found += [(f"{name}.{inner}", layer) for inner, layer in child.named_children()]
        else:
            found.append((name, child))
    return found


@torch.no_grad()
def layer_shapes(net: nn.Module, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Compute the shape of the output of each layer for images of a size, in the order of execution.

    Args:
        net: from `make_network`, on any device; on "meta" nothing is computed.
        size: rows and columns.

    Raises:
        RuntimeError: the images are too small.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in top_layers(net)]
    try:
        net.eval()(torch.zeros(1, 3, *size, device=next(net.parameters()).device))
    finally:
        net.train()
        for hook in hooks:
            hook.remove()
    return shapes


def map_shapes(network: Network, size: tuple[int, int], multiplier: float = 1.0) -> dict[str, tuple[int, ...]]:
    """Compute the shape of the maps of each layer of a network; see `layer_shapes`. Nothing is run."""
    with torch.device("meta"):
        shapes = layer_shapes(make_network(network, 1, multiplier), size)
    return {name: shape for name, shape in shapes.items() if not name.startswith(HEADS)}


def keep_pixels(net: nn.Module) -> dict[str, str]:
    """Leave out the first two halvings of a network: convolutions get a stride of 1, a pooling layer goes.

    Returns:
        What was changed, by the name of the module.
    """
    changed: dict[str, str] = {}
    for name, module in list(net.named_modules()):
        if len(changed) == 2:
            break
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            module.stride = (1, 1)
            changed[name] = "stride 1 for small images"
        elif isinstance(module, nn.MaxPool2d):
            net.set_submodule(name, nn.Identity())
            changed[name] = "left out for small images"
    return changed


# ---------------------------------------------------------------------- weights of others


def imagenet_file(network: Network, option: str) -> Path:
    """Find torchvision's file of weights, downloaded unless there.

    Args:
        network: the network.
        option: the option that chooses it, for the error.

    Raises:
        UserError: there is none, or it can't be downloaded.
    """
    if network == "mobilenet_v1":
        raise UserError(f"--finetune imagenet: torchvision has no {network}; use {option} mobilenet_v2, or name a file")
    return download_weights(models.get_model_weights(network).DEFAULT.url)


def form_of_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the multiplier of a mobilenet_v1 by the width of its last convolution; nothing for another network."""
    last = next((each for name, each in weights.items() if name.endswith("pw.12.conv.weight")), None)
    return {"multiplier": len(last) / 1024} if isinstance(last, Tensor) else {}


def network_weights(weights: WeightsFile, network: Network, prefix: str, own: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a network by the names of a model, with the scaling of the images they were trained on.

    Args:
        weights: an open file.
        network: the network.
        prefix: of its names in the model.
        own: the model's state dict; if it has none of the names, there is no scaling either.
    """
    given = unfolded(weights.state_dict) if network == "mobilenet_v1" else dict(weights.state_dict)
    for name in [name for name in given if name.endswith("running_mean")]:
        given.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.zeros((), dtype=torch.int64))
    given = {f"{prefix}{name}": weight for name, weight in given.items()}
    if given.keys().isdisjoint(own):
        return given
    scaling, symmetric = Normalize(3), FORMS[network].symmetric or "2x - 1" in weights.about
    scaling.set(*(([127.5] * 3, [127.5] * 3) if symmetric else (IMAGENET_MEAN, IMAGENET_DEVIATION)))
    return given | {f"normalize.{name}": value for name, value in scaling.state_dict().items()}
