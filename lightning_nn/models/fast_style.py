"""Style transfer in one pass: a network that gives any picture the style it was trained on.

Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution" (ECCV 2016). A network
f turns a content x into the picture y = f(x). It is trained on many contents with the losses of `style_transfer`, so
that no picture has to be optimised any more:

    f minimises the mean over contents x of  L(x, a, f(x)) = alpha L_content + beta L_style + gamma L_variation

f halves the picture twice, changes it in residual blocks, and doubles it twice. Instance normalisation takes contrast
out of each picture by itself (Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022).

Departures: a quarter of the channels and fewer blocks, for minutes on a CPU; borders replicated, not reflected, which a
picture of a few pixels has too; doubling by nearest neighbours and a convolution, which leaves no checkerboards (Odena
et al. 2016); losses relative to their targets; the features of the network that is part of this package, unless
`features` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.features import Pooling
from lightning_nn.layers.images import levels, normalize
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.models.style_transfer import StyleLoss, Targets
from lightning_nn.settings import LRScheduler, Optimizer
from lightning_nn.tasks.stylization import StyledImage, StyleOptions, Stylization, pixels
from lightning_nn.tasks.training import Means

_STRIDE = 4  # of the blocks
_SMALLEST = 2 * _STRIDE  # pixels to which smaller pictures are padded, so that a norm has several values


class NormedConvolution(nn.Sequential):
    """Convolution between replicated borders, instance normalisation and ReLU.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        kernel: size of the kernel.
        stride: step of the kernel.
        relu: whether ReLU follows.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False, padding_mode="replicate")
        layers = [conv, nn.InstanceNorm2d(outputs, affine=True)]
        super().__init__(*layers, *[nn.ReLU()] * relu)


class ResidualBlock(nn.Module):
    """Two convolutions whose output is added to their input (section 3.1; He et al. 2016).

    Args:
        channels: channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            NormedConvolution(channels, channels), NormedConvolution(channels, channels, relu=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute x + layers(x), (B, C, H, W)."""
        return x + self.layers(x)


class FastStyleTransfer(Stylization):
    """A network that gives pictures the style it was trained on.

    Args:
        features: network whose activations represent content and style; see `style_transfer`.
        first_channels: channels at full size; 2 and 4 times as many at the halves. The paper's are 32.
        blocks: number of residual blocks, at least 1. The paper's are 5.
        loss: weights and layers of the losses.
        pooling: average or trained; see `style_transfer`.

    Raises:
        UserError: no channels or blocks, or a weight out of its range.

    Example:
        >>> model = FastStyleTransfer(first_channels=4, blocks=1)
        >>> model(StyleBatch(torch.zeros(1, 3, 32, 48))).shape
        torch.Size([1, 3, 32, 48])
    """

    name = "fast_style"
    inputs_hint = "--data.file PICTURE --out picture.png"
    output_meaning = "picture (batch, 3, height, width), RGB from 0 to 255, not rounded"
    optimizer = Optimizer(name="adam", lr=3e-3)
    lr_scheduler = LRScheduler(name="one_cycle")

    def __init__(
        self,
        features: str = "embedded",
        first_channels: int = 8,
        blocks: int = 3,
        loss: StyleOptions = StyleOptions(),
        pooling: Pooling = "average",
    ) -> None:
        super().__init__(features, pooling, StyleOptions.of(loss))
        self.save_hyperparameters(logger=False)
        if min(first_channels, blocks) < 1:
            raise UserError(f"first_channels is {first_channels} and blocks {blocks}; both must be at least 1")
        full, half, quarter = (first_channels * multiple for multiple in (1, 2, 4))
        self.net = nn.Sequential(
            NormedConvolution(3, full, kernel=9),
            NormedConvolution(full, half, stride=2),
            NormedConvolution(half, quarter, stride=2),
            *(ResidualBlock(quarter) for _ in range(blocks)),
            nn.Upsample(scale_factor=2.0),
            NormedConvolution(quarter, half),
            nn.Upsample(scale_factor=2.0),
            NormedConvolution(half, full),
        )
        self.last = nn.Conv2d(full, 3, 9, padding=4, padding_mode="replicate")
        self.to(memory_format=torch.channels_last)
        self._styles: tuple[tuple[Tensor, ...], list[dict[str, Tensor]]] | None = None
        self._seen: StyleBatch | None = None

    def measure(self, batches: Iterable[StyleBatch]) -> None:
        """Look at the photographs before the first step.

        Args:
            batches: the first one is looked at.

        Raises:
            UserError: content or style is missing; see also `look_at`.
        """
        batch = next(iter(batches))
        self.check_batch(batch)
        content, _ = self.pair(batch)
        self.look_at(batch, (content.shape[2], content.shape[3]))

    def forward(self, batch: StyleBatch) -> Tensor:
        """Compute pictures y = f(x), (B, 3, H, W), 0 to 255.

        Raises:
            UserError: there is no content.
        """
        if batch.content is None:
            raise UserError("a batch lacks content: there is no picture to stylise")
        x = normalize(batch.content, self.last.weight.dtype)
        height, width = x.shape[2:]
        right, below = (max(_SMALLEST, (side + _STRIDE - 1) // _STRIDE * _STRIDE) - side for side in (width, height))
        y = self.last(self.net(F.pad(x, (0, right, 0, below), mode="replicate")))
        return 127.5 + 127.5 * F.pad(y, (0, -right, 0, -below)).tanh()

    def training_means(self, batch: StyleBatch) -> Means:
        """Sum the losses over pictures, their style loss, and that of the contents themselves."""
        images, _ = self.pair(batch)
        content, grams = levels(images, self.last.weight), self.style_grams(batch)
        loss = StyleLoss(self.options, *self.layer_weights())
        network = self.network(content)
        with torch.no_grad():
            seen = network(content)
            before = loss.parts(seen, Targets({}, grams))
            targets = Targets({name: at_least_float32(seen[name]) for name in loss.content}, grams)
        losses = loss(network, self(batch), targets)
        self._seen = batch.select(range(min(2, batch.size)))
        sums = {name: part.sum() if name == "loss" else part.detach().sum() for name, part in losses.items()}
        for layer, weight in loss.style.items():
            sums["style"] = sums.get("style", 0) + weight * sums[f"style/{layer}"]
            sums["style_before"] = sums.get("style_before", 0) + weight * before[f"style/{layer}"].sum()
        return Means(sums, batch.size)

    def pair(self, batch: StyleBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return contents and styles, both of which a training needs.

        Raises:
            UserError: one of them is missing.
        """
        if batch.content is None or not batch.style:
            raise UserError("a batch lacks content or style: training a network to stylise needs both")
        return batch.content, batch.style

    def style_grams(self, batch: StyleBatch) -> list[dict[str, Tensor]]:
        """Return the Gram matrices of the styles, computed once for the same pictures."""
        content, styles = self.pair(batch)
        if self._styles is None or not StyleBatch(None, self._styles[0]).shows_the_same_as(StyleBatch(None, styles)):
            size = (content.shape[2], content.shape[3])
            loss, like = StyleLoss(self.options, *self.layer_weights()), self.last.weight
            images = self.style_images(batch, size, like)
            self._styles = styles, loss.targets(self.network(like), None, images).style
        return self._styles[1]

    def begin_training(self) -> None:
        """Reset what an earlier run left, its styles included."""
        super().begin_training()
        self._styles = self._seen = None

    def predictions(self, batch: StyleBatch) -> list[StyledImage]:
        """Return the pictures in the style."""
        return [StyledImage(pixels(image), self.described()) for image in self(batch)]

    def styled(self) -> list[StyledImage]:
        """Return a few training pictures, the content on the left of each."""
        if self._seen is None or self._seen.content is None:
            return []
        with torch.no_grad(), self.evaluating():
            pairs = zip(self._seen.content, self(self._seen), strict=True)
            return [StyledImage(pixels(torch.cat([levels(x, y), y], 2)), self.described()) for x, y in pairs]
