"""Calibration of class probabilities: of the predictions with a probability of 80%, 80% should be right.

A temperature T divides the logits before the softmax: above 1 it makes a model less sure, and it changes no prediction.
It is fitted to validation samples, as in Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

BINS = 15  # of Guo et al., of equal width
COOLEST, HOTTEST = 0.05, 20.0  # temperatures
_STEPS = 50  # of Newton's method, which needs about six


class Bin(NamedTuple):
    """Predictions of similar probability.

    Attributes:
        probability: their mean, 0 to 1.
        accuracy: share of them that is right, 0 to 1.
        samples: their number, at least 1.
    """

    probability: float
    accuracy: float
    samples: int


def fit_temperature(log_probability: Tensor, label: Tensor) -> float:
    """Return the temperature with the lowest cross-entropy; 1 if there is none, as all samples are predicted right.

    The cross-entropy is convex in 1 / T. Newton's method minimises it, within an interval that shrinks at each step.

    Args:
        log_probability: float (N, K), of the classes at temperature 1.
        label: int64 (N,), the true classes.
    """
    if not len(label) or bool((log_probability.argmax(1) == label).all()):
        return 1.0
    scores = log_probability.detach().double().clamp(min=-1e4)  # a probability of 0 has no finite logarithm
    true = scores.gather(1, label[:, None]).mean()
    least, most, inverse = 1 / HOTTEST, 1 / COOLEST, 1.0
    for _ in range(_STEPS):
        shares = (inverse * scores).softmax(1)
        mean = (shares * scores).sum(1)
        slope = float(mean.mean() - true)
        curvature = float((shares * scores.square()).sum(1).sub(mean.square()).mean())
        least, most = (inverse, most) if slope < 0 else (least, inverse)
        step = inverse - slope / max(curvature, 1e-12)
        before, inverse = inverse, step if least < step < most else (least + most) / 2
        if abs(inverse - before) < 1e-6:
            break
    return min(HOTTEST, max(COOLEST, 1 / inverse))


def checked_temperature(value: object) -> float:
    """Return a temperature that a checkpoint holds, which anyone may have written.

    Raises:
        ValueError: it is no number, or out of the range of `fit_temperature`.
    """
    if type(value) is not float or not COOLEST <= value <= HOTTEST:
        raise ValueError(f"its temperature is {str(value)[:40]}; expected a number of {COOLEST} to {HOTTEST}")
    return value


def reliability(probability: Tensor, is_right: Tensor, bins: int = BINS) -> list[Bin]:
    """Group predictions by their probability into bins of equal width; empty ones are left out.

    Args:
        probability: float (N,), of the predicted classes.
        is_right: bool (N,).
        bins: number of bins from 0 to 1.
    """
    number = (probability * bins).ceil().long().clamp(1, bins) - 1
    groups = [number == k for k in range(bins)]
    return [
        Bin(float(probability[group].mean()), float(is_right[group].double().mean()), int(group.sum()))
        for group in groups
        if group.any()
    ]


def expected_calibration_error(probability: Tensor, is_right: Tensor, bins: int = BINS) -> float:
    """Compute the mean distance of accuracy and probability over bins, weighted by their samples, 0 to 1.

    Args:
        probability: float (N,), of the predicted classes.
        is_right: bool (N,).
        bins: number of bins from 0 to 1.
    """
    groups = reliability(probability, is_right, bins)
    return sum(group.samples * abs(group.accuracy - group.probability) for group in groups) / max(1, len(probability))
