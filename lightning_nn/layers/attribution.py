"""Attribution of a network's output to the parts of its input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def integrated_gradients(score: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor, steps: int = 32) -> Tensor:
    """Attribute a score to the values of an input by the gradients on the way from a baseline to it.

        IG_i(x) = (x_i - x'_i) * integral over a from 0 to 1 of dF/dx_i at x' + a (x - x')

    M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks, ICML 2017, equation 1; the integral by
    the midpoints of equal steps. The attributions sum to F(x) - F(x'), up to the error of this sum (completeness,
    proposition 1).

    Args:
        score: function F of the input, any number of values, whose sum is attributed: samples in a batch that do not
            depend on each other are attributed at once.
        x: the input, of any shape, floating.
        baseline: the input x' that stands for the absence of all that is attributed, of the same shape.
        steps: points at which the gradient is computed, at least 1.

    Returns:
        The attributions, of the shape of `x`.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"integrated gradients in {steps} steps; it takes at least 1")
    x, baseline = x.detach(), baseline.detach()
    total = torch.zeros_like(x)
    for step in range(steps):
        point = torch.lerp(baseline, x, (step + 0.5) / steps).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(point).sum(), point)
        total += gradient
    return (x - baseline) * total / steps
