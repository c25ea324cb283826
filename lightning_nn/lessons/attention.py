"""Attention: a hierarchical network finds the sentence that decides, without being told which one it is.

    u_i = tanh(W h_i + b),   a_i = softmax_i(u_i . u_s),   v = sum_i a_i h_i

Yang et al. 2016, eq. 8 to 10. A bulletin mentions events of several categories; one sentence, or two, says which one
takes place. Labels belong to bulletins, not to sentences. Whether a weight means anything is tested by taking the
sentence away and reading what is left.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_nn import HAN, Optimizer, TextBatch
from lightning_nn.data.synthetic.bulletins.data_module import Bulletins
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.layers import segment_ids, segment_max
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, fit, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPOCHS = 3
SHOWN, LONGEST = 10, 12  # bulletins of the figure, and sentences of the longest bulletin


class Reading(NamedTuple):
    """A network, the bulletins that it did not see in training, and which of their sentences decide, bool (S,)."""

    model: HAN
    batch: TextBatch
    deciding: Tensor


def read(model: HAN, batch: TextBatch) -> tuple[Tensor, Tensor]:
    """Predict probabilities (D, K), and weigh the sentences, (S,)."""
    with torch.no_grad(), model.evaluating():
        logits, _, weights = model(batch, return_attention=True)
    return logits.softmax(1), weights


def without(batch: TextBatch, gone: Tensor) -> TextBatch:
    """Take sentences away, given as bool (S,); one of each document stays at least."""
    document = segment_ids(batch.documents, len(gone))
    return batch._replace(
        documents=torch.bincount(document[~gone], minlength=len(batch.documents)),
        sentences=batch.sentences[~gone],
        words=batch.words[torch.repeat_interleave(~gone, batch.sentences)],
    )


def highest(scores: Tensor, lengths: Tensor) -> Tensor:
    """Mark the row of each segment whose score is highest, bool (S,)."""
    mark = torch.zeros(len(scores), dtype=torch.bool)
    for start, part in zip((lengths.cumsum(0) - lengths).tolist(), scores.split(lengths.tolist()), strict=True):
        mark[start + int(part.argmax())] = True
    return mark


def with_equal_weights(model: HAN) -> HAN:
    """Return a copy that weighs all sentences of a document equally: a context vector of zeros."""
    copy = deepcopy(model)
    torch.nn.init.zeros_(copy.sentence_attention.context.weight)
    return copy


def agreement(p: Tensor, q: Tensor) -> Tensor:
    """Tell whether two readings predict the same class, bool (D,)."""
    return p.argmax(1) == q.argmax(1)


def measure(reading: Reading) -> Row:
    """Measure accuracy, the weight of the deciding sentences, and how many predictions turn as a sentence goes."""
    model, batch, deciding = reading
    p, weights = read(model, batch)
    document = segment_ids(batch.documents, len(weights))
    share = torch.zeros(batch.size).index_add(0, document, weights * deciding)
    assert batch.label is not None
    right = p.argmax(1) == batch.label
    chosen = right & (torch.bincount(document[deciding], minlength=batch.size) == 1)  # right for a single reason
    taken = {
        "deciding": deciding,
        "heaviest": highest(weights, batch.documents),
        "another": highest(torch.rand(len(weights)) - deciding.float(), batch.documents),
    }
    turned = {
        f"turned, {name}": 1 - agreement(p, read(model, without(batch, gone))[0])[chosen].double().mean().item()
        for name, gone in taken.items()
    }
    return {
        "accuracy": accuracy(model, batch),
        "equal weights": accuracy(with_equal_weights(model), batch),
        "weight of deciding": share.mean().item(),
        **turned,
    }


@cache
def train(seed: int, size: Size, epochs: int = EPOCHS) -> tuple[Reading, list[Row]]:
    """Train a small HAN on bulletins, and measure after each epoch."""
    vocabulary = TextVocabulary("jieba", lower=False, unescape=False)
    data = Bulletins(3000 if size == "full" else 1600, 1, 300, seed, 32, vocabulary)
    data.prepare_once()
    model = HAN.for_data(data, embedding_size=64, hidden_size=16, attention_size=32, dropout=0, word_dropout=0.05)
    batch, places = split(data, "test"), data.deciding("test")
    deciding = [i in of for of, count in zip(places, batch.documents.tolist(), strict=True) for i in range(count)]
    reading, rows = Reading(model, batch, torch.tensor(deciding)), []
    for epoch in range(epochs):
        fit(model, data, 1, Optimizer(name="adam", lr=0.02))
        rows.append({"epoch": epoch + 1, **measure(reading)})
    return reading, rows


def run(seed: int = 0, size: Size = "full", *, epochs: int = EPOCHS) -> Result:
    """Train, take sentences away, and keep the weights of some bulletins for the figure."""
    reading, rows = train(seed, size, epochs)
    lengths = reading.batch.documents
    weights = read(reading.model, reading.batch)[1].split(lengths.tolist())
    deciding = reading.deciding.float().split(lengths.tolist())
    shown = range(SHOWN)
    arrays: dict[str, Array] = {
        "weights": np.stack([np.pad(weights[i].numpy(), (0, LONGEST - len(weights[i]))) for i in shown]),
        "deciding": np.stack([np.pad(deciding[i].numpy(), (0, LONGEST - len(deciding[i]))) for i in shown]),
        "lengths": lengths[:SHOWN].numpy(),
        "chance": np.array([torch.stack([of.mean() for of in deciding]).mean().item()]),
    }
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw accuracy and weights by epoch, and the weights of the sentences of some bulletins."""
    from matplotlib.patches import Rectangle

    left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
    epochs = result.column("epoch")
    left.plot(epochs, result.column("accuracy"), "s--", color=ORANGE, label="p")
    left.plot(epochs, result.column("weight of deciding"), "o-", color=BLUE, label="a")
    left.plot(epochs, result.column("turned, another"), "^:", color=GREEN, label="r")
    left.axhline(result.arrays["chance"][0], color="grey", linewidth=1, linestyle=":")
    left.set(xlabel="n", ylim=(-0.03, 1.05), xticks=epochs)
    left.plot(epochs, result.column("turned, deciding"), "D-.", color=RED, label="d")
    left.legend(loc="center right")
    right.imshow(result.arrays["weights"], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, length in enumerate(result.arrays["lengths"]):
        right.add_patch(Rectangle((-0.5, row - 0.5), length, 1, fill=False, edgecolor="lightgrey", linewidth=1))
    for row, column in np.argwhere(result.arrays["deciding"] > 0):
        place = (column - 0.42, row - 0.4)
        right.add_patch(Rectangle(place, 0.84, 0.8, fill=False, edgecolor=ORANGE, linewidth=2))
    right.set(xlabel="i", xticks=range(0, LONGEST, 2), xticklabels=range(1, LONGEST, 2), yticks=[])


def claim(result: Result) -> list[Claim]:
    """Compare the sentence that decides with others, after the last epoch."""
    last, chance = result.rows[-1], float(result.arrays["chance"][0])
    return [
        Claim("accuracy", last["accuracy"], ">=", result.bound(full=0.9, test=0.7)),
        Claim("weight of the deciding sentences", last["weight of deciding"], ">=", result.bound(full=0.6, test=0.5)),
        Claim("the same, if all sentences weighed the same", chance, "<=", 0.25),
        Claim("predictions turned without the deciding sentence", last["turned, deciding"], ">=", 0.8),
        Claim("without the heaviest sentence", last["turned, heaviest"], ">=", result.bound(full=0.75, test=0.7)),
        Claim("without another sentence", last["turned, another"], "<=", result.bound(full=0.05, test=0.1)),
        Claim("accuracy with equal weights", last["equal weights"], ">=", result.bound(full=0.75, test=0.5)),
        Claim("accuracy lost by equal weights", last["accuracy"] - last["equal weights"], ">=", 0.01),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the accuracy that is left with equal weights."""
    left = result.rows[-1]["equal weights"]
    return 1 if left < 0.3 else 2 if left < 0.7 else 3


def answer_1() -> list[Claim]:
    """Read nothing but the sentences that decide."""
    (model, batch, deciding), _ = train(0, "test")
    alone = accuracy(model, without(batch, ~deciding))
    return [
        Claim("accuracy on the deciding sentences alone", alone, ">=", 0.7),
        Claim("accuracy gained by leaving out all others", alone - accuracy(model, batch), ">=", -0.03),
    ]


def answer_2() -> list[Claim]:
    """See where the prediction turns to: the weight moves to the next best sentence, and is as heavy there."""
    (model, batch, deciding), _ = train(0, "test")
    heaviest = {name: read(model, part)[1] for name, part in (("with", batch), ("without", without(batch, deciding)))}
    lengths = {"with": batch.documents, "without": without(batch, deciding).documents}
    most = {name: float(segment_max(weights, lengths[name]).mean()) for name, weights in heaviest.items()}
    return [
        Claim("weight of the heaviest sentence", most["with"], ">=", 0.5),
        Claim("the same, with no sentence that decides", most["without"], ">=", 0.3),
    ]
