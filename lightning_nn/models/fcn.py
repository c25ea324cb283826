"""FCN: a classifier without fully connected layers, whose coarse scores are upsampled to a class for each pixel.

Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation" (CVPR 2015). Convolutions halve
the maps again and again; a 1x1 convolution scores the classes in each cell. The scores of the last map are upsampled
and added to those of finer and finer maps (skips), up to the map of the chosen stride, and from there to pixels:

    FCN-32s  s = score_32(x_32)                            mask = up_32(s)
    FCN-16s  s = up_2(score_32(x_32)) + score_16(x_16)     mask = up_16(s)
    FCN-8s   s = up_2(s of FCN-16s) + score_8(x_8)         mask = up_8(s)
    FCN-4s   s = up_2(s of FCN-8s) + score_4(x_4)          mask = up_4(s)

Departures: a small body, trained from scratch with batch normalisation, instead of VGG-16; FCN-4s, one skip more, for
small pictures; each class is upsampled by a kernel of its own, without mixing classes; score layers start at random,
not at zero, because nothing is trained in stages; the image is padded to a multiple of 32, not by 100 pixels.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.data.batches import MaskBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.batch_norm import BatchNorm
from lightning_nn.layers.normalize import normalize
from lightning_nn.layers.upsampling import Upsampling
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.segmentation import ClassWeights, Segmentation

Stride = Literal[4, 8, 16, 32]
STRIDES = (4, 8, 16, 32)  # of the maps of a body
_MULTIPLES = (1, 3, 4, 6, 8)  # many channels at stride 4, which draws the edges


class SmallBody(nn.Module):
    """Convolutions of 3x3 with batch normalisation and ReLU, in five stages; the first of each halves the map.

    Args:
        channels: channels of the images, C.
        first: channels of the first stage; the later ones have 3, 4, 6 and 8 times as many.

    Attributes:
        channels: channels of the maps of stride 4, 8, 16 and 32.
    """

    def __init__(self, channels: int, first: int) -> None:
        super().__init__()
        widths = [first * multiple for multiple in _MULTIPLES]
        self.channels = widths[1:]
        self.stem = convolution(channels, first, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                convolution(before, after, stride=2), *(convolution(after, after) for _ in range(2 if i == 0 else 1))
            )
            for i, (before, after) in enumerate(itertools.pairwise(widths))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of stride 4, 8, 16 and 32."""
        x = self.stem(x)  # (B, first, H / 2, W / 2)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Make a 3x3 convolution with batch normalisation and ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, BatchNorm(outputs), nn.ReLU())


class FCN(Segmentation):
    """Fully convolutional network: a class for each pixel of an image of any size.

    Args:
        channels: channels of the images, C.
        num_classes: number of classes, K.
        stride: pixels between the cells of the finest scores, 4, 8, 16 or 32. Few nets of a stride draw finer than
            test/ceiling.
        body: the convolutions below the scores. small: ten of 3x3, trained from scratch.
        first_channels: channels of the first stage of the small body.
        learned_upsampling: train the kernels of the upsampling, which start as bilinear; if false they stay so.
        class_weights: weight of each class in the loss. median_frequency: the median of the classes' shares of the
            training pixels, divided by its own share, so that rare classes count; null: all weigh 1.

    Raises:
        UserError: an unknown stride or body, or no channels.
    """

    name = "fcn"
    optimizer = Optimizer(name="adamw", lr=0.008, weight_decay=0.01)

    def __init__(
        self,
        channels: int,
        num_classes: int,
        stride: Stride = 4,
        body: Literal["small"] = "small",
        first_channels: int = 16,
        learned_upsampling: bool = True,
        class_weights: ClassWeights | None = None,
    ) -> None:
        super().__init__(num_classes, stride, class_weights)
        self.save_hyperparameters(logger=False)
        choose("body", body, Literal["small"])
        if stride not in STRIDES:
            raise UserError(f"stride is {stride}; it must be 4, 8, 16 or 32")
        if first_channels < 1:
            raise UserError(f"first_channels is {first_channels}; it must be at least 1")
        self.body = SmallBody(channels, first_channels).to(memory_format=torch.channels_last)  # a quarter less time
        used = range(STRIDES.index(stride), len(STRIDES))  # maps that are scored
        self.scores = nn.ModuleList(nn.Conv2d(self.body.channels[i], num_classes, 1) for i in used)
        self.doublings = nn.ModuleList(Upsampling(num_classes, 2, learned_upsampling) for _ in used[1:])
        self.to_pixels = Upsampling(num_classes, stride, learned_upsampling)

    def forward(self, batch: MaskBatch) -> Tensor:
        """Compute the logits of each pixel, (B, K, H, W)."""
        x = normalize(batch.image, self.to_pixels.weight.dtype)
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))
        x = x.contiguous(memory_format=torch.channels_last)
        *finer, coarsest = self.body(x)[-len(self.scores) :]
        *skips, last = self.scores
        score = last(coarsest)
        for up, scored, features in zip(self.doublings, reversed(skips), reversed(finer), strict=True):
            score = up(score) + scored(features)
        return self.to_pixels(score)[:, :, :height, :width]
