"""Order: a bag of words gives every order of the same words the same answer; a recurrent layer does not.

    bag        v = 1/T sum_t W_e w_t                the same for every order of w_1 ... w_T
    recurrent  s_t = cell(s_{t-1}, W_e w_t)         another one for another order

Harris 1954; Elman 1990. A sentence says which of two animals bites the other, with adverbs in between; the class is
the one that bites. A bag of words knows both animals and can only guess, so half is the best that it can reach. A bag
of pairs of neighbours (Brown et al. 1992) sees who stands before the verb, unless something stands in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import LSTMClassifier, Optimizer, TextBatch
from lightning_nn.layers import WordEmbedding, segment_mean
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = ("", "dog", "cat", "fox", "hen", "goat", "wolf", "bites", "today", "often", "never", "gladly")  # 0: unknown
ANIMALS, VERB, ADVERBS = 6, 7, (8, 9, 10, 11)
CLASSES = ANIMALS
COLOURS_OF = {"words": ORANGE, "pairs": GREEN, "lstm": BLUE}


class Sentence(NamedTuple):
    """A sentence: ids of its words, and the places of who bites and who is bitten."""

    words: list[int]
    biter: int
    bitten: int

    def turned(self) -> Sentence:
        """Return the sentence with the animals in each other's place: the same words, another meaning."""
        words = list(self.words)
        words[self.biter], words[self.bitten] = words[self.bitten], words[self.biter]
        return self._replace(words=words)


def sentence(rng: np.random.Generator, between: int) -> Sentence:
    """Draw a sentence with up to `between` adverbs before, between and after the other words."""
    biter, bitten = (int(animal) for animal in 1 + rng.permutation(ANIMALS)[:2])
    a, b, c, d = ([int(word) for word in rng.choice(ADVERBS, rng.integers(between + 1))] for _ in range(4))
    return Sentence([*a, biter, *b, VERB, *c, bitten, *d], len(a), len(a) + len(b) + len(c) + 2)


def batch_of(sentences: list[Sentence]) -> TextBatch:
    """Make a batch, a document a sentence; the label is who bites."""
    lengths = torch.tensor([len(each.words) for each in sentences])
    words = torch.tensor([word for each in sentences for word in each.words])
    return TextBatch(torch.ones_like(lengths), lengths, words, labels_of(sentences))


def labels_of(sentences: list[Sentence]) -> Tensor:
    """Return the animal that bites in each sentence, (D,), from 0."""
    return torch.tensor([each.words[each.biter] - 1 for each in sentences])


class Bag(nn.Module):
    """The mean of the vectors of all words, or of all pairs of neighbours, and a linear output."""

    def __init__(self, order: int, size: int = 32) -> None:
        super().__init__()
        self.order = order
        self.embedding = WordEmbedding(len(WORDS) ** order, size)
        self.output = nn.Linear(size, CLASSES)

    def forward(self, batch: TextBatch) -> Tensor:
        """Compute logits (D, K)."""
        words, lengths = batch.words, batch.sentences
        if self.order == 2:
            inside = torch.ones(len(words), dtype=torch.bool)
            inside[lengths.cumsum(0) - 1] = False  # the last word of a sentence begins no pair
            words, lengths = (words * len(WORDS) + words.roll(-1))[inside], lengths - 1
        return self.output(segment_mean(self.embedding(words), lengths))


def train(model: nn.Module, sentences: list[Sentence], updates: int) -> None:
    """Train a model, with all sentences at each step."""
    batch, label = batch_of(sentences), labels_of(sentences)
    optimizer = Optimizer(name="adam", lr=0.02).build([{"params": list(model.parameters())}])
    for _ in range(updates):
        optimizer.zero_grad()
        F.cross_entropy(model(batch), label).backward()
        optimizer.step()


def run(seed: int = 0, size: Size = "full", *, between: int = 3) -> Result:
    """Train two bags and an LSTM, and ask each about new sentences and the same ones turned."""
    rng = np.random.default_rng(seed)
    known, new = ([sentence(rng, between) for _ in range(count)] for count in (600, 500))
    lstm = LSTMClassifier(len(WORDS), CLASSES, 16, 16, direction="forward", pooling="last", dropout=0, word_dropout=0)
    models: dict[str, nn.Module] = {"words": Bag(1), "pairs": Bag(2), "lstm": lstm}
    swapped = [each.turned() for each in new]
    label, other = labels_of(new), labels_of(swapped)
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for name, model in models.items():
        train(model.train(), known, 100 if size == "full" else 70)
        with torch.no_grad():
            logits, turned = model.eval()(batch_of(new)), model(batch_of(swapped))
        rows.append(
            {
                "model": name,
                "accuracy": (logits.argmax(1) == label).float().mean().item(),
                "turned, other answer": (logits.argmax(1) != turned.argmax(1)).float().mean().item(),
                "gap of logits": (logits - turned).abs().max().item(),
            }
        )
        p = logits.softmax(1)[:8]
        arrays[name] = torch.stack([p.gather(1, animal[:8, None])[:, 0] for animal in (label, other)]).numpy()
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the accuracies, and the probabilities of both animals in eight sentences."""
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.4])
    labels = {"words": "1", "pairs": "2", "lstm": "RNN"}
    left.bar(list(labels.values()), result.column("accuracy"), color=list(COLOURS_OF.values()))
    left.axhline(0.5, color="black", linewidth=1, linestyle=":")
    left.set(ylim=(0, 1.05), ylabel="p")
    x = np.arange(1, 9)
    for offset, marker, name in ((-0.15, "s", "words"), (0.15, "o", "lstm")):
        biter, bitten = result.arrays[name]
        right.vlines(x + offset, bitten, biter, color=COLOURS_OF[name], linewidth=1)
        right.plot(x + offset, biter, marker, color=COLOURS_OF[name])
        right.plot(x + offset, bitten, marker, color=COLOURS_OF[name], markerfacecolor="white")
    right.set(ylim=(-0.05, 1.05), ylabel="p", xticks=x)


def claim(result: Result) -> list[Claim]:
    """Compare the models."""
    words, pairs, lstm = (result.row(model=name) for name in COLOURS_OF)
    return [
        Claim("bag of words, gap of logits", words["gap of logits"], "<=", 1e-5),
        Claim("bag of words, accuracy", words["accuracy"], "<=", 0.56),
        Claim("the same at least", words["accuracy"], ">=", 0.4),
        Claim("lstm, accuracy", lstm["accuracy"], ">=", result.bound(full=0.97, test=0.9)),
        Claim("lstm, other answer when turned", lstm["turned, other answer"], ">=", result.bound(full=0.97, test=0.9)),
        Claim("pairs, accuracy less that of words", pairs["accuracy"] - words["accuracy"], ">=", 0.03),
        Claim("lstm, accuracy less that of pairs", lstm["accuracy"] - pairs["accuracy"], ">=", 0.03),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to the accuracy of the bag of words."""
    accuracy = result.row(model="words")["accuracy"]
    return 1 if accuracy < 0.3 else 2 if accuracy < 0.7 else 3


def answer_1() -> list[Claim]:
    """Leave the adverbs out, so that the animals are neighbours of the verb."""
    rng, bag = np.random.default_rng(0), Bag(2)
    train(bag, [sentence(rng, 0) for _ in range(600)], 60)
    new = [sentence(rng, 0) for _ in range(500)]
    with torch.no_grad():
        right = (bag.eval()(batch_of(new)).argmax(1) == labels_of(new)).float().mean().item()
    return [Claim("bag of pairs without adverbs, accuracy", right, ">=", 0.98)]


def answer_2() -> list[Claim]:
    """Count what a bag of longer pieces has to know."""
    return [
        Claim("pieces of five words, by words", len(WORDS) ** 5 / len(WORDS), ">=", 10_000),
        Claim("distinct pieces of five words in 600 sentences", distinct_pieces(5), "<=", 10_000),
    ]


def distinct_pieces(order: int) -> int:
    """Count the distinct pieces of `order` words in 600 sentences."""
    rng = np.random.default_rng(0)
    words = [sentence(rng, 3).words for _ in range(600)]
    return len({tuple(each[i : i + order]) for each in words for i in range(len(each) + 1 - order)})
