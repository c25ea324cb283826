"""Computation graph: built first and fed with numbers later, or traced while it computes; the numbers are the same.

    z = w · x + b,    p = sigmoid(z),    L = -log p
    dL/dw = dL/dp dp/dz dz/dw = (p - 1) x        the chain rule, from the loss back to the weights

Linnainmaa 1970; Rumelhart, Hinton and Williams 1986. PyTorch records the graph while it computes (define by run);
`torch.export` returns it as a program, as Theano and the first TensorFlow built it before there was any number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_nn.lessons.lesson import BLUE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUTS = 3
HEIGHT = 3.8


class Neuron(nn.Module):
    """A neuron and its cross-entropy for the label 1, an operation a line."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(INPUTS).double()), nn.Parameter(torch.randn(1).double())

    def forward(self, x: Tensor) -> Tensor:
        """Compute L of one sample, (1,)."""
        product = self.w * x
        z = product.sum() + self.b
        p = torch.sigmoid(z)
        return -torch.log(p)


def chain_rule(neuron: Neuron, x: Tensor) -> dict[str, float]:
    """Compute the loss, and go back from it step by step with the derivative of each operation."""
    w, b = neuron.w.detach(), neuron.b.detach()
    p = 1 / (1 + torch.exp(-(w @ x + b)))
    dp = -1 / p  # L = -log p
    dz = dp * p * (1 - p)  # p = sigmoid(z)
    dw, db = dz * x, dz  # z = w · x + b
    return named(-torch.log(p), dw, db)


def named(loss: Tensor, dw: Tensor, db: Tensor) -> dict[str, float]:
    """Return numbers by name."""
    values = torch.cat([loss.detach(), dw, db]).tolist()
    return dict(zip(("L", *(f"dL/dw{k + 1}" for k in range(INPUTS)), "dL/db"), values, strict=True))


def differentiate(model: nn.Module, parameters: list[Any], x: Tensor) -> dict[str, float]:
    """Compute the loss, and the derivatives by backpropagation."""
    loss = model(x)
    return named(loss, *torch.autograd.grad(loss.sum(), parameters))


def run(seed: int = 0, size: Size = "full", *, scale: float = 1.0) -> Result:
    """Build the graph with one input, then feed it, the module and the chain rule with another."""
    neuron = Neuron()
    program = torch.export.export(neuron, (torch.zeros(INPUTS).double(),))  # built first
    x = scale * torch.randn(INPUTS).double()  # fed later
    graph = program.module()
    sources = {
        "by hand": chain_rule(neuron, x),
        "eager": differentiate(neuron, [neuron.w, neuron.b], x),
        "graph": differentiate(graph, [graph.w, graph.b], x),
    }
    rows: list[Row] = [
        {"value": key, **{way: numbers[key] for way, numbers in sources.items()}} for key in sources["eager"]
    ]
    operations = [node.name for node in program.graph.nodes if node.op == "call_function"]
    z = neuron.w.detach() @ x + neuron.b.detach()
    steps = torch.cat([x, neuron.w.detach(), z, z.sigmoid()])
    return Result(rows, {"values": steps.numpy(), "operations": torch.tensor([len(operations)]).numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the graph with its numbers: values above, derivatives of the loss below."""
    axes = figure.subplots()
    x, w, (z, p) = (result.arrays["values"][part] for part in (slice(0, 3), slice(3, 6), slice(6, 8)))
    loss, *dw, db = result.column("by hand")
    inner = [
        (2.0, 1.0, "·", float(x @ w), db),
        (3.3, 1.0, "+", z, db),
        (4.6, 1.0, "σ", p, -1 / p),
        (5.9, 1.0, "L", loss, 1.0),
    ]
    leaves = [(0.4, 2.3 - 1.3 * k, f"$w_{k + 1}$", w[k], dw[k]) for k in range(INPUTS)] + [
        (3.3, -0.2, "b", z - x @ w, db)
    ]
    for (x0, y0, *_), (x1, y1, *_) in [*((leaf, inner[0]) for leaf in leaves[:-1]), (leaves[-1], inner[1])]:
        axes.plot([x0, x1], [y0, y1], color="grey", linewidth=1, zorder=0)
    axes.plot([node[0] for node in inner], [1.0] * 4, color="grey", linewidth=1, zorder=0)
    for across, up, label, value, derivative in [*leaves, *inner]:
        axes.plot(across, up, "o", markersize=26, color="white", markeredgecolor="black")
        axes.text(across, up, label, ha="center", va="center")
        leaf = across < 1  # whose numbers stand beside its line
        place, edge = (across - 0.25, "right") if leaf else (across + 0.12, "left")
        axes.text(place, up + 0.3, f"{value:.2f}", color=BLUE, ha=edge)
        axes.text(place, up - 0.45, f"{derivative:.2f}", color="#A34700", style="italic", ha=edge)
    axes.set(xlim=(-0.4, 6.6), ylim=(-1.1, 2.9))
    axes.axis("off")


def claim(result: Result) -> list[Claim]:
    """Say that all three ways give the same."""
    gaps = {way: max(abs(row[way] - row["by hand"]) for row in result.rows) for way in ("eager", "graph")}
    x, dw = result.arrays["values"][:INPUTS], [row["by hand"] for row in result.rows[1 : 1 + INPUTS]]
    p = result.arrays["values"][-1]
    return [
        Claim("gap of eager and chain rule", gaps["eager"], "<=", 1e-12),
        Claim("gap of graph and chain rule", gaps["graph"], "<=", 1e-12),
        Claim("gap of dL/dw and (p - 1) x", float(abs((p - 1) * x - dw).max()), "<=", 1e-3),
        Claim("operations of the graph", int(result.arrays["operations"][0]), ">=", 4),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says whether both differ."""
    return 1 if max(abs(row["graph"] - row["eager"]) for row in result.rows) < 1e-12 else 2


def answer_1() -> list[Claim]:
    """Let a value be used twice: its derivatives add up."""
    w = torch.tensor(3.0, requires_grad=True)
    (derivative,) = torch.autograd.grad(w * w + w, w)
    return [Claim("derivative of w w + w at 3", derivative.item(), "==", 7)]


def answer_2() -> list[Claim]:
    """Go back through ten sigmoids."""
    x = torch.zeros((), requires_grad=True)
    p = x
    for _ in range(10):
        p = torch.sigmoid(p)
    (derivative,) = torch.autograd.grad(p, x)
    return [Claim("derivative through ten sigmoids", derivative.item(), "<=", 0.25**10)]
