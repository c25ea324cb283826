"""Direction: a state knows what was read before it; what comes after takes a layer that reads backwards.

    forward   f_t = cell(f_{t-1}, x_t)      knows x_1 ... x_t
    backward  b_t = cell(b_{t+1}, x_t)      knows x_t ... x_T
    both      [f_t, b_t]                    knows all of them

Schuster and Paliwal 1997. The sequences are random bits. At each step the network names the bits some steps before and
after, which nothing but having read them can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import Optimizer
from lightning_nn.layers import FlatRNN
from lightning_nn.layers.recurrent import Direction
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS, HIDDEN = 12, 16
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def sequences(count: int, reach: int) -> tuple[Tensor, Tensor]:
    """Draw bits (S, T), and for each step in the middle the bits around it, (S, T - 2 reach, 2 reach + 1)."""
    bits = torch.randint(2, (count, STEPS)).float()
    return bits, bits.unfold(1, 2 * reach + 1, 1)


def around(layer: FlatRNN, output: nn.Linear, bits: Tensor, reach: int) -> Tensor:
    """Compute the logits of the bits around each step in the middle, (S, T - 2 reach, 2 reach + 1)."""
    rows = F.one_hot(bits.long(), 2).float().flatten(0, 1)  # (S T, 2)
    states = layer(rows, torch.full((len(bits),), STEPS)).view(*bits.shape, -1)  # (S, T, H or 2H)
    return output(states[:, reach : STEPS - reach])


def train(direction: Direction, reach: int, updates: int) -> tuple[FlatRNN, nn.Linear]:
    """Train a layer of a direction, and a linear output."""
    layer = FlatRNN(2, HIDDEN, cell="gru", direction=direction)
    output = nn.Linear(layer.output_size, 2 * reach + 1)
    optimizer = Optimizer(name="adam", lr=0.02).build([{"params": [*layer.parameters(), *output.parameters()]}])
    for _ in range(updates):
        bits, target = sequences(64, reach)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(around(layer, output, bits, reach), target).backward()
        optimizer.step()
    return layer, output


def run(seed: int = 0, size: Size = "full", *, reach: int = 3) -> Result:
    """Measure for each direction how often the bit at each distance is right."""
    bits, target = sequences(1000, reach)
    rows: list[Row] = []
    for direction in DIRECTIONS:
        layer, output = train(direction, reach, 120 if size == "full" else 80)
        with torch.no_grad():
            right = ((around(layer, output, bits, reach) > 0) == target.bool()).float().mean((0, 1))
        rows.append({"direction": direction} | {f"{k:+d}": right[reach + k].item() for k in range(-reach, reach + 1)})
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw the accuracy by distance."""
    axes = figure.subplots()
    distances = [int(name) for name in list(result.rows[0])[1:]]
    styles = {"forward": (ORANGE, "s--", "→"), "backward": (GREEN, "^:", "←"), "both": (BLUE, "o-", "↔")}
    for row in result.rows:
        colour, style, label = styles[row["direction"]]
        axes.plot(distances, list(row.values())[1:], style, color=colour, label=label, markersize=8)
    axes.set(xlabel="k", ylabel="p", ylim=(0.4, 1.05), xticks=distances)
    axes.legend(loc="center right")


def claim(result: Result) -> list[Claim]:
    """Compare what lies before and after, for each direction."""
    before, after = ([name for name in result.rows[0] if name.startswith(sign)] for sign in ("-", "+"))
    after.remove("+0")
    forward, backward, both = result.rows
    least = result.bound(full=0.95, test=0.85)
    return [
        Claim("forward, lowest before", min(forward[k] for k in before), ">=", least),
        Claim("forward, highest after", max(forward[k] for k in after), "<=", 0.6),
        Claim("backward, highest before", max(backward[k] for k in before), "<=", 0.6),
        Claim("backward, lowest after", min(backward[k] for k in after), ">=", least),
        Claim("both, lowest", min(both[k] for k in (*before, *after)), ">=", least),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what the forward layer reaches for the next bit."""
    return 1 if result.row(direction="forward")["+1"] < 0.6 else 2


def answer_1() -> list[Claim]:
    """Change the last row, and see which states change."""
    changed = {}
    for direction in DIRECTIONS:
        layer, x, length = FlatRNN(2, HIDDEN, direction=direction), torch.randn(STEPS, 2), torch.tensor([STEPS])
        other = x.clone()
        other[-1] += 1
        changed[direction] = int(((layer(x, length) - layer(other, length)).abs().amax(1) > 0).sum())
    return [
        Claim("states changed by the last row, forward", changed["forward"], "==", 1),
        Claim("backward", changed["backward"], "==", STEPS),
    ]


def answer_2() -> list[Claim]:
    """Ask a layer of both directions for a step before the end."""
    layer = FlatRNN(2, HIDDEN, direction="both")
    try:
        layer.step(torch.randn(1, 2))
    except ValueError:
        steps = 0
    else:
        steps = 1
    return [Claim("steps that both directions can do without the end", steps, "==", 0)]
