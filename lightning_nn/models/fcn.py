"""FCN: a classifier without fully connected layers, whose coarse scores are upsampled to a class for each pixel.

Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation" (CVPR 2015). Convolutions halve
the maps again and again; a 1x1 convolution scores the classes in each cell. The scores of the last map are upsampled
and added to those of finer and finer maps (skips), up to the map of the chosen stride, and from there to pixels:

    FCN-32s  s = score_32(x_32)                            mask = up_32(s)
    FCN-16s  s = up_2(score_32(x_32)) + score_16(x_16)     mask = up_16(s)
    FCN-8s   s = up_2(s of FCN-16s) + score_8(x_8)         mask = up_8(s)
    FCN-4s   s = up_2(s of FCN-8s) + score_4(x_4)          mask = up_4(s)

Departures: maps are taken before a halving, not after it; the body may be any of `backbones`, by default a small one
with batch normalisation, trained from scratch, and fully connected layers are left out; FCN-4s, one skip more, for
small pictures; each class is upsampled by a kernel of its own, without mixing classes; the last upsampling is learned
like the others, where the paper fixes it to bilinear interpolation; score layers start at random, not at zero, because
nothing is trained in stages; the image is padded to a multiple of 32, not by 100 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.backbones.small import EMBEDDED, SmallBody, embedded_body, normed_convolution
from lightning_nn.backbones.torchvision import (
    STRIDES,
    LayersBody,
    Network,
    form_of_weights,
    imagenet_file,
    network_body,
    network_weights,
)
from lightning_nn.data.batches import MaskBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.images import Normalize
from lightning_nn.layers.upsampling import Upsampling
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.fine_tuning import FineTune, FineTuning
from lightning_nn.tasks.segmentation import ClassWeights, Segmentation

BodyName = Literal["small", "embedded", Network]
Stride = Literal[4, 8, 16, 32]


class Scores(nn.Module):
    """Scores of the classes in each cell of the maps, added from coarse to fine and upsampled to pixels.

    Args:
        channels: channels of the maps, from that of stride 4 on; a body with fewer maps gets extra stages of two
            convolutions.
        num_classes: number of classes, K.
        stride: stride of the finest map that is scored.
        learned: train the kernels of the upsampling.
    """

    def __init__(self, channels: list[int], num_classes: int, stride: int, learned: bool) -> None:
        super().__init__()
        last, lacking = channels[-1], len(STRIDES) - len(channels)
        self.halvings = nn.ModuleList(
            nn.Sequential(normed_convolution(last, last, stride=2), normed_convolution(last, last))
            for _ in range(lacking)
        )
        used = [*channels, *[last] * lacking][STRIDES.index(stride) :]
        self.scores = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in used)
        self.doublings = nn.ModuleList(Upsampling(num_classes, 2, learned) for _ in used[1:])
        self.to_pixels = Upsampling(num_classes, stride, learned)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Compute the logits of each pixel, (B, K, H, W)."""
        for halving in self.halvings:
            maps = [*maps, halving(maps[-1])]
        *finer, coarsest = maps[-len(self.scores) :]
        *skips, last = self.scores
        score = last(coarsest)
        for up, scored, features in zip(self.doublings, reversed(skips), reversed(finer), strict=True):
            score = up(score) + scored(features)
        return self.to_pixels(score)


class FCN(FineTuning, Segmentation):
    """Fully convolutional network: a class for each pixel of an image of any size.

    Args:
        channels: channels of the images, C; for other bodies than the small one 1 or 3, gray as three equal colours.
        num_classes: number of classes, K.
        stride: pixels between the cells of the finest scores, 4, 8, 16 or 32. test/miou_ceiling is what bilinear
            upsampling of the true shares of the classes in these cells reaches; learned upsampling may draw finer
            shapes.
        body: the convolutions below the scores. small: ten of 3x3, trained from scratch. embedded: the network that is
            part of the package, for --finetune embedded. Or a network of the model backbone: alexnet, vgg16,
            googlenet, inception_v3, resnet18, resnet34, resnet50, squeezenet1_1, mobilenet_v1, mobilenet_v2,
            mobilenet_v3_small or mobilenet_v3_large.
        first_channels: channels of the first stage of the small body.
        multiplier: share of the channels of mobilenet_v1, above 0; the others have no such setting.
        learned_upsampling: train the kernels of the upsampling, which start as bilinear; if false they stay so.
        class_weights: weight of each class in the loss. median_frequency: the median of the classes' shares of the
            training pixels, divided by its own share, so that rare classes count; null: all weigh 1.
        finetune: what is trained after --finetune, and when.

    Raises:
        UserError: an unknown stride or body, no channels, or arguments that contradict each other.

    Example:
        >>> model = FCN(channels=3, num_classes=4)
        >>> model(MaskBatch(torch.zeros(2, 3, 32, 48))).shape
        torch.Size([2, 4, 32, 48])
    """

    name = "fcn"
    network_option = "--model.body"
    embedded_model = "convnet"
    training_arguments = FineTuning.training_arguments | {"class_weights"}
    optimizer = Optimizer(name="adamw", lr=0.008, weight_decay=0.01)

    def __init__(
        self,
        channels: int,
        num_classes: int,
        stride: Stride = 4,
        body: BodyName = "small",
        first_channels: int = 16,
        multiplier: float = 1.0,
        learned_upsampling: bool = True,
        class_weights: ClassWeights | None = None,
        finetune: FineTune = FineTune(),
    ) -> None:
        super().__init__(num_classes, stride, class_weights)
        self.save_hyperparameters(logger=False)
        choose("body", body, BodyName)
        if stride not in STRIDES:
            raise UserError(f"stride is {stride}; it must be 4, 8, 16 or 32")
        if first_channels < 1:
            raise UserError(f"first_channels is {first_channels}; it must be at least 1")
        if body != "small" and channels not in (1, 3):
            raise UserError(f"images of {channels} channels; the body {body} reads 1 or 3")
        self.colours = channels if body == "small" else 3
        self.network = None if body in ("small", "embedded") else cast(Network, body)
        self.normalize = Normalize(self.colours)
        self.body: SmallBody | LayersBody
        if body == "small":
            self.body = SmallBody(channels, first_channels)
        else:
            self.body = network_body(self.network, multiplier) if self.network else embedded_body()
        self.body.to(memory_format=torch.channels_last)  # a quarter less time
        self.head = Scores(self.body.channels, num_classes, stride, learned_upsampling)
        labelled = (f"head.{name}" for name in self.head.state_dict() if not name.startswith("halvings"))
        self.row_labels = dict.fromkeys(labelled, "categories")
        layers = [*(f"body.{layer}" for layer in self.body.layers), "head"]
        last_stage = f"body.{self.body.last_stage}"
        self.plan(layers, last_stage, finetune)

    def forward(self, batch: MaskBatch) -> Tensor:
        """Compute the logits of each pixel, (B, K, H, W)."""
        x = self.normalize(batch.image.expand(-1, self.colours, -1, -1))
        bottom, right = (self.padded(size) - size for size in x.shape[2:])
        return F.pad(self.head(self.body(F.pad(x, (0, right, 0, bottom)))), (0, -right, 0, -bottom))

    def padded(self, size: int) -> int:
        """Return the rows or columns that the body needs for an image of `size`."""
        whole = (size + STRIDES[-1] - 1) // STRIDES[-1] * STRIDES[-1]  # ONNX has no floor of a negative quotient
        return whole if self.body.least <= STRIDES[-1] else max(whole, self.body.least)

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers: parameters, and whether they are trained."""
        rows: list[tuple[str, ...]] = [("layer", "parameters", "training")]
        for layer in self.layers:
            count = sum(parameter.numel() for parameter in self.get_submodule(layer).parameters())
            rows.append((layer.removeprefix("body."), f"{count:,}", self.training_plan(layer)))
        return rows

    def imagenet_weights(self) -> Path:
        """Find torchvision's file, downloaded unless there."""
        return imagenet_file(self.network, self.network_option) if self.network else super().imagenet_weights()

    @classmethod
    def form_of(cls, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the body that takes the weights of a convnet of the embedded one's layers; see `Task`."""
        if (model, arguments.get("layers")) == ("convnet", EMBEDDED):
            return {"body": "embedded"}
        return super().form_of(model, arguments)

    @classmethod
    def form_of_weights(cls, weights: dict[str, Any]) -> dict[str, Any]:
        """Return the multiplier of a mobilenet_v1; see `Task`."""
        return form_of_weights(weights)

    def by_our_names(self, weights: Checkpoint | WeightsFile) -> dict[str, Tensor]:
        """Return the weights of a network, a ConvNet or a BackboneClassifier by the names of this model."""
        tensors = weights.state_dict
        if self.network is None:
            return tensors
        body = network_weights(weights, self.network, "body.", self.state_dict(), self.network_option)
        return {**tensors, **body} if isinstance(weights, Checkpoint) and weights.model == self.name else body
