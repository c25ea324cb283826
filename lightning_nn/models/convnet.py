"""Convolutional network: the same small kernels at every place of an image, then fully connected layers.

    y[k, i, j] = b[k] + sum over c, u, v of w[k, c, u, v] x[c, i + u, j + v]

Neurons of a feature map share their weights and see a small window each (Fukushima 1980; LeCun et al. 1989). Pooling
keeps the largest or the mean value of each window, so a small shift of the image changes little, and the exact place is
lost. A recipe may list other layers; without a list it is a small LeNet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import ImageBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.convolution import (
    Init,
    MaxPool2d,
    build,
    initialise,
    last_stage,
    measure_images,
    sequential,
    trace,
)
from lightning_nn.layers.images import Normalize
from lightning_nn.layers.inspection import (
    StrongestPatches,
    activations,
    dense_classifier,
    layer_table,
    receptive_fields,
)
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.fine_tuning import FineTune, FineTuning

SMALL = 0.01  # scale of the first weights of the last layer
WHOLE_RATE = FineTune(body_lr=1.0, freeze_statistics=False)  # of loaded layers, as of new ones


def lenet(channels: int, height: int, width: int, num_classes: int) -> nn.Sequential:
    """Make a small LeNet (LeCun et al. 1998), with ReLU and maximum in place of its tanh and mean.

    Raises:
        UserError: the images are too small to be halved twice.
    """
    if min(height, width) < 4:
        raise UserError(f"images of {height} x {width} pixels can't be halved twice; each side needs at least 4")
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 16, kernel_size=5, padding=2),  # (B, 16, H, W)
            relu1=nn.ReLU(),
            max_pool1=MaxPool2d(2),  # (B, 16, H/2, W/2)
            conv2=nn.Conv2d(16, 32, kernel_size=3, padding=1),  # (B, 32, H/2, W/2)
            relu2=nn.ReLU(),
            max_pool2=MaxPool2d(2),  # (B, 32, H/4, W/4)
            flatten1=nn.Flatten(),  # (B, 32 H/4 W/4)
            linear1=nn.Linear(32 * (height // 4) * (width // 4), 64),  # (B, 64)
            relu3=nn.ReLU(),
            linear2=nn.Linear(64, num_classes),  # (B, K)
        )
    )


class ConvNet(FineTuning, Classifier):
    """A convolutional network: a small LeNet, or one built from a list of layers.

    The last layer, from the values of the list's end to the logits of the K classes, is added to a list.

    Args:
        channels: channels of an image, C.
        height: rows of an image, H.
        width: columns of an image, W.
        num_classes: number of classes, K.
        layers: the layers, such as ["conv 16 5 padding=2", "relu", "max_pool 2", "flatten", "linear 64", "relu"]:
            conv CHANNELS KERNEL stride=1 padding=0 groups=1 bias=true; max_pool or avg_pool KERNEL stride=KERNEL
            padding=0; global_avg_pool; global_max_pool; sigmoid; tanh; relu; leaky_relu slope=0.01; elu; gelu;
            batch_norm momentum=0.1 eps=1e-5 scale=true; dropout p=0.5; flatten; linear FEATURES bias=true; whitening
            KERNEL (a first layer of fixed kernels that decorrelate neighbouring pixels, measured on training images);
            residual LAYER, LAYER, ... (their output is added to their input). null: a small LeNet, `lenet`.
        init: first weights. zeros: nothing is learned but the last bias. normal: N(0, init_deviation^2). xavier:
            Glorot and Bengio 2010. kaiming: He et al. 2015, which keeps the scale through a ReLU; the last layer, which
            has none, starts a hundred times smaller, so that all classes are about equally probable. orthogonal: Saxe
            et al. 2014. dirac: the first kernels of each convolution copy its input, all others are He et al.'s. Biases
            start at zero.
        init_deviation: standard deviation of init normal, above 0.
        logit_scale: factor on the logits, above 0; a small one keeps early predictions from being too sure.
        finetune: what is trained after --finetune, and when.

    Raises:
        UserError: an entry of layers is unknown or doesn't fit its input; an unknown init.

    Example:
        >>> model = ConvNet(1, 8, 8, num_classes=3, layers=["conv 4 3", "relu", "max_pool 2", "flatten"])
        >>> model(ImageBatch(torch.zeros(2, 1, 8, 8))).shape
        torch.Size([2, 3])
    """

    name = "convnet"
    optimizer = Optimizer(name="sgd", lr=0.03, momentum=0.9)
    row_labels = dict.fromkeys(("head.weight", "head.bias"), "categories")
    data_to_tune = "weights that read images of 32 pixels or more, name your own: --data images --data.path FOLDER"
    first_samples = 5_000

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        num_classes: int,
        layers: list[str] | None = None,
        init: Init = "kaiming",
        init_deviation: float = 0.01,
        logit_scale: float = 1.0,
        finetune: FineTune = WHOLE_RATE,
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        choose("init", init, Init)
        if min(init_deviation, logit_scale) <= 0:
            raise UserError(f"init_deviation is {init_deviation} and logit_scale {logit_scale}; both must be above 0")
        if layers is None:
            net = lenet(channels, height, width, num_classes)
            self.chain = trace(net.named_children(), (channels, height, width))
        else:
            self.chain = build([*layers, f"linear {num_classes}"], (channels, height, width))
        *body, head = self.chain
        self.normalize = Normalize(channels)
        self.body, self.head = sequential(body), cast(nn.Linear, head.module)
        self.logit_scale = logit_scale
        initialise(self, init, init_deviation)
        if init == "kaiming":
            self.head.weight.data.mul_(SMALL)
        self.strongest = StrongestPatches(receptive_fields(self.body.named_children()))
        names = [*(f"body.{layer.name}" for layer in body if layer.parameters), "head"]
        stage = [*(f"body.{name}" for name in last_stage(body)), "head"]
        self.plan(names, stage[0], FineTune.of(finetune, WHOLE_RATE))
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute logits z, (B, K)."""
        x = self.normalize(batch.image)  # (B, C, H, W)
        return self.head(self.body(x)) * self.logit_scale  # (B, F), (B, K)

    def measure(self, batches: Iterable[ImageBatch]) -> None:
        """Set mean, deviation and whitening kernels before the first step; see `measure_images`."""
        measure_images(self.normalize, self.body, batches)

    def layer_outputs(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Compute the output of each layer in evaluation mode, by its name; see `Classifier`."""
        with self.evaluating():
            return activations(self.body, self.normalize(batch.image))

    def dense(self) -> nn.Sequential:
        """Return a copy for larger images: logits at every place, (B, K, H', W'); see `dense_classifier`."""
        chain = nn.Sequential(deepcopy(self.normalize), *dense_classifier(self.chain, self.logit_scale))
        return chain.train(self.training)

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers: output, parameters, those of a fully connected layer of the same width, training.

        The last column is there if some layers are frozen or have a learning rate of their own.
        """
        names = [*(f"body.{layer.name}" for layer in self.chain[:-1]), "head"]
        return self.with_training_plan(layer_table(self.chain), names)
