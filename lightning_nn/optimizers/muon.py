"""Muon: steps of convolution kernels made orthogonal."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: steep at 0, so that small singular values grow fast
_ROUNDS = 3
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # of Adam
_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.InstanceNorm2d)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.Identity)


def normalised_kernels(model: nn.Module, fixed: Container[nn.Module] = ()) -> list[Tensor]:
    """List the kernels of convolutions that a normalisation follows, at most with a pool between.

    Args:
        model: the network.
        fixed: norms that use fixed statistics in training, and so are not blind to the scale of the kernels before
            them: those kernels are left out.
    """
    found: list[Tensor] = []
    for module in model.modules():
        convolution: nn.Conv2d | None = None
        for layer in module.children():  # in the order of execution
            if isinstance(layer, _NORMS) and convolution is not None and layer not in fixed:
                found.append(convolution.weight)
            if not isinstance(layer, _POOLS):
                convolution = layer if isinstance(layer, nn.Conv2d) else None
    return found


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels before a normalisation; for all other parameters SGD or AdamW.

    A step of a layer's kernels, a matrix with a row for each kernel, is the momentum of their gradients made nearly
    orthogonal: all of its singular values become about 1, so that rare directions are learned as fast as frequent ones
    (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Bernstein and Newhouse 2024,
    arXiv:2409.20325). Kernels keep their norm, to which the normalisation is blind: a step only turns them. M kernels
    of N values, whose norm is |W|, are turned by a step of singular values of about `kernel_lr` |W| / sqrt(M), which is
    `kernel_lr` times about sqrt(min(M, N) / M) of their norm. At a rate of 0.1 and random gradients that is 0.08 for
    64 x 576, 0.06 for 128 x 64, and 0.02 for 256 x 9.

    Args:
        groups: of parameters; `kernels` is True in those of such kernels, whose learning rate is `kernel_lr`. A factor
            on `lr` acts on it, too.
        lr: learning rate, above 0.
        kernel_lr: learning rate of the kernels, above 0.
        momentum: share of the last step in the next one, 0 to 1, in SGD with Nesterov momentum; None for AdamW.
        kernel_momentum: the same of the kernels.

    Raises:
        ValueError: the groups are parameters, which don't say what is a kernel.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        kernel_lr: float,
        momentum: float | None = 0.85,
        kernel_momentum: float = 0.6,
    ) -> None:
        groups = list(groups)
        if not all(isinstance(group, dict) for group in groups):
            raise ValueError(
                "Muon takes groups of parameters, of kernels and of others: "
                'Muon([{"params": normalised_kernels(model), "kernels": True}, {"params": others}], lr, kernel_lr)'
            )
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "kernels": False}
        own = {"momentum": kernel_momentum, "weight_decay": 0.0}
        super().__init__(
            [
                {**group, "lr": kernel_lr * (group.get("lr", lr) / lr), **own} if group.get("kernels") else group
                for group in groups
            ],
            defaults,
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do a step; the closure, if there is one, computes the gradients first, and what it returns is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)
        return loss

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, rate = self.state[parameter], group["lr"]
        if group["kernels"]:
            scale = len(parameter) ** 0.5  # of the kernels, for which singular values of 1 are right
            norm = parameter.norm()
            norm = norm.where(norm > 0, scale)
            step = orthogonal(_nesterov(state, gradient, group["momentum"]).flatten(1)).view(gradient.shape)
            parameter.sub_(rate * norm / scale * step)
            parameter.mul_(norm / parameter.norm().clamp(min=1e-7))
            return
        if group["momentum"] is None:
            parameter.mul_(1 - rate * group["weight_decay"])
            step = _adam(state, gradient)
        else:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
            step = _nesterov(state, gradient, group["momentum"])
        parameter.sub_(step, alpha=rate)


def _nesterov(state: dict[str, Any], gradient: Tensor, share: float) -> Tensor:
    """Compute the step of SGD with Nesterov momentum (Sutskever et al. 2013), as torch.optim.SGD does."""
    if not state:
        state["momentum_buffer"] = torch.zeros_like(gradient)
    momentum = state["momentum_buffer"].mul_(share).add_(gradient)
    return gradient.add(momentum, alpha=share)


def _adam(state: dict[str, Any], gradient: Tensor) -> Tensor:
    """Compute the step of Adam (Kingma and Ba 2015, algorithm 1), as torch.optim.AdamW does."""
    if not state:
        state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
    state["step"] += 1
    first, second = _BETAS
    mean = state["exp_avg"].lerp_(gradient, 1 - first) / (1 - first ** state["step"])
    square = state["exp_avg_sq"].lerp_(gradient.square(), 1 - second) / (1 - second ** state["step"])
    return mean / (square.sqrt() + _EPSILON)


def orthogonal(matrix: Tensor) -> Tensor:
    """Compute a matrix with the singular vectors of another and singular values of about 1, by Newton-Schulz rounds.

    Args:
        matrix: (M, N).
    """
    a, b, c = _POLYNOMIAL
    x = matrix / (matrix.norm() + 1e-7)  # no singular value is above 1
    if wide := len(matrix) > matrix.shape[1]:
        x = x.T
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if wide else x
