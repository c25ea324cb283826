"""Explanations: which words made the network decide, by its attention and by gradients, tested by deleting them.

    attention               a_w = weight of the word in its sentence * weight of the sentence in the document
    integrated gradients    IG_w = (x_w - x'_w) . integral over a from 0 to 1 of dF/dx_w at x' + a (x - x')
    completeness            sum_w IG_w = F(x) - F(x')

Yang et al. 2016; Sundararajan, Taly and Yan 2017, eq. 1 and proposition 1. F is the log probability of the predicted
class, x' a document of unknown words. An order of words is the better, the faster the probability falls as the first
ones become unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_nn import HAN, TextBatch
from lightning_nn.layers import segment_ids, segment_starts, segment_sum
from lightning_nn.lessons import attention
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (1, 2, 3, 5, 10, 20)  # words deleted
FEW = 4  # steps of a rough integral, for comparison


def words_of(batch: TextBatch) -> Tensor:
    """Count the words of each document, (D,)."""
    return segment_sum(batch.sentences, batch.documents)


def by_attention(model: HAN, batch: TextBatch) -> Tensor:
    """Weigh the words of each document, (W,); the weights of a document sum to 1."""
    with torch.no_grad(), model.evaluating():
        _, of_words, of_sentences = model(batch, return_attention=True)
    return of_words * of_sentences[segment_ids(batch.sentences, len(of_words))]


def ranks(scores: Tensor, lengths: Tensor) -> Tensor:
    """Rank the rows of each segment by their scores, int64 (W,), 0 for the highest."""
    segment = segment_ids(lengths, len(scores))
    order = scores.argsort(descending=True)
    order = order[segment[order].argsort(stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(scores)) - segment_starts(lengths)[segment]
    return rank


def delete(batch: TextBatch, rank: Tensor, count: int) -> TextBatch:
    """Make the first words of an order unknown."""
    return batch._replace(words=batch.words.masked_fill(rank < count, 0))


def probability(model: HAN, batch: TextBatch) -> Tensor:
    """Predict probabilities (D, K)."""
    return attention.read(model, batch)[0]


def delete_by(model: HAN, batch: TextBatch, orders: dict[str, Tensor]) -> list[Row]:
    """Delete words by each order: the mean loss of probability, and the share of predictions that turn."""
    p, best = probability(model, batch).max(1)
    rows: list[Row] = []
    for count in COUNTS:
        row: Row = {"words": count}
        for name, rank in orders.items():
            q = probability(model, delete(batch, rank, count))
            row[name] = (p - q.gather(1, best[:, None])[:, 0]).mean().item()
            row[f"{name}, turned"] = (q.argmax(1) != best).double().mean().item()
        rows.append(row)
    return rows


def correlation(one: Tensor, other: Tensor, lengths: Tensor) -> float:
    """Compute Spearman's correlation of two orders of the words of each document, and average it."""
    pairs = zip(one.split(lengths.tolist()), other.split(lengths.tolist()), strict=True)
    return float(np.mean([np.corrcoef(a.numpy(), b.numpy())[0, 1] for a, b in pairs]))


def run(seed: int = 0, size: Size = "full", *, steps: int = 32) -> Result:
    """Attribute the predictions of the lesson on attention, and delete words by either order."""
    (model, batch, _), _ = attention.train(seed, size)
    batch = batch.select(range(150 if size == "full" else 60))
    p, best = probability(model, batch).max(1)
    lengths = words_of(batch)
    weights = by_attention(model, batch)
    gradients, rough = (model.contributions(batch, best, number) for number in (steps, FEW))
    nothing = probability(model, batch._replace(words=0 * batch.words)).gather(1, best[:, None])[:, 0]
    orders = {
        "attention": ranks(weights, lengths),
        "gradients": ranks(gradients, lengths),
        "chance": ranks(torch.rand(len(weights)), lengths),
    }
    arrays: dict[str, Array] = {
        "difference": (p.log() - nothing.log()).numpy(),
        "sum": segment_sum(gradients, lengths).numpy(),
        "rough sum": segment_sum(rough, lengths).numpy(),
        "correlation": np.array([correlation(orders["attention"], orders["gradients"], lengths)]),
        "against": np.array([(-gradients.clamp(max=0)).sum().item() / gradients.abs().sum().item()]),
    }
    return Result(delete_by(model, batch, orders), arrays)


def error(result: Result, name: str) -> float:
    """Compute the mean distance of sums from differences, by the mean difference."""
    difference = result.arrays["difference"]
    return float(np.abs(result.arrays[name] - difference).mean() / np.abs(difference).mean())


def draw(result: Result, figure: Figure) -> None:
    """Draw the sums against the differences, and the loss of probability by the number of deleted words."""
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.3])
    difference = result.arrays["difference"]
    ends = [difference.min(), difference.max()]
    left.plot(ends, ends, color="grey", linewidth=1)
    left.plot(difference, result.arrays["rough sum"], "^", color=ORANGE, markersize=4, label=f"{FEW}")
    left.plot(difference, result.arrays["sum"], "o", color=BLUE, markersize=4, label=f"{result.knobs.get('steps', 32)}")
    left.set(xlabel="F(x) - F(x')", ylabel=r"$\Sigma$ IG")
    left.legend(loc="upper left")
    curves = (("gradients", BLUE, "o-", "IG"), ("attention", ORANGE, "s--", "a"), ("chance", GREEN, "^:", "r"))
    for name, colour, style, label in curves:
        right.plot(result.column("words"), result.column(name), style, color=colour, label=label)
    right.set(xscale="log", xlabel="k", ylabel=r"$\Delta$ p", ylim=(-0.03, 1))
    right.set_xticks(COUNTS, [str(count) for count in COUNTS])
    right.minorticks_off()
    right.legend(loc="upper left")


def claim(result: Result) -> list[Claim]:
    """Check completeness, and compare the orders."""
    rows = {row["words"]: row for row in result.rows}
    one, five, twenty = rows[1], rows[5], rows[20]
    return [
        Claim("error of the sum in 32 steps, by the difference", error(result, "sum"), "<=", 0.02),
        Claim("error of the sum in 4 steps, by the difference", error(result, "rough sum"), ">=", 0.05),
        Claim("5 words by gradients, probability lost", five["gradients"], ">=", 0.5),
        Claim("5 words by attention, probability lost", five["attention"], ">=", 0.35),
        Claim("5 words by chance, probability lost", five["chance"], "<=", 0.1),
        Claim("first word, gradients less attention", one["gradients"] - one["attention"], ">=", 0.01),
        Claim("20 words, gradients less attention", twenty["gradients"] - twenty["attention"], ">=", 0.01),
        Claim("correlation of both orders", float(result.arrays["correlation"][0]), "<=", 0.4),
        Claim("share of contributions that speak against", float(result.arrays["against"][0]), ">=", 0.1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of how much both orders agree."""
    correlation_of_orders = float(result.arrays["correlation"][0])
    return 1 if correlation_of_orders > 0.7 else 2 if correlation_of_orders > 0.35 else 3


def answer_1() -> list[Claim]:
    """Sum the contributions of sentences: completeness lets them be added."""
    (model, batch, deciding), _ = attention.train(0, "test")
    batch, deciding = batch.select(range(60)), deciding[: int(batch.documents[:60].sum())]
    best = probability(model, batch).argmax(1)
    of_sentences = segment_sum(model.contributions(batch, best), batch.sentences)
    return [
        Claim("contribution of a deciding sentence", of_sentences[deciding].mean().item(), ">=", 1),
        Claim("contribution of another sentence", of_sentences[~deciding].mean().item(), "<=", 0.6),
    ]


def answer_2() -> list[Claim]:
    """Delete the words that speak against the predicted class, where the network is unsure."""
    (model, batch, _), _ = attention.train(0, "test")
    p, best = probability(model, batch).max(1)
    unsure = (p < 0.8).nonzero().flatten()[:40]
    batch, p, best = batch.select(unsure.tolist()), p[unsure], best[unsure]
    rank = ranks(-model.contributions(batch, best), words_of(batch))
    q = probability(model, delete(batch, rank, 5)).gather(1, best[:, None])[:, 0]
    return [
        Claim("probability gained without 5 words that speak against", (q - p).mean().item(), ">=", 0.03),
        Claim("share of bulletins in which it rises", (q > p).double().mean().item(), ">=", 0.6),
    ]
