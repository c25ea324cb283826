"""Beam search: the most probable next word does not always lead to the most probable sentence.

    log p(w_1 ... w_T) = sum_t log p(w_t | w_1 ... w_{t-1})

Greedy search takes the best word at each step; beam search keeps the `beam` best beginnings (Lowerre 1976; Graves 2012,
arXiv:1211.3711). No word makes a sentence more probable, so the most probable sentences are short; dividing by a power
of the length, log p / T^a, counts against it (Wu et al. 2016, arXiv:1609.08144, eq. 14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_nn.layers import Sentences, Vocabulary, beam_search, sample
from lightning_nn.layers.beam_search import Step
from lightning_nn.lessons.lesson import BLUE, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.0
START, END, LONGEST = 0, 1, 20
VOCABULARY = Vocabulary(START, END)
BEAMS = (1, 2, 3, 5, 10, 20)

#                 start end  a    b      the next word, by the last one
TREE = torch.tensor(
    [
        [0.0, 0.0, 0.6, 0.4],  # start
        [0.0, 1.0, 0.0, 0.0],  # end
        [0.0, 0.4, 0.3, 0.3],  # a
        [0.0, 0.9, 0.05, 0.05],  # b
    ]
)


def random_models(count: int, words: int = 8) -> Tensor:
    """Draw the log-probabilities of the next word by the last one, (models, last, next), of many small models."""
    logits = 1.5 * torch.randn(count, words + 2, words + 2)
    logits[:, :, START] = -torch.inf
    logits[:, START, END] = -torch.inf
    return logits.log_softmax(2)


def step_of(table: Tensor) -> Step:
    """Make the step of `beam_search` from a table; the state is the number of the model, (N, 1)."""

    def step(state: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        return table[state[:, 0], ids], state

    return step  # type: ignore[return-value]


def search(table: Tensor, beam: int, length_norm: float = 0.0) -> Sentences:
    """Find a sentence for each model."""
    state = torch.arange(len(table))[:, None]
    return beam_search(step_of(table), state, VOCABULARY, beam=beam, longest=LONGEST, length_norm=length_norm)


def best(table: Tensor) -> Tensor:
    """Compute the log-probability of the best sentence of each model, by the best way to each last word."""
    way, found = table[:, START], []
    for _ in range(LONGEST):
        way = way.masked_fill(torch.arange(way.shape[1]) == END, -torch.inf)  # (models, last)
        found.append((way + table[:, :, END]).amax(1))
        way = (way[:, :, None] + table).amax(1)
    return torch.stack(found).amax(0)


def lengths(sentences: Sentences) -> Tensor:
    """Count the words of each sentence."""
    return (sentences.words != END).sum(1)


def run(seed: int = 0, size: Size = "full", *, length_norm: float = 1.0) -> Result:
    """Search with several beams, in a tree of three words and in many random models."""
    table = random_models(1000 if size == "full" else 200)
    exact = best(table)
    rows: list[Row] = []
    for beam in BEAMS:
        plain, divided = search(table, beam), search(table, beam, length_norm)
        tree = search(TREE.log()[None], beam)
        rows.append(
            {
                "beam": beam,
                "best in the tree": round(tree.log_probability.exp().item(), 4),
                "best found": (plain.log_probability > exact - 1e-4).float().mean().item(),
                "log-probability": plain.log_probability.mean().item(),
                "words": lengths(plain).float().mean().item(),
                "words, by length": lengths(divided).float().mean().item(),
            }
        )
    drawn = sample(step_of(table), torch.arange(len(table))[:, None], VOCABULARY, longest=LONGEST)
    counts: dict[str, Array] = {
        name: torch.bincount(lengths(found), minlength=LONGEST + 1).numpy() / len(table)
        for name, found in (("drawn", drawn), ("searched", search(table, BEAMS[-1])))
    }
    return Result(rows, counts)


def draw(result: Result, figure: Figure) -> None:
    """Draw the tree, how often each beam finds the best sentence, and the lengths of sentences drawn and found."""
    tree, found, words = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
    places = {"a": 1.0, "b": -1.0}
    for (word, y), first, end, colour in zip(places.items(), (0.6, 0.4), (0.4, 0.9), (ORANGE, BLUE), strict=True):
        tree.plot([0, 1, 2], [0, y, y], color=colour)
        tree.annotate(f"{first}", (0.4, 0.55 * y), ha="right")
        tree.annotate(f"{end}", (1.5, y + 0.12), ha="center")
        tree.annotate(f"{first * end:.2f}", (2.3, y), va="center", color=colour)
        for x, label in ((1, word), (2, ".")):
            tree.text(x, y, label, ha="center", va="center", bbox={"boxstyle": "circle", "fc": "white"})
    tree.set(xlim=(-0.2, 2.9), ylim=(-1.6, 1.6))
    tree.axis("off")
    found.plot(result.column("beam"), result.column("best found"), "o-", color=BLUE)
    found.set(xlabel="K", ylabel="p", ylim=(0, 1.05))
    for name, style, colour in (("drawn", "s--", ORANGE), ("searched", "o-", BLUE)):
        words.plot(np.arange(1, LONGEST), result.arrays[name][1:LONGEST], style, markersize=4, color=colour)
    words.set(xlabel="T", ylabel="p(T)")


def claim(result: Result) -> list[Claim]:
    """Compare greedy search with a beam, and both with sentences that the models draw."""
    greedy, widest = result.row(beam=1), result.row(beam=BEAMS[-1])
    drawn = float((result.arrays["drawn"] * np.arange(LONGEST + 1)).sum())
    return [
        Claim("probability of the greedy sentence in the tree", greedy["best in the tree"], "==", 0.24),
        Claim("with a beam of 2", result.row(beam=2)["best in the tree"], "==", 0.36),
        Claim("greedy search finds the best", greedy["best found"], "<=", result.bound(full=0.25, test=0.35)),
        Claim("a beam of 20 finds the best", widest["best found"], ">=", result.bound(full=0.95, test=0.9)),
        Claim("words with a beam of 20, by those drawn", widest["words"] / drawn, "<=", 0.4),
        Claim("the same, divided by the length", widest["words, by length"] / drawn, ">=", 1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to how often greedy search finds the best sentence."""
    found = result.row(beam=1)["best found"]
    return 1 if found < 0.3 else 2 if found < 0.75 else 3


def answer_1() -> list[Claim]:
    """Make the models surer of themselves."""
    table = random_models(300)
    sure = (3 * table).log_softmax(2)
    found = [
        (search(models, 1).log_probability > best(models) - 1e-4).float().mean().item() for models in (table, sure)
    ]
    return [Claim("greedy search finds the best, by that of unsure models", found[1] / found[0], ">=", 1.1)]


def answer_2() -> list[Claim]:
    """Try exponents between none and one."""
    table = random_models(300)
    words = [lengths(search(table, 20, exponent)).float().mean().item() for exponent in (0.0, 0.5, 1.0)]
    return [
        Claim("words at an exponent of 0.5, by those at 0", words[1] / words[0], ">=", 1.2),
        Claim("by those at 1", words[1] / words[2], "<=", 0.9),
    ]
