"""Kinds of sequence tasks: one cell serves them all; they differ in what is fed in and in when answers are read out.

    many to one     read x_1 ... x_T, then answer once                        count the ones
    one to many     read one number, then go on without input                 write as many ones, then zeros
    real time       answer y_t right after x_t                                the parity so far
    many to many    answer y_t after x_{t+k}, k the wait; k = T - 1 reads all     the sequence reversed

Sutskever, Vinyals and Le 2014 read everything before they answer; Ma et al. 2019 wait k steps. An answer can't depend
on what comes after it: of the reversed bits, y_t = x_{T+1-t} is known if T + 1 - t <= t + k, else it is a coin toss.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import Optimizer
from lightning_nn.layers import FlatRNN, Vocabulary, sample
from lightning_nn.layers.beam_search import Step
from lightning_nn.lessons.lesson import BLUE, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 4.2
T = 5  # bits of a sequence
WAITS = {"reversed, in real time": 0, "reversed, wait 2": 2, "reversed, all read": T - 1}
NAMES = ("many to one", "one to many", "in real time", *WAITS)
NOTHING = T + 1  # 0 to T are bits and numbers; then nothing to read, and a mark of each task
SYMBOLS = T + 2 + len(NAMES)
UNASKED = -100  # no answer is asked for here


class Task(NamedTuple):
    """Symbols read and symbols answered at each step, int64 (sequences, steps)."""

    read: Tensor
    answer: Tensor


def tasks() -> dict[str, Task]:
    """Pose each task on all 2^T sequences of bits; each begins with its mark."""
    bits = torch.arange(2**T)[:, None] >> torch.arange(T) & 1  # (S, T)
    ones, nothing, unasked = bits.sum(1, keepdim=True), torch.full_like(bits, NOTHING), torch.full_like(bits, UNASKED)
    plain = {
        "many to one": Task(bits, torch.cat([unasked[:, 1:], ones], 1)),
        "one to many": Task(torch.cat([ones, nothing[:, 1:]], 1), (torch.arange(T) < ones).long()),
        "in real time": Task(bits, bits.cumsum(1) % 2),
    }
    for name, k in WAITS.items():
        plain[name] = Task(torch.cat([bits, nothing[:, :k]], 1), torch.cat([unasked[:, :k], bits.flip(1)], 1))
    return {
        name: Task(F.pad(read, (1, 0), value=NOTHING + 1 + mark), F.pad(answer, (1, 0), value=UNASKED))
        for mark, (name, (read, answer)) in enumerate(plain.items())
    }


def train(posed: dict[str, Task], hidden: int, updates: int) -> nn.ModuleList:
    """Train one cell and one output on all tasks together; return both."""
    cell = FlatRNN(SYMBOLS, hidden, cell="gru", direction="forward")
    output = nn.Linear(hidden, T + 1)
    optimizer = Optimizer(name="adam", lr=0.03).build([{"params": [*cell.parameters(), *output.parameters()]}])
    rows = F.one_hot(torch.cat([task.read.flatten() for task in posed.values()]), SYMBOLS).float()
    lengths = torch.cat([torch.full((len(task.read),), task.read.shape[1]) for task in posed.values()])
    answers = torch.cat([task.answer.flatten() for task in posed.values()])
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = 0.03 * min(1, 2 - 2 * update / updates)
        optimizer.zero_grad()
        F.cross_entropy(output(cell(rows, lengths)), answers, ignore_index=UNASKED).backward()
        optimizer.step()
    return nn.ModuleList([cell, output])


def accuracy(model: nn.ModuleList, task: Task) -> float:
    """Measure the share of right answers over all sequences."""
    cell, output = model
    states = cell(
        F.one_hot(task.read, SYMBOLS).float().flatten(0, 1), torch.full((len(task.read),), task.read.shape[1])
    )
    asked = task.answer != UNASKED
    right = output(states).argmax(1).view_as(task.answer)[asked] == task.answer[asked]
    return int(right.sum()) / len(right)


def possible(wait: int) -> float:
    """Compute the accuracy on reversed bits of the best that knows only what was read."""
    return sum(1.0 if T + 1 - t <= t + wait else 0.5 for t in range(1, T + 1)) / T


def dependence(model: nn.ModuleList, task: Task) -> Array:
    """Measure how strongly the answer at each step depends on the symbol read at each step, (steps, steps), up to 1."""
    cell, output = model
    read, answer = task.read[-2], task.answer[-2]
    rows, length = F.one_hot(read, SYMBOLS).float(), torch.tensor([len(read)])
    slopes = torch.autograd.functional.jacobian(lambda x: output(cell(x, length)), rows).norm(dim=(1, 3))
    slopes = (slopes * (answer != UNASKED)[:, None] * (read != NOTHING))[1:, 1:]
    return np.asarray(slopes / slopes.max())


def run(seed: int = 0, size: Size = "full", *, hidden: int = 32) -> Result:
    """Train one cell on all tasks, and measure each."""
    posed = tasks()
    model = train(posed, hidden, 400 if size == "full" else 250)
    rows: list[Row] = []
    for name, task in posed.items():
        rows.append(
            {
                "task": name,
                "read": int((task.read[0, 1:] != NOTHING).sum()),
                "answers": int((task.answer[0] != UNASKED).sum()),
                "read before the first": int((task.answer[0] != UNASKED).nonzero()[0]) if name != "one to many" else 1,
                "accuracy": accuracy(model, task),
                "possible": possible(WAITS[name]) if name in WAITS else 1.0,
            }
        )
    shown = (*NAMES[:3], NAMES[-1])
    return Result(rows, {name: dependence(model, posed[name]) for name in shown})


def draw(result: Result, figure: Figure) -> None:
    """Draw which answers depend on which symbols, and the accuracy by the wait beside what is possible."""
    axes = figure.subplot_mosaic([["a", "b", "c", "d"], ["wait"] * 4], height_ratios=[1.15, 1])
    titles = ("n → 1", "1 → n", "n → n", "n … n")
    for place, title, slopes in zip("abcd", titles, result.arrays.values(), strict=True):
        strength = np.where(slopes > 0, 1 + np.log10(np.maximum(slopes, 1e-4)) / 5, 0)
        plot = axes[place]
        plot.imshow(strength, cmap="Blues", vmin=0, vmax=1)
        ticks = range(0, len(slopes), 2)
        plot.set(title=title, xlabel="s", xticks=ticks, yticks=ticks)
        plot.set(xticklabels=[k + 1 for k in ticks], yticklabels=[k + 1 for k in ticks])
    axes["a"].set(ylabel="t")
    plot = axes["wait"]
    reversed_bits = [result.row(task=name) for name in WAITS]
    plot.step(range(T), [possible(k) for k in range(T)], "--", where="mid", color=ORANGE)
    plot.plot(list(WAITS.values()), [row["accuracy"] for row in reversed_bits], "o", color=BLUE, markersize=9)
    plot.set(xlabel="k", ylabel="p", xticks=range(T), ylim=(0.45, 1.05))


def claim(result: Result) -> list[Claim]:
    """Say that one cell does every kind as well as it can be done, and that answers depend on nothing later."""
    least = result.bound(full=0.97, test=0.9)
    at_once, waited, whole = (result.row(task=name)["accuracy"] for name in WAITS)
    later = np.triu(result.arrays["in real time"], 1)
    return [
        Claim("lowest of the first three tasks", min(result.column("accuracy")[:3]), ">=", least),
        Claim("reversed after all is read", whole, ">=", least),
        Claim("reversed in real time", at_once, "<=", 0.8),
        Claim("reversed in real time, by what is possible", at_once / 0.8, ">=", result.bound(full=0.97, test=0.9)),
        Claim("gained by waiting two steps", waited - at_once, ">=", result.bound(full=0.07, test=0.02)),
        Claim("dependence of answers in real time on later symbols", float(later.sum()), "==", 0),
        Claim("dependence of the last answer on the first symbol", float(result.arrays[NAMES[-1]][-1, 0]), ">=", 0.01),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to the accuracy on reversed bits in real time."""
    at_once = result.row(task="reversed, in real time")["accuracy"]
    return 1 + min(range(3), key=lambda k: abs((0.5, 0.8, 1.0)[k] - at_once))


def answer_1() -> list[Claim]:
    """Wait one step more, and one more."""
    return [
        Claim("gained by waiting one step", possible(1) - possible(0), "==", 0),
        Claim("by waiting two steps", round(possible(2) - possible(0), 9), "==", 0.1),
    ]


def answer_2() -> list[Claim]:
    """Draw two words that should be the same, by a step that reads the last word and by one that doesn't."""
    start, end, zero, one = range(4)

    def follow(state: Tensor, words: Tensor, reads: bool) -> tuple[Tensor, Tensor]:
        said = state[:, 0]  # words so far
        chances = torch.zeros(len(words), 4)
        chances[:, [zero, one]] = 0.5
        if reads:
            chances[said == 1] = F.one_hot(words, 4).float()[said == 1]
        chances[said == 2] = F.one_hot(torch.tensor(end), 4).float()
        return chances.log(), state + 1

    shares = []
    for reads in (False, True):
        step: Step = partial(follow, reads=reads)
        words = sample(step, torch.zeros(1000, 1, dtype=torch.int64), Vocabulary(start, end), longest=3).words
        shares.append((words[:, 0] == words[:, 1]).float().mean().item())
    return [
        Claim("00 or 11 if the last word is not read", shares[0], "<=", 0.6),
        Claim("the same if it is", shares[1], "==", 1),
    ]
