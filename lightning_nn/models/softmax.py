"""Softmax regression: K neurons whose outputs form one distribution; with hidden layers, a multilayer perceptron.

    z = W x + b,    p_k = exp(z_k) / sum_j exp(z_j),    loss = -log p_y

Softmax is Bridle's (1990). The gradient of the loss is dL/dz = p - y, with y one-hot. Each hidden layer computes
ReLU(W x + b). The initial weights are an argument because they teach something: zeros work for one layer, but not for
several.
"""

from __future__ import annotations

import itertools
from typing import Literal

from torch import Tensor, nn

from lightning_nn.data.batches import ImageBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.convolution import initialise
from lightning_nn.layers.images import normalize
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.classification import Classifier

Init = Literal["zeros", "normal", "xavier", "kaiming"]


class SoftmaxClassifier(Classifier):
    """K neurons and softmax, after any number of hidden layers.

    Args:
        features: values in a sample, C x H x W of an image.
        num_classes: number of classes, K.
        hidden: number of neurons in each hidden layer, first to last; without any, softmax regression.
        init: initial weights. zeros: enough for one layer, whose gradient (p - y) x differs from weight to weight;
            through hidden layers no gradient passes, and only the last bias learns. normal: N(0, 0.01^2). xavier:
            Glorot and Bengio 2010. kaiming: He et al. 2015, which preserves the variance after a ReLU. Biases start
            at zero.

    Raises:
        UserError: an unknown init, or a layer without neurons.

    Example:
        >>> model = SoftmaxClassifier.for_data(Digits(), hidden=[32])
        >>> model(ImageBatch(torch.zeros(2, 1, 8, 8))).shape
        torch.Size([2, 10])
    """

    name = "softmax"
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9)

    def __init__(
        self, features: int, num_classes: int, hidden: list[int] | None = None, init: Init = "kaiming"
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        choose("init", init, Init)
        if hidden and min(hidden) < 1:
            raise UserError(f"hidden is {hidden}; each layer needs at least 1 neuron")
        sizes = [features, *(hidden or []), num_classes]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            linear = nn.Linear(inputs, outputs)
            initialise(linear, init)
            layers += [linear, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])  # no ReLU after the logits

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute logits z, (B, K)."""
        x = normalize(batch.image, next(self.parameters()).dtype).flatten(1)  # (B, features)
        return self.layers(x)  # (B, K)
