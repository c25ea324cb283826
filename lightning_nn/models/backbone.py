"""The classic convolutional networks, from scratch or fine-tuned from weights trained on ImageNet.

    alexnet            Krizhevsky, Sutskever and Hinton 2012: five convolutions, ReLU, dropout, two GPUs
    vgg16              Simonyan and Zisserman 2015: nothing but 3x3, sixteen layers
    googlenet          Szegedy et al. 2015: kernels of several sizes side by side (here with batch norm)
    inception_v3       Szegedy et al. 2016: large kernels as chains of small ones, 7x7 as 1x7 and 7x1
    resnet18, 34, 50   He et al. 2016: each block adds to its input, so that depth does no harm
    squeezenet1_1      Iandola et al. 2016: AlexNet's accuracy with a fiftieth of its parameters
    mobilenet_v1       Howard et al. 2017: convolutions in two steps (`backbones/mobilenet`)
    mobilenet_v2       Sandler et al. 2018: the same within narrow residual blocks
    mobilenet_v3_...   Howard et al. 2019: small and large, found by search, with attention to channels

All but mobilenet_v1 are torchvision's. Departures: googlenet and inception_v3 have no auxiliary classifiers; small
images keep their pixels at the start, as is usual on CIFAR-10: the first two halvings are left out; mobilenet_v2 pads
as torchvision does, also with weights from TensorFlow, which pads right and below alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.backbones.torchvision import (
    FORMS,
    Network,
    form_of_weights,
    imagenet_file,
    keep_pixels,
    layer_shapes,
    make_network,
    network_weights,
)
from lightning_nn.data.batches import ImageBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.convolution import measure_images
from lightning_nn.layers.images import Normalize
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.settings import LRScheduler, Optimizer
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.fine_tuning import FineTune, FineTuning

Stem = Literal["auto", "full", "small"]


class BackboneClassifier(FineTuning, Classifier):
    """A classic network of image classification.

    Args:
        channels: channels of an image, 1 or 3; gray is taken as three equal colours.
        height: rows of an image.
        width: columns of an image.
        num_classes: number of classes, K.
        network: alexnet, vgg16, googlenet, inception_v3, resnet18, resnet34, resnet50, squeezenet1_1, mobilenet_v1,
            mobilenet_v2, mobilenet_v3_small or mobilenet_v3_large. alexnet and vgg16 have no normalisation: from
            scratch they need a rate of about 0.0003, ten times less than the others.
        multiplier: share of the channels of mobilenet_v1, above 0; the others have no such setting.
        resize: pixels to which the shorter side of images is scaled within the model; null: as they come.
        stem: full: as in the paper. small: the first two reductions are left out, for 16 times as many places in all
            later layers (squeezenet1_1: about 25 times; alexnet, whose first layer has a stride of 4: 70 to 90). auto:
            small for images of up to 32 pixels (inception_v3: 74; vgg16: never).
        finetune: what is trained after --finetune, and when.

    Raises:
        UserError: an unknown network, images too small for it, or arguments that contradict each other.

    Example:
        >>> model = BackboneClassifier(3, 32, 32, num_classes=5, multiplier=0.25).eval()
        >>> model(ImageBatch(torch.zeros(2, 3, 32, 32))).shape
        torch.Size([2, 5])
    """

    name = "backbone"
    network_option = "--model.network"
    optimizer = Optimizer(name="adamw", lr=1e-3, weight_decay=0.01)
    lr_scheduler = LRScheduler(warmup=0.1)
    first_samples = 5_000

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        num_classes: int,
        network: Network = "mobilenet_v1",
        multiplier: float = 1.0,
        resize: int | None = None,
        stem: Stem = "auto",
        finetune: FineTune = FineTune(),
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        choose("network", network, Network)
        choose("stem", stem, Stem)
        if channels not in (1, 3):
            raise UserError(f"images of {channels} channels; {network} reads 1 or 3")
        if resize is not None and resize < 1:
            raise UserError(f"resize is {resize}; it must be at least 1 pixel")
        self.network, self.form = network, FORMS[network]
        self.size = scaled((height, width), resize)
        self.normalize = Normalize(3)
        self.net = make_network(network, num_classes, multiplier)
        small = stem == "small" or (stem == "auto" and min(self.size) < self.form.smallest)
        self.kept_pixels = keep_pixels(self.net) if small else {}
        try:
            self.shapes = {f"net.{name}": shape for name, shape in layer_shapes(self.net, self.size).items()}
        except RuntimeError:
            rows, columns = self.size
            raise UserError(
                f"images of {rows} x {columns} pixels are too small for {network}: --model.resize scales them up"
            ) from None
        layers = [name for name in self.shapes if any(True for _ in self.get_submodule(name).parameters())]
        self.row_labels = {f"{layers[-1]}.{kind}": "categories" for kind in ("weight", "bias")}
        self.plan(layers, f"net.{self.form.last_stage}", finetune)
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU

    def measure(self, batches: Iterable[ImageBatch]) -> None:
        """Set mean and deviation before the first step; see `measure_images`."""
        measure_images(self.normalize, self.net, batches)

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute logits, (B, K)."""
        x = self.normalize(batch.image.expand(-1, 3, -1, -1))
        if x.shape[2:] != self.size:
            smaller = self.size[0] < x.shape[2]
            x = F.interpolate(x, self.size, mode="bilinear", antialias=smaller)
        return self.net(x)

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers: output, parameters, and whether they are trained."""
        rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "training")]
        rows.append(("images", " x ".join(map(str, (3, *self.size))), "", self.normalize.description()))
        for layer, shape in self.shapes.items():
            count = sum(parameter.numel() for parameter in self.get_submodule(layer).parameters())
            notes = [change for name, change in self.kept_pixels.items() if f"net.{name}.".startswith(f"{layer}.")]
            if count:
                notes.insert(0, self.training_plan(layer))
            if notes:
                sizes = " x ".join(map(str, shape))
                rows.append((layer.removeprefix("net."), sizes, f"{count:,}" if count else "", "; ".join(notes)))
        return rows

    def imagenet_weights(self) -> Path:
        """Find torchvision's file, downloaded unless there."""
        return imagenet_file(self.network, self.network_option)

    @classmethod
    def form_of_weights(cls, weights: dict[str, Any]) -> dict[str, Any]:
        """Return the multiplier of a mobilenet_v1; see `Task`."""
        return form_of_weights(weights)

    def by_our_names(self, weights: Checkpoint | WeightsFile) -> dict[str, Tensor]:
        """Return the weights by the names of this model, with the scaling of the images that they were trained on."""
        return network_weights(weights, self.network, "net.", self.state_dict(), self.network_option)


def scaled(size: tuple[int, int], shorter: int | None) -> tuple[int, int]:
    """Scale rows and columns so that the shorter side has so many pixels."""
    factor = 1 if shorter is None else shorter / min(size)
    return round(size[0] * factor), round(size[1] * factor)
