"""Recurrent cells as their equations, and the recurrence over packed sequences that they share.

A cell computes the state s_t from the row x_t and the state before. Its two products are computed outside of it:

    u = U x_t + b             of all rows at once
    m = W s_{t-1} + c         step by step, of all sequences that still run and of both directions at once

`Cell.step` is the definition, a gate a line. The gradient follows from it by hand: what it reaches of a step is linear
in the gradient of the state, with factors that depend on the forward pass alone,

    dm_t = factor_t * ds_t,   ds_{t-1} = kept_t * ds_t + W^T dm_t

so the factors of all rows are computed at once, only `Cell.pull` goes back step by step, and the gradient of W is one
product at the end.

Letters: D directions, W rows, S sequences, N sequences that still run, H width of the state, G gates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


class Cell(ABC):
    """Equations of a recurrent cell, without weights. A state is a tuple of tensors whose first is s_t, the output."""

    gates: ClassVar[int]
    states: ClassVar[int] = 1  # tensors of a state
    summed: ClassVar[bool] = True  # u and m enter as their sum, so their gradients are equal

    @staticmethod
    @abstractmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> Tensors:
        """Compute the state of a step.

        Args:
            u: U x_t + b, (..., G H).
            m: W s_{t-1} + c, (..., G H).
            state: of the step before, each tensor (..., H).
        """

    @staticmethod
    @abstractmethod
    def factors(u: Tensor, m: Tensor, before: Tensors, after: Tensors) -> Tensors:
        """Compute what `pull` multiplies by, for all rows at once; the arguments are those of `step` and its result."""

    @staticmethod
    @abstractmethod
    def pull(factors: Tensors, gradients: Tensors, du: Tensor, dm: Tensor) -> Tensors:
        """Go one step back: write the gradients of u and m, and return those of the state before, but for W^T dm.

        Args:
            factors: of this step, from `factors`.
            gradients: of the state of this step, each (..., H).
            du: (..., G H), where the gradient of u is written.
            dm: (..., G H), where the gradient of m is written; the same tensor as `du` where both are equal.
        """


class PlainCell(Cell):
    """s_t = tanh(W s_{t-1} + U x_t + b), Elman 1990."""

    gates = 1

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> Tensors:
        return (torch.tanh(u + m),)

    @staticmethod
    def factors(u: Tensor, m: Tensor, before: Tensors, after: Tensors) -> Tensors:
        return (1 - after[0].square(),)

    @staticmethod
    def pull(factors: Tensors, gradients: Tensors, du: Tensor, dm: Tensor) -> Tensors:
        torch.mul(factors[0], gradients[0], out=dm)
        return (torch.zeros_like(dm),)


class ReLUCell(PlainCell):
    """s_t = max(0, W s_{t-1} + U x_t + b), Le, Jaitly and Hinton 2015."""

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> Tensors:
        return (torch.relu(u + m),)

    @staticmethod
    def factors(u: Tensor, m: Tensor, before: Tensors, after: Tensors) -> Tensors:
        return ((after[0] > 0).to(u.dtype),)


class LSTMCell(Cell):
    """Long short-term memory, Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    gates = 4
    states = 2

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> Tensors:
        _, c = state
        i, f, g, o = (u + m).chunk(4, -1)
        i = torch.sigmoid(i)  # input gate: how much of the candidate is written
        f = torch.sigmoid(f)  # forget gate: how much of the state line is kept
        g = torch.tanh(g)  # candidate
        o = torch.sigmoid(o)  # output gate: how much of the state line is shown
        c = f * c + i * g  # the state line
        return o * torch.tanh(c), c

    @staticmethod
    def factors(u: Tensor, m: Tensor, before: Tensors, after: Tensors) -> Tensors:
        i, f, g, o = (u + m).chunk(4, -1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        shown = torch.tanh(after[1])
        written = torch.cat([g * (i - i * i), before[1] * (f - f * f), i * (1 - g * g)], -1)
        return written, shown * (o - o * o), o * (1 - shown * shown), f

    @staticmethod
    def pull(factors: Tensors, gradients: Tensors, du: Tensor, dm: Tensor) -> Tensors:
        written, opened, down, kept = factors
        ds, dc = gradients
        dc = torch.addcmul(dc, ds, down)
        gates = _by_gate(dm, 4)
        torch.mul(_by_gate(written, 3), dc.unsqueeze(-2), out=gates[..., :3, :])
        torch.mul(opened, ds, out=gates[..., 3, :])
        return torch.zeros_like(ds), dc * kept


class GRUCell(Cell):
    """Gated recurrent unit, Cho et al. 2014, with the reset gate after the product, as in cuDNN."""

    gates = 3
    summed = False

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> Tensors:
        (s,) = state
        (ur, uz, un), (mr, mz, mn) = u.chunk(3, -1), m.chunk(3, -1)
        r = torch.sigmoid(ur + mr)  # reset gate: how much of the state the candidate sees
        z = torch.sigmoid(uz + mz)  # update gate: how much of the state is kept
        n = torch.tanh(un + r * mn)  # candidate
        return ((1 - z) * n + z * s,)

    @staticmethod
    def factors(u: Tensor, m: Tensor, before: Tensors, after: Tensors) -> Tensors:
        (ur, uz, un), (mr, mz, mn) = u.chunk(3, -1), m.chunk(3, -1)
        r, z = torch.sigmoid(ur + mr), torch.sigmoid(uz + mz)
        n = torch.tanh(un + r * mn)
        candidate = (1 - z) * (1 - n * n)
        return torch.cat([candidate * mn * (r - r * r), (before[0] - n) * (z - z * z), candidate], -1), r, z

    @staticmethod
    def pull(factors: Tensors, gradients: Tensors, du: Tensor, dm: Tensor) -> Tensors:
        gates, r, z = factors
        (ds,) = gradients
        torch.mul(_by_gate(gates, 3), ds.unsqueeze(-2), out=_by_gate(du, 3))
        dm.copy_(du)
        dm[..., -ds.shape[-1] :] *= r
        return (ds * z,)


def recurrence(
    cell: type[Cell], u: Tensor, weight: Tensor, bias: Tensor, initial: Tensors, running: list[int]
) -> Tensor:
    """Compute the states of packed sequences, of one direction or of several side by side.

    Args:
        cell: the equations.
        u: U x + b of all rows, (D, W, G H), in the order of a packed sequence: step by step, longest sequence first.
        weight: W, (D, G H, H).
        bias: c, (D, G H).
        initial: state before the first row, each tensor (D, S, H), longest sequence first.
        running: number of sequences that still run at each step, falling.

    Returns:
        s of all rows, (D, W, H), in the order of `u`; in the dtype of the weights, under autocast too.
    """
    tensors = (each.to(weight.dtype) for each in (u, weight, bias, *initial))
    with torch.autocast(u.device.type, enabled=False):
        states: Tensors = _Recurrence.apply(cell, running, *tensors)
    return states[0]


def _by_definition(
    cell: type[Cell], running: list[int], u: Tensor, weight: Tensor, bias: Tensor, initial: Tensors
) -> Tensors:
    """Compute the states of all rows, step by step: each tensor (D, W, H)."""
    state, steps, transposed = initial, [], weight.mT
    for rows, count in zip(torch.split(u, running, 1), running, strict=True):
        state = tuple(part[:, :count] for part in state)
        m = torch.baddbmm(bias.unsqueeze(1), state[0], transposed)  # (D, N, G H)
        state = cell.step(rows, m, state)
        steps.append(state)
    return tuple(torch.cat(parts, 1) for parts in zip(*steps, strict=True))


class _Recurrence(torch.autograd.Function):
    """`_by_definition` with its gradient by hand; a gradient of that gradient is taken through the definition."""

    @staticmethod
    def forward(
        cell: type[Cell], running: list[int], u: Tensor, weight: Tensor, bias: Tensor, *initial: Tensor
    ) -> Tensors:
        return _by_definition(cell, running, u, weight, bias, initial)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.cell, ctx.running, *tensors = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*tensors, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cell, running = ctx.cell, ctx.running
        u, weight, bias, *rest = ctx.saved_tensors
        initial, after = tuple(rest[: cell.states]), tuple(rest[cell.states :])
        if torch.is_grad_enabled():  # to be differentiated again
            inputs = [tensor for tensor in (u, weight, bias, *initial) if tensor.requires_grad]
            states = _by_definition(cell, running, u, weight, bias, initial)
            computed = iter(torch.autograd.grad(states[0], inputs, gradients[0], create_graph=True))
            return None, None, *(next(computed) if t.requires_grad else None for t in (u, weight, bias, *initial))
        index = _row_before(running, u.device)
        before = tuple(
            torch.cat([first, states], 1).index_select(1, index) for first, states in zip(initial, after, strict=True)
        )
        m = torch.baddbmm(bias.unsqueeze(1), before[0], weight.mT)  # (D, W, G H)
        factors = cell.factors(u, m, before, after)
        du = torch.empty_like(u)
        dm = du if cell.summed else torch.empty_like(u)
        state = tuple(torch.zeros_like(part[:, : running[-1]]) for part in initial)
        end = u.shape[1]
        for count in reversed(running):
            rows = slice(end - count, end)
            ds = gradients[0][:, rows].clone()
            ds[:, : state[0].shape[1]] += state[0]
            others = tuple(_padded(part, count) for part in state[1:])
            state = cell.pull(tuple(f[:, rows] for f in factors), (ds, *others), du[:, rows], dm[:, rows])
            state = (torch.baddbmm(state[0], dm[:, rows], weight), *state[1:])
            end -= count
        return None, None, du, dm.mT @ before[0], dm.sum(1), *state


def _by_gate(values: Tensor, gates: int) -> Tensor:
    """View (..., G H) as (..., G, H)."""
    return values.view(*values.shape[:-1], gates, -1)


def _row_before(running: list[int], device: torch.device) -> Tensor:
    """Find the state before each row, int64 (W,), among the initial states (S,) followed by those of all rows."""
    counts = torch.tensor(running)
    shift = counts[0] - torch.cat([counts[:1], counts[:-1]])
    index = torch.arange(int(counts.sum())) + torch.repeat_interleave(shift, counts)
    return index.to(device)


def _padded(gradient: Tensor, count: int) -> Tensor:
    """Append zeros for the sequences that end at this step: (D, N, H) to (D, count, H)."""
    ending = count - gradient.shape[1]
    return (
        torch.cat([gradient, gradient.new_zeros(len(gradient), ending, gradient.shape[2])], 1) if ending else gradient
    )
