"""Recurrence: one cell and one set of weights, at every step of a sequence of any length.

    s_t = tanh(W s_{t-1} + U x_t + b)

Elman 1990. Unrolled, the network has as many layers as the sequence has steps, all with the same weights; the gradient
of W is the sum of what each step contributes (Werbos 1990, "Backpropagation through time").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.layers import FlatRNN
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUTS, HIDDEN = 8, 16


def loop(layer: FlatRNN, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Compute the states by hand, (T, H), each step with a copy of W whose gradient is its own."""
    U, W, b, c = layer.rnn.parameters()
    state, states, copies = x.new_zeros(HIDDEN), [], []
    for x_t in x:
        copies.append(W.detach().clone().requires_grad_())
        state = torch.tanh(F.linear(state, copies[-1], c) + F.linear(x_t, U, b))
        states.append(state)
    return torch.stack(states), copies


def run(seed: int = 0, size: Size = "full", *, steps: int = 100) -> Result:
    """Compare the layer with the loop, for sequences of several lengths."""
    layer = FlatRNN(INPUTS, HIDDEN, cell="rnn", direction="forward").double()
    weights = sum(parameter.numel() for parameter in layer.parameters())
    rows: list[Row] = []
    for length in sorted({1, 5, 20, steps}):
        x = torch.randn(length, INPUTS, dtype=torch.float64)
        states = layer(x, torch.tensor([length]))  # (T, H)
        unrolled, copies = loop(layer, x)
        layer.zero_grad()
        states[-1].sum().backward()
        unrolled[-1].sum().backward()
        shared: Any = layer.rnn.weight_hh_l0.grad
        parts = torch.stack([copy.grad for copy in copies])  # type: ignore[misc]
        rows.append(
            {
                "steps": length,
                "weights": weights,
                "weights, a set per step": weights * length,
                "gap of states": (states - unrolled).abs().max().item(),
                "gap of gradients": (shared - parts.sum(0)).abs().max().item(),
            }
        )
    return Result(rows, {"parts": parts[1:].norm(dim=(1, 2)).numpy(), "states": states.detach()[:, :3].numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw three values of the state over the steps, and the contribution of each step to the gradient."""
    left, right = figure.subplots(1, 2)
    left.plot(result.arrays["states"][:30], linewidth=1.5)
    left.set(xlabel="t", ylabel="$s_t$")
    parts = result.arrays["parts"][-20:]
    right.bar(range(1 - len(parts), 1), parts, color=BLUE)
    right.bar(0, parts[-1], color=ORANGE)
    right.set(xlabel="t - T", ylabel="|dW|", yscale="log")


def claim(result: Result) -> list[Claim]:
    """Say that the layer is the loop."""
    first, *_, longest = result.rows
    parts = result.arrays["parts"]
    return [
        Claim("gap of states", max(result.column("gap of states")), "<=", 1e-12),
        Claim("gap of gradients", max(result.column("gap of gradients")), "<=", 1e-10),
        Claim("weights at the longest, by those at 1 step", longest["weights"] / first["weights"], "==", 1),
        Claim(
            "the same with a set per step",
            longest["weights, a set per step"] / first["weights, a set per step"],
            "==",
            longest["steps"],
        ),
        Claim("contribution ten steps before the end, by that of the last", float(parts[-11] / parts[-1]), "<=", 0.1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that is the number of weights."""
    return 1 if {row["weights"] for row in result.rows} == {416} else 2


def answer_1() -> list[Claim]:
    """Turn a sequence around."""
    forward = FlatRNN(INPUTS, HIDDEN, cell="rnn", direction="forward")
    backward = FlatRNN(INPUTS, HIDDEN, cell="rnn", direction="backward")
    backward.load_state_dict(forward.state_dict())
    x, length = torch.randn(20, INPUTS), torch.tensor([20])
    gap = (backward(x, length) - forward(x.flip(0), length).flip(0)).abs().max()
    return [Claim("gap of backward and turned around", gap.item(), "<=", 1e-6)]


def answer_2() -> list[Claim]:
    """Give the last step weights of its own."""
    layer, x = FlatRNN(INPUTS, HIDDEN, cell="rnn", direction="forward"), torch.randn(20, INPUTS)
    U, W, b, c = layer.rnn.parameters()
    with torch.no_grad():
        states, _ = loop(layer, x)
        last = torch.tanh(F.linear(states[-2], 2 * W, c) + F.linear(x[-1], U, b))
    gap = (states[-1] - last).abs().max()
    return [Claim("gap of the loop with other weights at the last step", gap.item(), ">=", 0.1)]
