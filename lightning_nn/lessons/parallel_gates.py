"""Parallel gates: gates that don't see the state make the recurrence a scan, whose depth is the logarithm of the steps.

    GRU       z_t = sigmoid(W s_{t-1} + U x_t + b)      a step waits for the one before
    minGRU    z_t = sigmoid(U x_t + b)                  s_t = a_t s_{t-1} + b_t,  a_t = 1 - z_t,  b_t = z_t (V x_t + c)
    scan      (a_2, b_2) after (a_1, b_1) = (a_2 a_1, a_2 b_1 + b_2), which is associative

Feng et al. 2024, "Were RNNs all we needed?", section 3.1; Blelloch 1990; Martin and Cundy 2018. What is lost: with a_t
above 0 a state can fade but not flip, and parity is out of reach; a_t = 1 - 2 z_t, between -1 and 1, brings it back
(Grazzi et al. 2024, arXiv:2411.12537).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import Optimizer
from lightning_nn.layers import FlatRNN
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUTS, WIDTH = 4, 16  # the first bit, 0 or 1, and a later bit, 0 or 1
STEPS = (16, 64, 256, 1024)  # at which depth is counted
LENGTHS = (10, 20, 50, 100)  # trained at the first, tested at all
WAYS = (("GRU", "loop"), ("minGRU", "loop"), ("minGRU", "scan"), ("signed minGRU", "scan"))


def scan(a: Tensor, b: Tensor) -> Tensor:
    """Compute all s_t = a_t s_{t-1} + b_t from s_0 = 0: join steps in pairs, scan these, fill in the steps between."""
    if len(a) == 1:
        return b
    pairs = len(a) // 2
    first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    after_pairs = scan(a[second] * a[first], a[second] * b[first] + b[second])
    between = torch.cat([b[:1], a[2::2] * after_pairs[: len(a[2::2])] + b[2::2]])
    states = torch.stack([between[:pairs], after_pairs], 1).flatten(0, 1)
    return torch.cat([states, between[pairs:]])


def loop(a: Tensor, b: Tensor) -> Tensor:
    """Compute the same step by step."""
    states = [b[0]]
    for a_t, b_t in zip(a[1:], b[1:], strict=True):
        states.append(a_t * states[-1] + b_t)
    return torch.stack(states)


class MinGRU(nn.Module):
    """Layers of minGRU over sequences of equal length, (T, S, inputs) to (T, S, width)."""

    def __init__(self, layers: int, signed: bool) -> None:
        super().__init__()
        widths = [INPUTS, *[WIDTH] * layers]
        self.gates = nn.ModuleList(map(nn.Linear, widths, widths[1:]))  # U, b
        self.candidates = nn.ModuleList(map(nn.Linear, widths, widths[1:]))  # V, c
        self.signed = signed

    def forward(self, x: Tensor, in_steps: bool = False) -> Tensor:
        """Compute the states of every step, by the scan or in steps."""
        for gate, candidate in zip(self.gates, self.candidates, strict=True):
            z = torch.sigmoid(gate(x))
            a = 1 - 2 * z if self.signed else 1 - z
            x = (loop if in_steps else scan)(a, z * candidate(x))
        return x


class GRU(nn.Module):
    """The package's GRU over sequences of equal length, (T, S, inputs) to (T, S, width)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = FlatRNN(INPUTS, WIDTH, cell="gru", direction="forward")

    def forward(self, x: Tensor, in_steps: bool = False) -> Tensor:
        """Compute the states of every step, by the layer or in steps."""
        steps, sequences, _ = x.shape
        if not in_steps:
            states = self.layer(x.transpose(0, 1).flatten(0, 1), torch.full((sequences,), steps))
            return states.view(sequences, steps, -1).transpose(0, 1)
        states, state = [], None
        for x_t in x:
            output, state = self.layer.step(x_t, state)
            states.append(output)
        return torch.stack(states)


def chains(states: Tensor) -> dict[Any, int]:
    """Count for each operation of a graph the longest chain of operations that leads to it."""
    longest: dict[Any, int] = {}
    waiting: list[Any] = [states.grad_fn]
    while waiting:
        before = [node for node, _ in waiting[-1].next_functions if node is not None]
        if missing := [node for node in before if node not in longest]:
            waiting += missing
        else:
            longest[waiting.pop()] = 1 + max((longest[node] for node in before), default=0)
    return longest


def sequences(count: int, steps: int) -> tuple[Tensor, Tensor]:
    """Draw bits, one-hot (T, S, 4), and at each step the first bit and the parity so far, (T, S, 2)."""
    bits = torch.randint(2, (steps, count))
    symbols = torch.cat([bits[:1], bits[1:] + 2])
    answers = torch.stack([bits[:1].expand(steps, count), bits.cumsum(0) % 2], -1)
    return F.one_hot(symbols, INPUTS).float(), answers.float()


def train(model: nn.Module, updates: int) -> nn.Linear:
    """Train a layer to name first bit and parity at each step; return the output layer."""
    output = nn.Linear(WIDTH, 2)
    optimizer = Optimizer(name="adam", lr=0.03).build([{"params": [*model.parameters(), *output.parameters()]}])
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = 0.03 * min(1, 2 - 2 * update / updates)
        x, answers = sequences(32, LENGTHS[0])
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(output(model(x)), answers).backward()
        optimizer.step()
    return output


@torch.no_grad()
def accuracies(model: nn.Module, output: nn.Linear) -> Array:
    """Measure how often first bit and parity are right after the last step, (lengths, 2)."""
    right = []
    for steps in LENGTHS:
        x, answers = sequences(1000, steps)
        right.append(((output(model(x)[-1]) > 0) == answers[-1]).double().mean(0))
    return torch.stack(right).numpy()


def gap(model: nn.Module) -> float:
    """Compute the largest difference of states, and of gradients of weights, between all at once and step by step."""
    x, results = torch.randn(100, 2, INPUTS, dtype=torch.float64), []
    for in_steps in (False, True):
        states = model.double()(x, in_steps)
        results.append([states, *torch.autograd.grad(states.square().sum(), list(model.parameters()))])
    model.float()
    return max((one - other).abs().max().item() for one, other in zip(*results, strict=True))


def depths(model: nn.Module, in_steps: bool) -> Array:
    """Count the longest chain of operations from a sequence of each length to its states."""
    counts = []
    for steps in STEPS:
        states = model(torch.randn(steps, 1, INPUTS), in_steps)
        counts.append(chains(states)[states.grad_fn])
    return np.array(counts)


def run(seed: int = 0, size: Size = "full", *, layers: int = 1) -> Result:
    """Count depths, compare scan and loop, and train on two tasks."""
    models = {"GRU": GRU(), "minGRU": MinGRU(layers, signed=False), "signed minGRU": MinGRU(layers, signed=True)}
    gaps = {name: gap(model) for name, model in models.items()}
    depth = {(name, way): depths(models[name], way == "loop") for name, way in WAYS}
    right = {name: accuracies(model, train(model, 400 if size == "full" else 150)) for name, model in models.items()}
    rows: list[Row] = [
        {
            "cell": name,
            "way": way,
            "depth, 64": int(depth[name, way][1]),
            "depth, 1024": int(depth[name, way][-1]),
            "gap to the loop": gaps[name] if way == "scan" else 0.0,
            "first bit, 10": float(right[name][0, 0]),
            "parity, 10": float(right[name][0, 1]),
            "parity, 100": float(right[name][-1, 1]),
        }
        for name, way in WAYS
    ]
    return Result(
        rows, {"depth": np.stack(list(depth.values())), "parity": np.stack([r[:, 1] for r in right.values()])}
    )


def draw(result: Result, figure: Figure) -> None:
    """Draw the depth by the number of steps, and the accuracy of parity by the length of the sequence."""
    left, right = figure.subplots(1, 2)
    styles = ((ORANGE, "s--"), (BLUE, "v-."), (BLUE, "o-"))
    for counts, (colour, style), label in zip(
        result.arrays["depth"], styles, ("GRU", "min, $s_{t-1}$", "min, log"), strict=False
    ):
        left.plot(STEPS, counts, style, color=colour, label=label)
    left.set(xlabel="T", ylabel="d", xscale="log", yscale="log", xticks=STEPS, xticklabels=STEPS)
    left.minorticks_off()
    left.legend(loc="upper left")
    styles = ((ORANGE, "s--"), (BLUE, "o-"), (GREEN, "^:"))
    for shares, (colour, style), label in zip(result.arrays["parity"], styles, ("GRU", "min", "min ±"), strict=True):
        right.plot(LENGTHS, shares, style, color=colour, label=label)
    right.axhline(0.5, color="lightgrey", linewidth=1, zorder=0)
    right.set(xlabel="T", ylabel="p", xticks=LENGTHS, ylim=(0.4, 1.05))
    right.legend(loc="center right", bbox_to_anchor=(1, 0.65))


def claim(result: Result) -> list[Claim]:
    """Compare depths, scan with loop, and what the cells can learn."""
    parity = {row["cell"]: row["parity, 10"] for row in result.rows}
    far = {row["cell"]: row["parity, 100"] for row in result.rows}
    loop_, scan_ = result.row(cell="minGRU", way="loop"), result.row(cell="minGRU", way="scan")
    growth = np.diff(result.arrays["depth"][2])
    least = result.bound(full=0.97, test=0.9)
    return [
        Claim("gap of scan and loop, states and gradients", max(result.column("gap to the loop")), "<=", 1e-11),
        Claim("depth of the loop at 1,024 by that at 64", loop_["depth, 1024"] / loop_["depth, 64"], ">=", 15),
        Claim("depth of scan by loop at 1,024", scan_["depth, 1024"] / loop_["depth, 1024"], "<=", 0.1),
        Claim("growth of the scan's depth per fourfold length, last less first", int(growth[-1] - growth[0]), "==", 0),
        Claim("first bit of 10, lowest", min(result.column("first bit, 10")), ">=", least),
        Claim("parity of 10, GRU", parity["GRU"], ">=", least),
        Claim("parity of 10, minGRU", parity["minGRU"], "<=", 0.7),
        Claim("parity of 10, signed minGRU", parity["signed minGRU"], ">=", least),
        Claim("parity of 100, GRU", far["GRU"], ">=", result.bound(full=0.9, test=0.75)),
        Claim("parity of 100, signed minGRU", far["signed minGRU"], "<=", 0.7),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of who learns the parity of ten bits."""
    learns = {row["cell"]: row["parity, 10"] > 0.8 for row in result.rows}
    return 1 if learns["GRU"] and learns["minGRU"] else 2 if learns["GRU"] else 3


def answer_1() -> list[Claim]:
    """Set a_t = 1 - 2 x_t, and start at 1."""
    x = torch.randint(2, (1000, 8)).float()
    signs = scan(torch.cat([torch.ones(1, 8), 1 - 2 * x]), torch.cat([torch.ones(1, 8), torch.zeros_like(x)]))[1:]
    return [Claim("states that are the parity", ((signs < 0) == (x.cumsum(0) % 2 > 0)).float().mean().item(), "==", 1)]


def answer_2() -> list[Claim]:
    """Divide by the product of all rates so far."""
    a, b = torch.full((1000, 1), 0.5), torch.ones(1000, 1)
    product = a.cumprod(0)
    divided = product * (b / product).cumsum(0)
    return [
        Claim("finite states of 1,000, by division", int(divided.isfinite().sum()), "<=", 200),
        Claim("by the scan", int(scan(a, b).isfinite().sum()), "==", 1000),
    ]


def answer_3() -> list[Claim]:
    """Count the multiplications in both graphs."""
    counts = []
    for way in (loop, scan):
        a, b = torch.rand(1024, 1, requires_grad=True), torch.rand(1024, 1, requires_grad=True)
        products = [node for node in chains(way(a, b)) if node.name() == "MulBackward0"]
        counts.append(sum(node._saved_self.numel() for node in products))
    return [Claim("multiplications of the scan by those of the loop", counts[1] / counts[0], "<=", 3)]
