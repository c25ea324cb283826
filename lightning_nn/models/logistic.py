"""Logistic regression: one neuron.

    p = sigmoid(w · x + b)

The neuron of McCulloch and Pitts (1943) compares a weighted sum with a threshold. Here a sigmoid, which has a gradient,
replaces the step (Cox 1958). The file teaches two losses. With z = w · x + b, the cross-entropy `bce` has the gradient
dL/dz = p - y; the squared error `mse` has 2 (p - y) p (1 - p), which vanishes where the neuron is confident and wrong.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.data.batches import ImageBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.images import normalize
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.classification import Classifier

Criterion = Literal["bce", "mse"]


class LogisticRegression(Classifier):
    """One neuron that separates two classes.

    Weights and bias start at zero. One neuron can learn from there: its gradient (p - y) x depends on the inputs, so
    the weights differ after the first step, and `bce` is convex in them. In a network of several layers, zero would
    keep all neurons of a layer equal (see SoftmaxClassifier).

    Args:
        features: values in a sample, C x H x W of an image.
        num_classes: must be 2.
        criterion: bce, cross-entropy -y log p - (1 - y) log(1 - p); or mse, squared error (p - y)^2.

    Raises:
        UserError: the data has more than two classes; an unknown criterion.

    Example:
        >>> model = LogisticRegression(features=64)
        >>> model(ImageBatch(torch.zeros(2, 1, 8, 8))).tolist()  # of an untrained neuron
        [0.0, 0.0]
    """

    name = "logistic"
    output_meaning = "logit (batch,) of the second class; its sigmoid is the probability of that class"
    optimizer = Optimizer(name="sgd", lr=0.1)

    def __init__(self, features: int, num_classes: int = 2, criterion: Criterion = "bce") -> None:
        super().__init__(num_classes)
        if num_classes != 2:
            raise UserError(
                f"one neuron separates 2 classes; the data has {num_classes}: choose two, such as "
                "--data.classes [3,8] for digits, or use --model softmax"
            )
        self.save_hyperparameters(logger=False)
        choose("criterion", criterion, Criterion)
        self.criterion = criterion
        self.neuron = nn.Linear(features, 1)
        nn.init.zeros_(self.neuron.weight)
        nn.init.zeros_(self.neuron.bias)

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute the logit z = w · x + b of each sample, (B,); positive means the second class."""
        x = normalize(batch.image, self.neuron.weight.dtype).flatten(1)  # (B, features)
        return self.neuron(x).squeeze(1)  # (B,)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities 1 - p and p of both classes, (B, 2)."""
        return torch.stack([(-logits).sigmoid(), logits.sigmoid()], dim=1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the logarithms of the probabilities, (B, 2)."""
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)

    def sample_losses(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the cross-entropy or squared error of each sample, (B,).

        Args:
            logits: (B,); half precision is converted to float32.
            label: int64 (B,), or float (B, 2), the share of each class.
        """
        logits, smooth = at_least_float32(logits), self.loss.label_smoothing
        second_share = (label[:, 1] if label.is_floating_point() else label).to(logits.dtype)
        y = second_share * (1 - smooth) + smooth / 2
        first, second = logits.new_tensor(self.class_weights or [1.0, 1.0])
        if self.criterion == "mse":
            return (logits.sigmoid() - y) ** 2 * (second * second_share + first * (1 - second_share))
        return second * y * F.softplus(-logits) + first * (1 - y) * F.softplus(logits)  # -log p and -log(1 - p)

    def guessing_loss(self) -> float:
        """Compute the validation loss of the one answer that suits all training samples best; see `Classifier`."""
        if self.criterion == "bce":
            return super().guessing_loss()
        train, (first, second) = self.weighted_shares(0.0)
        answer = train[1] / train.sum()
        return float((1 - self.loss.label_smoothing) ** 2 * (first * answer**2 + second * (1 - answer) ** 2))
