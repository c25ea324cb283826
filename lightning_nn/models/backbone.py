"""The classic convolutional networks, from scratch or fine-tuned from weights trained on ImageNet.

    alexnet            Krizhevsky, Sutskever and Hinton 2012: five convolutions, ReLU, dropout, two GPUs
    vgg16              Simonyan and Zisserman 2015: nothing but 3x3, sixteen layers
    googlenet          Szegedy et al. 2015: kernels of several sizes side by side (here with batch norm)
    inception_v3       Szegedy et al. 2016: large kernels as chains of small ones, 7x7 as 1x7 and 7x1
    resnet18, 34, 50   He et al. 2016: each block adds to its input, so that depth does no harm
    squeezenet1_1      Iandola et al. 2016: AlexNet's accuracy with a fiftieth of its parameters
    mobilenet_v1       Howard et al. 2017: convolutions in two steps (`layers/mobilenet`)
    mobilenet_v2       Sandler et al. 2018: the same within narrow residual blocks
    mobilenet_v3_...   Howard et al. 2019: small and large, found by search, with attention to channels

All but mobilenet_v1 are torchvision's. Departures: googlenet and inception_v3 have no auxiliary classifiers; small
images keep their pixels at the start, as is usual on CIFAR-10: the first two halvings are left out; mobilenet_v2 pads
as torchvision does, also with weights from TensorFlow, which pads right and below alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models  # type: ignore[import-untyped]

from lightning_nn.data.batches import ImageBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.mobilenet import MobileNetV1, unfolded
from lightning_nn.layers.normalize import Normalize
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile, download_weights
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.base import Means
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.fine_tuning import FineTuning, Trainable

Network = Literal[
    "alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet34", "resnet50", "squeezenet1_1",
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
]  # fmt: skip
Stem = Literal["auto", "full", "small"]
IMAGENET_MEAN, IMAGENET_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of 0 to 255


class Form(NamedTuple):
    """What is particular to a network.

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


class BackboneClassifier(FineTuning, Classifier):
    """A classic network of image classification.

    Args:
        channels: channels of an image, 1 or 3; gray is taken as three equal colours.
        height: rows of an image.
        width: columns of an image.
        num_classes: number of classes, K.
        network: alexnet, vgg16, googlenet, inception_v3, resnet18, resnet34, resnet50, squeezenet1_1, mobilenet_v1,
            mobilenet_v2, mobilenet_v3_small or mobilenet_v3_large.
        multiplier: share of the channels of mobilenet_v1, above 0; the others have no such setting.
        resize: pixels to which the shorter side of images is scaled within the model; null: as they come.
        stem: full: as in the paper. small: the first two halvings are left out, for 16 times as many places in all
            later layers. auto: small for images of up to 32 pixels (inception_v3: 74; vgg16: never).
        trainable: what is trained after --finetune. head: the last layer. last_stage: also the layers since the last
            halving. all: everything.
        unfreeze_at: epochs after which everything is trained; null: never.
        body_lr: factor on the learning rate of all layers but the head, above 0.
        freeze_statistics: after --finetune, keep the mean and variance of the batch norms, also in layers that are
            trained; better for few images.

    Raises:
        UserError: an unknown network, images too small for it, or arguments that contradict each other.
    """

    name = "backbone"
    optimizer = Optimizer(name="adamw", lr=1e-3, weight_decay=0.01)
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
        trainable: Trainable = "all",
        unfreeze_at: int | None = None,
        body_lr: float = 1.0,
        freeze_statistics: bool = True,
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
        self.shapes = self._shapes()
        layers = [name for name in self.shapes if any(True for _ in self.get_submodule(name).parameters())]
        self.row_labels = {f"{layers[-1]}.{kind}": "categories" for kind in ("weight", "bias")}  # type: ignore[misc]
        self.plan(layers, f"net.{self.form.last_stage}", trainable, unfreeze_at, body_lr, freeze_statistics)
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU

    def measure(self, batch: ImageBatch) -> None:
        """Set mean and deviation to those of training images, unless they came with weights."""
        if not self.normalize.measured.all():
            self.normalize.measure(batch.image.expand(-1, 3, -1, -1))

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute logits, (B, K)."""
        x = self.normalize(batch.image.expand(-1, 3, -1, -1))
        if x.shape[2:] != self.size:
            smaller = self.size[0] < x.shape[2]
            x = F.interpolate(x, self.size, mode="bilinear", antialias=smaller)
        return self.net(x)

    def training_means(self, batch: ImageBatch) -> Means:
        """Sum loss and correct predictions; a single image, which may have no statistics, uses those of the norms."""
        if batch.size > 1:
            return super().training_means(batch)
        with self.evaluating():
            return super().training_means(batch)

    # ------------------------------------------------------------------ the table

    @torch.no_grad()
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Compute the shape of the output of each layer, in the order of execution.

        Raises:
            UserError: the images are too small.
        """
        shapes: dict[str, tuple[int, ...]] = {}

        def note(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
            shapes[f"net.{name}"] = tuple(output.shape[1:])

        hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in top_layers(self.net)]
        try:
            self.net.eval()(torch.zeros(1, 3, *self.size))
        except RuntimeError:
            rows, columns = self.size
            raise UserError(
                f"images of {rows} x {columns} pixels are too small for {self.network}: --model.resize scales them up"
            ) from None
        finally:
            self.net.train()
            for hook in hooks:
                hook.remove()
        return shapes

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers: output, parameters, and whether they are trained."""
        rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "training")]
        scaling = "scaled by mean and deviation" if self.normalize.measured.all() else "scaled to -1 to 1"
        rows.append(("images", " x ".join(map(str, (3, *self.size))), "", scaling))
        for layer, shape in self.shapes.items():
            count = sum(parameter.numel() for parameter in self.get_submodule(layer).parameters())
            notes = [change for name, change in self.kept_pixels.items() if f"net.{name}.".startswith(f"{layer}.")]
            if count:
                notes.insert(0, self.training_plan(layer))
            if notes:
                sizes = " x ".join(map(str, shape))
                rows.append((layer.removeprefix("net."), sizes, f"{count:,}" if count else "", "; ".join(notes)))
        return rows

    # ------------------------------------------------------------------ weights of another

    def imagenet_weights(self) -> Path:
        """Find torchvision's file, downloaded unless there."""
        return imagenet_file(self.network)

    def by_our_names(self, weights: Checkpoint | WeightsFile) -> dict[str, Tensor]:
        """Return the weights by the names of this model, with the scaling of the images that they were trained on."""
        return named_weights(self.network, weights) if isinstance(weights, WeightsFile) else weights.state_dict


# ---------------------------------------------------------------------- weights of others


def imagenet_file(network: Network) -> Path:
    """Find torchvision's file of a network trained on ImageNet, downloaded unless there.

    Raises:
        UserError: there is none, or it can't be downloaded.
    """
    if network == "mobilenet_v1":
        raise UserError("--finetune imagenet: torchvision has no mobilenet_v1; name a file of weights")
    return download_weights(models.get_model_weights(network).DEFAULT.url)


def named_weights(network: Network, weights: WeightsFile) -> dict[str, Tensor]:
    """Return the weights of a file as net.NAME, and as normalize.NAME the scaling of images they were trained on."""
    given = unfolded(weights.state_dict) if network == "mobilenet_v1" else dict(weights.state_dict)
    for name in [name for name in given if name.endswith("running_mean")]:
        given.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.zeros((), dtype=torch.int64))
    named = {f"net.{name}": weight for name, weight in given.items()}
    layers = {name for name, _ in make_network(network, 1).named_parameters()}
    if layers.isdisjoint(given):
        return named
    scaling, symmetric = Normalize(3), FORMS[network].symmetric or "2x - 1" in weights.about
    scaling.set(*(([127.5] * 3, [127.5] * 3) if symmetric else (IMAGENET_MEAN, IMAGENET_DEVIATION)))
    return named | {f"normalize.{name}": value for name, value in scaling.state_dict().items()}


# ---------------------------------------------------------------------- networks


def scaled(size: tuple[int, int], shorter: int | None) -> tuple[int, int]:
    """Scale rows and columns so that the shorter side has so many pixels."""
    factor = 1 if shorter is None else shorter / min(size)
    return round(size[0] * factor), round(size[1] * factor)


def make_network(network: Network, num_classes: int, multiplier: float = 1.0) -> nn.Module:
    """Make a network with random weights.

    Raises:
        UserError: the multiplier is not above 0.
    """
    if multiplier <= 0:
        raise UserError(f"multiplier is {multiplier}; it must be above 0")
    if network == "mobilenet_v1":
        return MobileNetV1(num_classes, multiplier)
    options = {"aux_logits": False, "init_weights": True} if FORMS[network].auxiliary else {}
    return models.get_model(network, weights=None, num_classes=num_classes, **options)


def top_layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the layers of a network by name: its children, or what is in them if they are plain sequences."""
    found = []
    for name, child in net.named_children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            found += [(f"{name}.{inner}", layer) for inner, layer in child.named_children()]
        else:
            found.append((name, child))
    return found


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
