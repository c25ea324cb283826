"""Recurrent cells as their equations, and the recurrence over packed sequences that they share.

A cell computes the state s_t from the row x_t and the state before. Its two products are computed outside of it:

    u = U x_t + b             of all rows at once
    m = W s_{t-1} + c         step by step, of all sequences that still run and of both directions at once

`Cell.step` is the definition, a gate a line; `Cell.pull` is its gradient by hand. The steps of a batch are many small
operations, so what counts is how few there are: both directions share a step, backward goes through the steps once and
adds into the same tensors, and nothing is recorded for autograd.

Letters: D directions, W rows, S sequences, N sequences that still run, H width of the state, G gates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


class Cell(ABC):
    """Equations of a recurrent cell, without weights. A state is a tuple of tensors whose first is s_t, the output."""

    gates: ClassVar[int]
    states: ClassVar[int] = 1  # tensors of a state
    named: ClassVar[dict[str, int]] = {}  # gates between 0 and 1: where `step` returns them
    keeps: ClassVar[str] = ""  # the gate that is the share of the state that a step keeps

    @staticmethod
    @abstractmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        """Compute a step.

        Args:
            u: U x_t + b, (..., G H).
            m: W s_{t-1} + c, (..., G H).
            state: of the step before, each tensor (..., H).

        Returns:
            The state, and the values of the gates, each (..., H), from which `pull` computes gradients.
        """

    @staticmethod
    @abstractmethod
    def pull(state: Tensors, gates: Tensors, gradients: Tensors, du: Tensor) -> Tensor:
        """Compute the gradients of a step, but for what comes to the state before through its product, W^T dm.

        Args:
            state: of the step before, each tensor (..., H).
            gates: of this step, from `step`.
            gradients: of the state of this step, each (..., H); becomes that of the state before.
            du: (..., G H), where the gradient of u is written.

        Returns:
            dm, the gradient of m, (..., G H); `du` itself where both are equal.
        """


class PlainCell(Cell):
    """s_t = tanh(W s_{t-1} + U x_t + b), Elman 1990."""

    gates = 1

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        s = torch.tanh(u + m)
        return (s,), (s,)

    @staticmethod
    def pull(state: Tensors, gates: Tensors, gradients: Tensors, du: Tensor) -> Tensor:
        (s,), (ds,) = gates, gradients
        torch.mul(ds, 1 - s * s, out=du)
        ds.zero_()
        return du


class ReLUCell(Cell):
    """s_t = max(0, W s_{t-1} + U x_t + b), Le, Jaitly and Hinton 2015."""

    gates = 1

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        s = torch.relu(u + m)
        return (s,), (s,)

    @staticmethod
    def pull(state: Tensors, gates: Tensors, gradients: Tensors, du: Tensor) -> Tensor:
        (s,), (ds,) = gates, gradients
        torch.mul(ds, s > 0, out=du)
        ds.zero_()
        return du


class LSTMCell(Cell):
    """Long short-term memory, Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    gates = 4
    states = 2
    named: ClassVar[dict[str, int]] = {"input": 0, "forget": 1, "output": 3}
    keeps: ClassVar[str] = "forget"

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        _, c = state
        i, f, g, o = (u + m).chunk(4, -1)
        i = torch.sigmoid(i)  # input gate: how much of the candidate is written
        f = torch.sigmoid(f)  # forget gate: how much of the state line is kept
        g = torch.tanh(g)  # candidate
        o = torch.sigmoid(o)  # output gate: how much of the state line is shown
        c = torch.addcmul(f * c, i, g)  # the state line, f c + i g
        h = torch.tanh(c)
        return (o * h, c), (i, f, g, o, h)

    @staticmethod
    def pull(state: Tensors, gates: Tensors, gradients: Tensors, du: Tensor) -> Tensor:
        (_, c), (i, f, g, o, h), (ds, dc) = state, gates, gradients
        di, df, dg, do = du.chunk(4, -1)
        dc.addcmul_(ds, o * (1 - h * h))
        torch.mul(dc, g * (i * (1 - i)), out=di)
        torch.mul(dc, c * (f * (1 - f)), out=df)
        torch.mul(dc, i * (1 - g * g), out=dg)
        torch.mul(ds, h * (o * (1 - o)), out=do)
        dc.mul_(f)
        ds.zero_()
        return du


class GRUCell(Cell):
    """Gated recurrent unit, Cho et al. 2014, with the reset gate after the product, as in cuDNN."""

    gates = 3
    named: ClassVar[dict[str, int]] = {"reset": 0, "update": 1}
    keeps: ClassVar[str] = "update"

    @staticmethod
    def step(u: Tensor, m: Tensor, state: Tensors) -> tuple[Tensors, Tensors]:
        (s,) = state
        (ur, uz, un), (mr, mz, mn) = u.chunk(3, -1), m.chunk(3, -1)
        r = torch.sigmoid(ur + mr)  # reset gate: how much of the state the candidate sees
        z = torch.sigmoid(uz + mz)  # update gate: how much of the state is kept
        n = torch.tanh(torch.addcmul(un, r, mn))  # candidate, tanh(un + r mn)
        s = torch.lerp(n, s, z)  # (1 - z) n + z s
        return (s,), (r, z, n, mn)

    @staticmethod
    def pull(state: Tensors, gates: Tensors, gradients: Tensors, du: Tensor) -> Tensor:
        (s,), (r, z, n, mn), (ds,) = state, gates, gradients
        dr, dz, dn = du.chunk(3, -1)
        torch.mul(ds, (1 - z) * (1 - n * n), out=dn)
        torch.mul(ds, (s - n) * (z * (1 - z)), out=dz)
        torch.mul(dn, mn * (r * (1 - r)), out=dr)
        ds.mul_(z)
        return torch.cat([dr, dz, dn * r], -1)


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
    tensors = [each.to(weight.dtype) for each in (u, weight, bias, *initial)]
    with torch.autocast(u.device.type, enabled=False):
        if torch.is_grad_enabled():
            return cast(Tensor, _Recurrence.apply(cell, running, *tensors))
        return torch.cat([after[0] for _, after, _ in _steps(cell, running, *tensors)], 1)


@torch.no_grad()
def gate_values(
    cell: type[Cell], u: Tensor, weight: Tensor, bias: Tensor, initial: Tensors, running: list[int]
) -> dict[str, Tensor]:
    """Compute the gates of all rows by name, each (D, W, H), 0 to 1; the arguments are those of `recurrence`."""
    steps = [gates for _, _, gates in _steps(cell, running, u, weight, bias, *initial)]
    return {name: torch.cat([gates[number] for gates in steps], 1) for name, number in cell.named.items()}


def _steps(
    cell: type[Cell], running: list[int], u: Tensor, weight: Tensor, bias: Tensor, *initial: Tensor
) -> Iterator[tuple[Tensors, Tensors, Tensors]]:
    """Yield the state before each step, the state after it, and its gates; each tensor (D, N, H)."""
    after, bias, transposed = initial, bias.unsqueeze(1), weight.mT
    for rows, count in zip(torch.split(u, running, 1), running, strict=True):
        before = tuple(part[:, :count] for part in after)
        m = torch.baddbmm(bias, before[0], transposed)  # (D, N, G H)
        after, gates = cell.step(rows, m, before)
        yield before, after, gates


class _Recurrence(torch.autograd.Function):
    """The steps with their gradient by hand; a gradient of that gradient is taken through the definition."""

    @staticmethod
    def forward(ctx: Any, cell: type[Cell], running: list[int], *tensors: Tensor) -> Tensor:
        steps = list(_steps(cell, running, *tensors))
        ctx.cell, ctx.running, ctx.inputs = cell, running, len(tensors)
        kept = [tensor for before, _, gates in steps for tensor in (*before, *gates)]
        ctx.save_for_backward(*tensors, *kept)
        return torch.cat([after[0] for _, after, _ in steps], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cell, running, tensors = ctx.cell, ctx.running, ctx.saved_tensors
        (u, weight, bias, *initial), kept = tensors[: ctx.inputs], tensors[ctx.inputs :]
        if torch.is_grad_enabled():  # to be differentiated again
            return None, None, *_recorded_gradients(cell, running, gradients[0], *tensors[: ctx.inputs])
        du, dweight, dbias = torch.empty_like(u), torch.zeros_like(weight), torch.zeros_like(bias)
        state = tuple(torch.zeros_like(part) for part in initial)  # of a sequence, until its last row comes
        size, end = len(kept) // len(running), u.shape[1]
        for step, count in reversed(list(enumerate(running))):
            of_step = kept[size * step : size * (step + 1)]
            before, gates = of_step[: cell.states], of_step[cell.states :]
            rows = slice(end - count, end)
            ongoing = tuple(part[:, :count] for part in state)
            ongoing[0].add_(gradients[0][:, rows])
            dm = cell.pull(before, gates, ongoing, du[:, rows])
            ongoing[0].baddbmm_(dm, weight)
            dweight.baddbmm_(dm.mT, before[0])
            dbias.add_(dm.sum(1))
            end -= count
        return None, None, du, dweight, dbias, *state


def _recorded_gradients(
    cell: type[Cell], running: list[int], gradient: Tensor, *tensors: Tensor
) -> Iterator[Tensor | None]:
    """Yield the gradients of the arguments of `_steps`, recorded for autograd."""
    states = torch.cat([after[0] for _, after, _ in _steps(cell, running, *tensors)], 1)
    inputs = [tensor for tensor in tensors if tensor.requires_grad]
    computed = iter(torch.autograd.grad(states, inputs, gradient, create_graph=True))
    return (next(computed) if tensor.requires_grad else None for tensor in tensors)
