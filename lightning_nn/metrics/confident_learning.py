"""Confident learning: labels that are probably wrong, by the probabilities of models that were not trained on them.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70. With p_j(x)
the probability of class j for sample x, and X_i the samples that are labelled i:

    t_j  = mean of p_j(x) over x in X_j                                                   eq. 2, threshold of class j
    C_ij = |{x in X_i : j = argmax of p_l(x) over the classes l with p_l(x) >= t_l}|      eq. 1, confident joint

A sample that is counted off the diagonal of C is suspect, and j is the label that it should have. A class of which
models are never sure has a low threshold, so its samples can be confident too.
"""

from __future__ import annotations

import torch
from torch import Tensor

NONE = -1  # class of a sample that is in no class with confidence


def thresholds(probability: Tensor, label: Tensor) -> Tensor:
    """Compute the mean probability of each class over the samples that are labelled so, (K,); infinity without any.

    Args:
        probability: float (N, K), of each class, out of sample.
        label: int64 (N,).
    """
    classes = probability.shape[1]
    own = probability.gather(1, label[:, None]).squeeze(1)
    sums = probability.new_zeros(classes).index_add(0, label, own)
    counts = label.bincount(minlength=classes)
    return torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)


def confident_classes(probability: Tensor, label: Tensor) -> Tensor:
    """Return the class that each sample belongs to with confidence, int64 (N,), `NONE` for samples without one.

    Args:
        probability: float (N, K), of each class, out of sample.
        label: int64 (N,).
    """
    reached = probability >= thresholds(probability, label)
    classes = probability.masked_fill(~reached, -1.0).argmax(1)
    return torch.where(reached.any(1), classes, NONE)


def confident_joint(probability: Tensor, label: Tensor) -> Tensor:
    """Count the samples by their label and their confident class, int64 (K, K), rows labels.

    Args:
        probability: float (N, K), of each class, out of sample.
        label: int64 (N,).
    """
    classes, confident = probability.shape[1], confident_classes(probability, label)
    pairs = (label * classes + confident)[confident != NONE]
    return pairs.bincount(minlength=classes**2).reshape(classes, classes)


def self_confidence(probability: Tensor, label: Tensor) -> Tensor:
    """Return the probability of each sample's label, (N,), 0 to 1: the lower, the more suspect.

    Args:
        probability: float (N, K), of each class.
        label: int64 (N,).
    """
    return probability.gather(1, label[:, None]).squeeze(1)
