"""Memory: the gradient of a plain cell is gone within some tens of steps; open gates carry it over hundreds.

    plain  s_t = tanh(W s_{t-1} + U x_t + b)           ds_t / ds_{t-1} = diag(1 - s_t^2) W
    lstm   c_t = f_t c_{t-1} + i_t g_t                 dc_t / dc_{t-1} = f_t   (along the state line)

Bengio, Simard and Frasconi 1994; Hochreiter and Schmidhuber 1997. A forget gate with the bias log(T - 1) is 1 - 1 / T,
and keeps its content for about T steps; biases are drawn as log U(1, T - 1) (Tallec and Ollivier 2018, section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import Optimizer
from lightning_nn.layers import FlatReLU, FlatRNN
from lightning_nn.layers.recurrent import Cell
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYMBOLS, NOISE, HIDDEN = 4, 4, 16  # 4 symbols to remember, 4 that mean nothing
DISTANCES = (10, 50, 200)
NAMES: dict[str, Cell] = {"plain": "rnn", "lstm": "lstm", "gru": "gru"}


def sequences(count: int, steps: int) -> tuple[Tensor, Tensor]:
    """Draw sequences (S T, symbols), one-hot, and the first symbol of each, (S,), which is to be remembered."""
    first = torch.randint(SYMBOLS, (count, 1))
    noise = SYMBOLS + torch.randint(NOISE, (count, steps - 1))
    return F.one_hot(torch.cat([first, noise], 1).flatten(), SYMBOLS + NOISE).float(), first.flatten()


def layer_of(cell: Cell, horizon: int) -> FlatRNN:
    """Make a layer whose gates begin open for times of up to `horizon` steps."""
    layer = FlatRNN(SYMBOLS + NOISE, HIDDEN, cell=cell, direction="forward")
    if cell != "rnn":
        _, _, _, c = layer.rnn.parameters()
        with torch.no_grad():
            c[HIDDEN : 2 * HIDDEN] = torch.empty(HIDDEN).uniform_(1, horizon - 1).log()  # forget or update gate
    return layer


def reach(layer: FlatRNN, steps: int) -> Tensor:
    """Measure the gradient of the last state by the row of each step, (T,), as a share of that by the last row.

    It takes float64, in which 1e-50 is not yet 0.
    """
    x = sequences(1, steps)[0].double().requires_grad_()
    layer.double()(x, torch.tensor([steps]))[-1].sum().backward()
    assert x.grad is not None
    size = x.grad.norm(dim=1)
    return size / size[-1]


def train(layer: FlatRNN, output: nn.Linear, steps: int, updates: int) -> None:
    """Train a layer to name the first symbol after the last step."""
    parameters = [*layer.parameters(), *output.parameters()]
    optimizer = Optimizer(name="adam", lr=0.02).build([{"params": parameters}])
    length = torch.full((32,), steps)
    for _ in range(updates):
        x, first = sequences(32, steps)
        optimizer.zero_grad()
        F.cross_entropy(output(layer.last(layer(x, length), length)), first).backward()
        optimizer.step()


def accuracy(layer: FlatRNN, output: nn.Linear, steps: int) -> float:
    """Measure how often the first symbol is named after so many steps."""
    x, first = sequences(400, steps)
    length = torch.full((400,), steps)
    with torch.no_grad():
        return (output(layer.last(layer(x, length), length)).argmax(1) == first).float().mean().item()


def run(seed: int = 0, size: Size = "full", *, horizon: int = 50) -> Result:
    """Measure how far the gradient reaches before training; train at 10 steps, and test at more."""
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for name, cell in NAMES.items():
        back = reach(layer_of(cell, horizon), DISTANCES[-1])
        layer, output = layer_of(cell, horizon), nn.Linear(HIDDEN, SYMBOLS)
        train(layer, output, DISTANCES[0], 150 if size == "full" else 120)
        gradients = {f"gradient, {steps}": back[-steps].item() for steps in DISTANCES}
        right = {f"accuracy, {steps}": accuracy(layer, output, steps) for steps in DISTANCES}
        rows.append({"cell": name} | gradients | right)
        arrays[name] = back.log10().numpy()
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the gradient by the rows before, and the accuracy by the number of steps."""
    left, right = figure.subplots(1, 2)
    x = range(len(DISTANCES))
    for row, colour, marker, line in zip(result.rows, (ORANGE, BLUE, GREEN), "so^", ("--", "-", ":"), strict=True):
        back = result.arrays[row["cell"]]
        left.plot(np.arange(1 - len(back), 1), back, line, color=colour)
        right.plot(x, [row[f"accuracy, {steps}"] for steps in DISTANCES], marker + line, color=colour)
    left.set(xlabel="t - T", ylabel=r"$\log_{10}\,|\partial s_T / \partial x_t|$", ylim=(-30, 1))
    right.axhline(1 / SYMBOLS, color="lightgrey", linewidth=1, zorder=0)
    right.set(xlabel="T", ylabel="p", xticks=x, xticklabels=DISTANCES, ylim=(-0.05, 1.05))
    right.legend(list(NAMES.values()), loc="lower left")


def claim(result: Result) -> list[Claim]:
    """Compare the plain cell with those that have gates."""
    plain, *gated = result.rows
    return [
        Claim("plain cell, gradient 50 steps back", plain["gradient, 50"], "<=", 1e-10),
        Claim("lower of LSTM and GRU, 50 steps back", min(row["gradient, 50"] for row in gated), ">=", 1e-3),
        Claim("plain cell, gradient 200 steps back", plain["gradient, 200"], "<=", 1e-40),
        Claim("lower of LSTM and GRU, 200 steps back", min(row["gradient, 200"] for row in gated), ">=", 1e-7),
        Claim("lower accuracy of LSTM and GRU at 200", min(row["accuracy, 200"] for row in gated), ">=", 0.6),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what is left of the gradient of the plain cell after 50 steps."""
    left = result.row(cell="plain")["gradient, 50"]
    return 1 if left > 1e-2 else 2 if left > 1e-6 else 3


def answer_1() -> list[Claim]:
    """Let the gates begin half open, as they do without a bias."""
    half, opened = (reach(layer_of("lstm", horizon), 50)[0].item() for horizon in (2, 50))
    return [Claim("gradient 50 steps back, gates half open, by that of open ones", half / opened, "<=", 1e-6)]


def answer_2() -> list[Claim]:
    """Compute the gradient of a ReLU cell that begins with W = 1."""
    layer, x = FlatReLU(HIDDEN), torch.rand(200, HIDDEN, requires_grad=True)
    layer(x, torch.tensor([200]))[-1].sum().backward()
    assert x.grad is not None
    return [Claim("gradient 200 steps back, ReLU with W = 1", x.grad[0].mean().item(), "==", 1)]
