"""Metrics of captions: BLEU and CIDEr count shared n-grams, so they see words and their order, not what is true.

    BLEU-4 = BP exp(1/4 sum_n log precision_n)         Papineni et al. 2002, section 2.3
    CIDEr-D = 10/4 sum_n cosine of tf-idf of n-grams   Vedantam, Zitnick and Parikh 2015, eq. 5 and 6

Precision is the share of the caption's n-grams that a reference has; BP punishes captions that are too short; tf-idf
gives weight to n-grams that few pictures have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lightning_nn import CaptionBatch, Scenes
from lightning_nn.data.captions.processor import CaptionProcessor
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import split
from lightning_nn.metrics.captions import CaptionScores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Words = list[str]
Change = Callable[[Words, np.random.Generator], Words]
COLOURS_OF_SCENES = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SYNONYMS = {
    "large": "huge", "big": "huge", "small": "tiny", "little": "tiny", "house": "building", "car": "automobile",
    "on": "at", "in": "at", "middle": "centre", "a": "one",
}  # fmt: skip
COLUMNS = {"BLEU-1": "bleu1", "BLEU-4": "bleu4", "brevity penalty": "bp", "CIDEr-D": "cider"}
GENERIC = ["on", "the", "left", "a", "big", "red", "house", "and", "on", "the", "right", "a", "small", "red", "house"]


def wrong_colour(words: Words, rng: np.random.Generator) -> Words:
    """Change the colour of one object: one word, and the caption is false."""
    places = [place for place, word in enumerate(words) if word in COLOURS_OF_SCENES]
    place = int(rng.choice(places))
    others = [colour for colour in COLOURS_OF_SCENES if colour != words[place]]
    return [*words[:place], str(rng.choice(others)), *words[place + 1 :]]


def in_other_words(words: Words, rng: np.random.Generator) -> Words:
    """Say the same in other words: the caption stays true."""
    return [SYNONYMS.get(word, word) for word in words]


def shuffled(words: Words, rng: np.random.Generator) -> Words:
    """Shuffle the words."""
    return [str(word) for word in rng.permutation(words)]


def first_half(words: Words, rng: np.random.Generator) -> Words:
    """Name one object only: the caption stays true."""
    return words[: words.index("and")] if "and" in words else words


def generic(words: Words, rng: np.random.Generator) -> Words:
    """Say the same of every picture, without a look at it."""
    return GENERIC


CHANGES: dict[str, tuple[str, Change]] = {
    "as a person wrote it": ("yes", lambda words, rng: words),
    "in other words": ("yes", in_other_words),
    "one object only": ("yes", first_half),
    "one wrong colour": ("no", wrong_colour),
    "shuffled": ("no", shuffled),
    "the same for all pictures": ("no", generic),
}


def captions(count: int, seed: int) -> list[list[Words]]:
    """Return the three captions of each of the drawn scenes."""
    data = Scenes(train_size=1, val_size=1, test_size=count, size=32, seed=seed)
    data.batch_type = CaptionBatch
    batch = split(data, "test")
    ids = batch.words.split(batch.length.tolist())
    assert isinstance(data.processor, CaptionProcessor)
    sentences = [data.processor.spell(words.tolist()).split() for words in ids]
    return [sentences[start : start + 3] for start in range(0, len(sentences), 3)]


def measure(said: list[Words], known: list[list[Words]]) -> dict[str, float]:
    """Compute the metrics of a caption of each picture, given references of each."""
    number: dict[str, int] = {}

    def ids(words: Words) -> list[int]:
        return [number.setdefault(word, len(number)) for word in words]

    score = CaptionScores()
    score.update([ids(words) for words in said], [[ids(words) for words in references] for references in known])
    values = score.compute()
    return {column: values[metric].item() for column, metric in COLUMNS.items()}


def run(seed: int = 0, size: Size = "full", *, references: int = 2) -> Result:
    """Score captions that were changed in several ways against those of people."""
    pictures = captions(500 if size == "full" else 100, seed)
    rows: list[Row] = []
    for name, (true, change) in CHANGES.items():
        rng = np.random.default_rng(seed)
        scores = measure([change(caption, rng) for *_, caption in pictures], [some[:references] for some in pictures])
        rows.append({"caption": name, "true": true} | scores)
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw BLEU and CIDEr of each way, true captions filled and false ones hatched."""
    axes = figure.subplots(1, 3, sharey=True)
    y = -np.arange(len(result.rows))
    for plot, (column, label) in zip(axes, (("BLEU-1", "B1"), ("BLEU-4", "B4"), ("CIDEr-D", "C")), strict=True):
        bars = plot.barh(y, result.column(column), color=BLUE)
        for bar, true in zip(bars, result.column("true"), strict=True):
            bar.set(**({} if true == "yes" else {"facecolor": ORANGE, "hatch": "//", "edgecolor": "white"}))
        plot.set(xlabel=label, yticks=y, yticklabels=range(1, len(y) + 1))


def claim(result: Result) -> list[Claim]:
    """Compare true captions with false ones."""
    whole = result.row(caption="as a person wrote it")
    colour, other, short = (
        result.row(caption=name) for name in ("one wrong colour", "in other words", "one object only")
    )
    mixed, generic = result.row(caption="shuffled"), result.row(caption="the same for all pictures")
    return [
        Claim("BLEU-1 of shuffled less that of the person", mixed["BLEU-1"] - whole["BLEU-1"], "==", 0),
        Claim("BLEU-4 of shuffled by that of the person", mixed["BLEU-4"] / whole["BLEU-4"], "<=", 0.2),
        Claim("BLEU-4 with one wrong colour", colour["BLEU-4"], ">=", 0.6),
        Claim("BLEU-4 in other words", other["BLEU-4"], "<=", 0.2),
        Claim("BLEU-1 of the same for all", generic["BLEU-1"], ">=", 0.4),
        Claim("CIDEr-D of the same for all by that of the person", generic["CIDEr-D"] / whole["CIDEr-D"], "<=", 0.2),
        Claim("CIDEr-D of a wrong colour by that of other words", colour["CIDEr-D"] / other["CIDEr-D"], ">=", 2),
        Claim("brevity penalty of one object", short["brevity penalty"], "<=", 0.6),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the higher BLEU-4."""
    false, true = (result.row(caption=name)["BLEU-4"] for name in ("one wrong colour", "in other words"))
    return 1 if false > true else 2


def answer_1() -> list[Claim]:
    """Score a single picture, as if there were no others."""
    words = GENERIC
    return [Claim("CIDEr-D of a perfect caption of the only picture", measure([words], [[words]])["CIDEr-D"], "==", 0)]


def answer_2() -> list[Claim]:
    """Add the other wording to the references."""
    pictures, rng = captions(100, 0), np.random.default_rng(0)
    said = [in_other_words(caption, rng) for *_, caption in pictures]
    few = measure(said, [some[:2] for some in pictures])
    many = measure(said, [[*some[:2], in_other_words(some[0], rng)] for some in pictures])
    return [
        Claim("CIDEr-D with a reference in those words, by that without", many["CIDEr-D"] / few["CIDEr-D"], ">=", 3)
    ]
