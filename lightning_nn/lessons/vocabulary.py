"""Vocabulary: a table of the most frequent words, their positions as numbers, and one number for all other words.

    id(w) = the position of w in the table, 0 if it is not there
    coverage = the share of running words of a text that are in the table

The word of rank r occurs about 1 / r as often as the first (Zipf 1949), so a short table covers much of a text, and no
table covers all of it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from lightning_nn.data.synthetic.bulletins.generator import generate
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (10, 50, 200, 500, 1000)
WIDTH = 100  # of a word vector


def read(count: int, seed: int, segmenter: Segmenter) -> list[str]:
    """Read the running words of some bulletins."""
    texts = (bulletin.text for bulletin in generate(count, seed))
    return [word for text in texts for sentence in segmenter.sentences(text) for word in sentence]


def coverage(vocabulary: Vocabulary, words: list[str]) -> float:
    """Measure the share of running words that are in the table."""
    return float((vocabulary.ids(words) > 0).mean())


def texts(count: int, seed: int = 0, name: SegmenterName = "jieba") -> tuple[list[str], list[str]]:
    """Read the running words of bulletins for the table, and of a third as many new ones."""
    segmenter = Segmenter(name)
    return read(count, 2 * seed, segmenter), read(count // 3, 2 * seed + 1, segmenter)


def run(seed: int = 0, size: Size = "full", *, bulletins: int = 300) -> Result:
    """Measure the coverage of tables of several sizes."""
    train, new = texts(bulletins if size == "full" else bulletins // 2, seed)
    counts = Counter(train)
    rows: list[Row] = []
    for most in (*(most for most in SIZES if most < len(counts)), None):
        vocabulary = Vocabulary.from_counts(counts, max_size=most)
        rows.append(
            {
                "words in the table": len(vocabulary),
                "weights of their vectors": len(vocabulary) * WIDTH,
                "count of the rarest": counts[vocabulary.words[-1]],
                "coverage": coverage(vocabulary, train),
                "coverage of new texts": coverage(vocabulary, new),
            }
        )
    ranks = np.unique(np.geomspace(1, len(counts), 100).astype(int))
    by_rank = np.array(sorted(counts.values(), reverse=True))
    return Result(rows, {"rank": ranks, "count": by_rank[ranks - 1]})


def draw(result: Result, figure: Figure) -> None:
    """Draw the count of a word by its rank, and the coverage by the size of the table."""
    left, right = figure.subplots(1, 2)
    rank, count = result.arrays["rank"], result.arrays["count"]
    left.loglog(rank, count, color=BLUE)
    left.loglog(rank, count[0] / rank, ":", color="grey", linewidth=1, label="1/r")
    left.set(xlabel="r", ylabel="n")
    left.legend(loc="upper right")
    right.semilogx(result.column("words in the table"), result.column("coverage"), "o-", color=BLUE)
    right.semilogx(result.column("words in the table"), result.column("coverage of new texts"), "s--", color=ORANGE)
    right.set(xlabel="V", ylabel="p", ylim=(0, 1.05))


def claim(result: Result) -> list[Claim]:
    """Compare a short table with all words, and the texts of the table with new ones."""
    rows, everything = {row["words in the table"]: row for row in result.rows}, result.rows[-1]
    return [
        Claim("coverage of new texts by 200 words", rows[200]["coverage of new texts"], ">=", 0.5),
        Claim("weights of 200 words, by all", 200 * WIDTH / everything["weights of their vectors"], "<=", 0.15),
        Claim("coverage by all words", everything["coverage"], "==", 1),
        Claim("coverage of new texts by all words", everything["coverage of new texts"], "<=", 0.999),
        Claim("coverage of new texts by all words, at least", everything["coverage of new texts"], ">=", 0.95),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of how many words cover half of a new text."""
    enough = next(row for row in result.rows if row["coverage of new texts"] >= 0.5)["words in the table"]
    return 1 if enough <= 200 else 2 if enough <= 500 else 3


def answer_1() -> list[Claim]:
    """Leave out words that occur once."""
    train, new = texts(300)
    counts = Counter(train)
    whole, short = Vocabulary.from_counts(counts), Vocabulary.from_counts(counts, min_count=2)
    return [
        Claim("share of the words that occur once", 1 - len(short) / len(whole), ">=", 0.05),
        Claim("coverage of new texts lost without them", coverage(whole, new) - coverage(short, new), "<=", 0.03),
    ]


def answer_2() -> list[Claim]:
    """Take characters for words."""
    size, unknown = {}, {}
    names: tuple[SegmenterName, ...] = ("jieba", "chars")
    for name in names:
        train, new = texts(150, name=name)
        vocabulary = Vocabulary.from_counts(Counter(train))
        size[name], unknown[name] = len(vocabulary), 1 - coverage(vocabulary, new)
    return [
        Claim("characters in the table, by words", size["chars"] / size["jieba"], "<=", 0.8),
        Claim("unknown characters, by unknown words", unknown["chars"] / unknown["jieba"], "<=", 0.4),
    ]
