"""Embedding compression: a table of word vectors is most of a text model, and a small part of its bytes would do.

    plain        e_w = row w of V x E values                 narrow: a smaller E
    factorised   e_w = P r_w                                 Lan et al. 2020
    hashed       e_w = sum_i p_wi B[h_i(w)]                  Svenstrup, Hansen and Winther 2017
    remainder    e_w = Q[w // M] * R[w % M]                  Shi et al. 2020
    quantised    e_w = [V_1[c_w1], ..., V_D[c_wD]]           Chen, Li and Sun 2020: codes c_w learned with the rest
    coded        the same, codes of the trained plain table  Jegou, Douze and Schmid 2011; Joulin et al. 2016

The model is a bag of words with a linear output (Joulin et al. 2016). It reads the sentences of a bulletin that decide,
and names the category.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import Optimizer
from lightning_nn.data.synthetic.bulletins.generator import CATEGORIES, generate
from lightning_nn.data.text.segmenter import Segmenter
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.layers import WordEmbedding, segment_mean
from lightning_nn.layers.product_quantisation import quantise
from lightning_nn.layers.small_embedding import FLOAT_BYTES, MOST_CODES, TABLES, code_sizes
from lightning_nn.lessons.lesson import BLACK, BLUE, GREEN, ORANGE, RED, SKY, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 128
TRAINED = {
    "factorised": "factorised",
    "hashed": "hashed",
    "remainder": "quotient_remainder",
    "quantised": "product_quantised",
}


class Sentences(NamedTuple):
    """Sentences that decide: words (W,), the number of words of each (D,), and its category (D,)."""

    words: Tensor
    lengths: Tensor
    label: Tensor


class Bag(nn.Module):
    """The mean of the vectors of all words, and a linear output."""

    def __init__(self, vocabulary_size: int, width: int = WIDTH, table: nn.Module | None = None) -> None:
        super().__init__()
        self.embedding = WordEmbedding(vocabulary_size, width, table=table)
        self.output = nn.Linear(width, len(CATEGORIES))

    def forward(self, batch: Sentences) -> Tensor:
        """Compute logits (D, K)."""
        return self.output(segment_mean(self.embedding(batch.words), batch.lengths))


class Corpus(NamedTuple):
    """Sentences to train on and to test, and the number of different words of the first."""

    train: Sentences
    test: Sentences
    words: int


def read(count: int, seed: int) -> Corpus:
    """Read the deciding sentences of bulletins, and of 500 others, in the words of the first."""
    segmenter, parts = Segmenter("jieba"), []
    for number, part_seed in ((count, 2 * seed), (500, 2 * seed + 1)):
        bulletins = list(generate(number, part_seed))
        texts = ("".join(bulletin.sentences[i] for i in bulletin.deciding) for bulletin in bulletins)
        parts.append(([segmenter(text) for text in texts], torch.tensor([bulletin.label for bulletin in bulletins])))
    vocabulary = Vocabulary.from_counts(Counter(word for sentence in parts[0][0] for word in sentence))
    train, test = (
        Sentences(
            torch.from_numpy(vocabulary.ids(chain.from_iterable(texts))),
            torch.tensor([len(text) for text in texts]),
            label,
        )
        for texts, label in parts
    )
    return Corpus(train, test, len(vocabulary))


def train(model: Bag, batch: Sentences, updates: int) -> Bag:
    """Train a model, with all sentences at each step."""
    optimizer = Optimizer(name="adam", lr=0.02).build([{"params": list(model.parameters())}])
    for _ in range(updates):
        optimizer.zero_grad()
        F.cross_entropy(model(batch), batch.label).backward()
        optimizer.step()
    return model


def accuracy(model: Bag, batch: Sentences) -> float:
    """Return the share of sentences whose likeliest category is their label."""
    with torch.no_grad():
        return float((model(batch).argmax(1) == batch.label).double().mean())


def with_table(model: Bag, table: nn.Module) -> Bag:
    """Return a trained model with another table; its output stays."""
    other = Bag(model.embedding.vocabulary_size, WIDTH, table)
    other.output = model.output
    return other


def coded(model: Bag, times: float) -> Bag:
    """Replace the table of a trained model by codes of its vectors, `times` times smaller."""
    size = model.embedding.vocabulary_size
    plain_bytes = FLOAT_BYTES * size * WIDTH
    left = plain_bytes / times - size - FLOAT_BYTES * MOST_CODES  # besides codes of the lengths, and their values
    return with_table(
        model,
        quantise(model.embedding.table.get_parameter("weight").detach(), *code_sizes(size, WIDTH, plain_bytes / left)),
    )


def compare(corpus: Corpus, plain: Bag, times: float, updates: int) -> Row:
    """Measure the accuracy of each table, at least `times` times smaller than the plain one; "-" if it can't be."""
    row: Row = {"narrow": accuracy(train(Bag(corpus.words, int(WIDTH / times)), corpus.train, updates), corpus.test)}
    for name, kind in TRAINED.items():
        try:
            table = TABLES[kind].sized(corpus.words, WIDTH, times)
        except ValueError:
            row[name] = "-"
        else:
            row[name] = accuracy(train(Bag(corpus.words, table=table), corpus.train, updates), corpus.test)
    return {**row, "coded": accuracy(coded(plain, times), corpus.test)}


def run(seed: int = 0, size: Size = "full", *, times: int = 16) -> Result:
    """Train a bag of words with each table, `times`, twice and four times as many times smaller than the plain one."""
    (count, updates), further = ((2000, 60), (1, 2, 4)) if size == "full" else ((600, 40), (1, 4))
    corpus = read(count, seed)
    plain = train(Bag(corpus.words), corpus.train, updates)
    names, whole = ("narrow", *TRAINED, "coded"), accuracy(plain, corpus.test)
    rows: list[Row] = [{"times smaller": 1, **dict.fromkeys(names, whole)}]
    rows += [{"times smaller": k * times, **compare(corpus, plain, k * times, updates)} for k in further]
    for row in rows:
        row["bytes"] = FLOAT_BYTES * corpus.words * WIDTH // row["times smaller"]
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw the accuracy of each table by the number of times that it is smaller."""
    axes = figure.subplots()
    labels = ("E/n", "$P r$", "$h_i$", "$Q R$", "$c$", r"$\bar{c}$")
    styles = ("o-", "s--", "^:", "D-.", "v-", "P--")
    colours = (BLACK, ORANGE, SKY, GREEN, RED, BLUE)
    for name, label, style, colour in zip(("narrow", *TRAINED, "coded"), labels, styles, colours, strict=True):
        points = [(row["times smaller"], row[name]) for row in result.rows if row[name] != "-"]
        axes.plot(*zip(*points, strict=True), style, color=colour, label=label)
    axes.set(xscale="log", xlabel="n", ylabel="p", ylim=(0, 1))
    axes.set_xticks(result.column("times smaller"), [str(times) for times in result.column("times smaller")])
    axes.minorticks_off()
    axes.legend(loc="lower left", ncols=2)


def best(row: Row) -> float:
    """Return the highest accuracy in a row."""
    return float(max(row[name] for name in ("narrow", *TRAINED, "coded") if row[name] != "-"))


def claim(result: Result) -> list[Claim]:
    """Compare the largest, the smaller and the smallest tables."""
    plain, smaller, smallest = result.rows[0], result.rows[1], result.rows[-1]
    return [
        Claim("accuracy of the plain table", plain["narrow"], ">=", result.bound(full=0.8, test=0.65)),
        Claim("best of the smaller ones, less the plain one", best(smaller) - plain["narrow"], ">=", -0.03),
        Claim("narrow, smallest", smallest["narrow"], "<=", 0.45),
        Claim("factorised, smallest", smallest["factorised"], "<=", 0.45),
        Claim("quantised, smallest", smallest["quantised"], ">=", result.bound(full=0.65, test=0.45)),
        Claim("coded, smallest", smallest["coded"], ">=", result.bound(full=0.6, test=0.33)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of how many times smaller a table gets and keeps 85% of the accuracy."""
    plain = result.rows[0]["narrow"]
    times = max(row["times smaller"] for row in result.rows if best(row) >= 0.85 * plain)
    return 1 if times < 4 else 2 if times < 50 else 3


def answer_1() -> list[Claim]:
    """Count the values of the quantised table while it is trained, and what is left of them."""
    table = TABLES["product_quantised"].sized(1091, WIDTH, 64)
    values = sum(parameter.numel() for parameter in table.parameters())
    return [
        Claim("values in training, by the plain table", values / (1091 * WIDTH), ">=", 1),
        Claim("times smaller in predictions", FLOAT_BYTES * 1091 * WIDTH / table.deployed_bytes, ">=", 64),
    ]


def rounded(vectors: Tensor, bits: int) -> Tensor:
    """Round values of vectors (V, E) to 2^bits levels, evenly spaced up to the largest of each vector."""
    step = 2 * vectors.abs().amax(1, keepdim=True) / (2**bits - 1)
    return step * ((vectors / step - 0.5).round() + 0.5)


def answer_2() -> list[Claim]:
    """Round the values of the trained plain table to a byte, and to 2 bits."""
    corpus = read(1000, 0)
    plain = train(Bag(corpus.words), corpus.train, 40)
    whole, vectors = accuracy(plain, corpus.test), plain.embedding.table.get_parameter("weight").detach()
    lost = {
        bits: whole - accuracy(with_table(plain, nn.Embedding.from_pretrained(rounded(vectors, bits))), corpus.test)
        for bits in (8, 2)
    }
    return [
        Claim("accuracy lost with 8 bits a value", lost[8], "<=", 0.01),
        Claim("accuracy lost with 2 bits a value", lost[2], "<=", 0.06),
    ]
