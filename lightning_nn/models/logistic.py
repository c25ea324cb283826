"""Logistic regression: one neuron.

    p = sigmoid(w · x + b)

A weighted sum of the inputs and a threshold (McCulloch and Pitts 1943), with the step replaced by a sigmoid that has a
gradient (Cox 1958). Two losses are taught: the cross-entropy `bce`, whose gradient in the sum is p - y, and the squared
error `mse`, whose gradient (p - y) p (1 - p) vanishes where the neuron is sure and wrong.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.data.batches import ImageBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.normalize import normalize
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.classification import Classifier

Criterion = Literal["bce", "mse"]


class LogisticRegression(Classifier):
    """One neuron that tells two classes apart.

    Weights and bias begin at zero. One neuron can: its gradient (p - y) x depends on the inputs, so the weights part
    at the first step, and the loss `bce` is convex in them. In a network of several layers zero would not do, because
    all neurons of a layer would stay the same (see SoftmaxClassifier).

    Args:
        features: numbers in a sample, C x H x W of a picture.
        num_classes: must be 2.
        criterion: bce, the cross-entropy -y log p - (1 - y) log(1 - p); or mse, the squared error (p - y)^2.

    Raises:
        UserError: the data has more than two classes; an unknown criterion.
    """

    name = "logistic"
    optimizer = Optimizer(name="sgd", lr=0.1)

    def __init__(self, features: int, num_classes: int = 2, criterion: Criterion = "bce") -> None:
        super().__init__(num_classes)
        if num_classes != 2:
            raise UserError(
                f"one neuron tells 2 classes apart, the data has {num_classes}: choose two, such as "
                "--data.classes [3,8] for digits, or take --model softmax"
            )
        self.save_hyperparameters(logger=False)
        choose("criterion", criterion, Criterion)
        self.criterion = criterion
        self.neuron = nn.Linear(features, 1)
        nn.init.zeros_(self.neuron.weight)
        nn.init.zeros_(self.neuron.bias)

    def forward(self, batch: ImageBatch) -> Tensor:
        """The sum w · x + b of each sample, (B,): positive for the second class."""
        x = normalize(batch.image, self.neuron.weight.dtype).flatten(1)  # (B, features)
        return self.neuron(x).squeeze(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probability of the first and of the second class, (B, 2)."""
        return torch.stack([(-logits).sigmoid(), logits.sigmoid()], dim=1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Their logarithms, (B, 2)."""
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)

    def sample_losses(self, logits: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy or squared error of each sample, (B,); labels int64 (B,), or float (B, 2), a share of each."""
        logits, smooth = at_least_float32(logits), self.loss.label_smoothing
        second_share = (label[:, 1] if label.is_floating_point() else label).to(logits.dtype)
        y = second_share * (1 - smooth) + smooth / 2
        first, second = logits.new_tensor(self.class_weights or [1.0, 1.0])
        if self.criterion == "mse":
            return (logits.sigmoid() - y) ** 2 * (second * second_share + first * (1 - second_share))
        return second * y * F.softplus(-logits) + first * (1 - y) * F.softplus(logits)  # -log p and -log(1 - p)
