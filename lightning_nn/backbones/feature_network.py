"""The frozen networks whose activations represent the content and the style of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nn import catalog
from lightning_nn.errors import UserError
from lightning_nn.layers.features import PROBE, Features, activations, vgg
from lightning_nn.layers.images import IMAGENET_DEVIATION, IMAGENET_MEAN, Normalize
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile, download_weights, embedded_weights, open_weights


def feature_network(name: str) -> nn.Sequential:
    """Load a network as a chain of layers that takes float images of 0 to 255.

    Args:
        name: embedded, the network that is part of the package; vgg16 or vgg19, downloaded by torchvision; or a file: a
            checkpoint of a convnet, or the weights of a VGG without batch normalisation, or of its first layers.

    Raises:
        UserError: there is no such file, it can't be downloaded, or it holds another network, or one of gray images.
    """
    if name == "embedded":
        return _own(embedded_weights("convnet"))
    if name in ("vgg16", "vgg19"):
        from torchvision import models  # type: ignore[import-untyped]

        name = str(download_weights(models.get_model_weights(name).DEFAULT.url))
    weights = open_weights(Path(name).expanduser())
    network = _own(weights) if isinstance(weights, Checkpoint) else _of_imagenet(weights)
    if not (named := activations(network)):
        raise UserError(f"{weights.path}: no activation comes before its first fully connected layer")
    try:
        with torch.no_grad():
            Features(network, named)(torch.zeros(1, 3, PROBE, PROBE))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{weights.path}: its layers take no picture of 3 channels ({reason})") from None
    return network


def _own(checkpoint: Checkpoint) -> nn.Sequential:
    """Return the layers of a model of ours that is a chain of them."""
    if checkpoint.model != "convnet":
        raise UserError(
            f"{checkpoint.path} holds the model {checkpoint.model!r}; features come from a convnet or a VGG"
        )
    made: Any = catalog.MODELS["convnet"].load().from_checkpoint(checkpoint)
    return _painted(made.normalize, *made.body)


def _painted(scaling: Normalize, *layers: nn.Module) -> nn.Sequential:
    """Chain layers, for pictures of 0 to 255."""
    scaling.white = 255.0
    return nn.Sequential(scaling, *layers)


def _of_imagenet(weights: WeightsFile) -> nn.Sequential:
    scaling = Normalize(3)
    scaling.set(IMAGENET_MEAN, IMAGENET_DEVIATION)
    floats: dict[str, Tensor] = {name: weight.float() for name, weight in weights.state_dict.items()}
    try:
        return _painted(scaling, *vgg(floats))
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{weights.path}: no weights of a VGG ({reason})") from None
    except UserError as error:
        raise UserError(f"{weights.path}: {error}") from None
