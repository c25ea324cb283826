"""Embeddings: words that occur in the same surroundings get near vectors, and the window says what "the same" is.

    PPMI(w, c) = max(0, log P(w, c) / (P(w) P(c)))        P(w, c): c stands within a window of words around w
    PPMI ~ U diag(s) V^T,   e_w = row w of U diag(s)^(1/2), of length 1

Levy, Goldberg and Dagan 2015, section 2; word2vec factorises nearly the same matrix without writing it down (Levy and
Goldberg 2014). The vectors are made here from bulletins. Their words come from a lexicon, which says of many words of
which kind they are (a person, an organiser, a city ...) and to which topic they belong; the vectors do not see it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lightning_nn.data.synthetic.bulletins import lexicon
from lightning_nn.data.synthetic.bulletins.generator import generate
from lightning_nn.data.text.segmenter import Segmenter
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOWS = (1, 2, 4, 8)
MAPPED = (0, 1, 8)  # topics of the figure: sports, finance, show business
ASKED = "医生"  # a doctor


class Text(NamedTuple):
    """Running words: the table, the id of each word, and the number of its sentence, int64 (T,) each."""

    vocabulary: Vocabulary
    ids: Array
    sentence: Array


class Labels(NamedTuple):
    """Words that the lexicon tells something about: ids, kinds and topics, (N,) each; the topic -1 is none."""

    ids: Array
    kind: Array
    topic: Array


def read(bulletins: int, seed: int) -> Text:
    """Read bulletins; words that occur less than 5 times are unknown."""
    segmenter = Segmenter("jieba")
    sentences = [words for bulletin in generate(bulletins, seed) for words in segmenter.sentences(bulletin.text)]
    running = [word for words in sentences for word in words]
    vocabulary = Vocabulary.from_counts(Counter(running), min_count=5)
    numbers = np.repeat(np.arange(len(sentences)), [len(words) for words in sentences])
    return Text(vocabulary, vocabulary.ids(running), numbers)


def labels(vocabulary: Vocabulary) -> Labels:
    """Look up the kinds and topics of the words of the lexicon, of those that have one kind and one topic only."""
    entries: dict[str, set[tuple[int, int]]] = {}
    for topic, groups in enumerate(lexicon.TOPICS.values()):
        for group in groups:
            for kind, words in enumerate((group.people, group.organisers, group.subjects)):
                for word in words:
                    entries.setdefault(word, set()).add((kind, topic))
    for kind, words in enumerate((lexicon.CITIES, lexicon.OFF, lexicon.PARTS_OF_DAY), 3):
        for word in words:
            entries.setdefault(word, set()).add((kind, -1))
    ids = vocabulary.ids(entries)
    known = [
        (number, *next(iter(of))) for number, of in zip(ids, entries.values(), strict=True) if number and len(of) == 1
    ]
    return Labels(*np.array(known).T)


def counts(text: Text, window: int) -> Array:
    """Count how often two words stand at most `window` words apart in a sentence, (V, V); unknown words don't count."""
    size = len(text.vocabulary)
    pairs = np.zeros(size * size)
    for apart in range(1, window + 1):
        inside = text.sentence[:-apart] == text.sentence[apart:]
        pairs += np.bincount((text.ids[:-apart] * size + text.ids[apart:])[inside], minlength=size * size)
    matrix = pairs.reshape(size, size)
    matrix[0] = matrix[:, 0] = 0
    return matrix + matrix.T


def ppmi(pairs: Array) -> Array:
    """Compute the positive pointwise mutual information of counts (V, V)."""
    of_word = pairs.sum(1)
    expected = np.outer(of_word, of_word) / of_word.sum()
    return np.log(np.divide(pairs, expected, out=np.ones_like(pairs), where=pairs > expected))


def vectors(matrix: Array, dimensions: int) -> Array:
    """Factorise a matrix (V, V), and return a vector of length 1 for each word, (V, dimensions)."""
    u, s, _ = torch.svd_lowrank(torch.from_numpy(matrix).float(), dimensions + 10, niter=3)
    return torch.nn.functional.normalize((u * s.sqrt())[:, :dimensions]).numpy()


def shares(e: Array, known: Labels) -> tuple[float, float]:
    """Measure how often a word's nearest neighbour among those of the lexicon has its kind, and its topic."""
    similarity = e[known.ids] @ e[known.ids].T
    np.fill_diagonal(similarity, -np.inf)
    nearest = similarity.argmax(1)
    topical = known.topic >= 0
    same_topic = known.topic[nearest][topical] == known.topic[topical]
    return float((known.kind[nearest] == known.kind).mean()), float(same_topic.mean())


def neighbours(e: Array, vocabulary: Vocabulary, word: str, count: int = 4) -> str:
    """Return the nearest words of a word, or "-" if it is unknown."""
    number = vocabulary.ids([word])[0]
    similarity = e @ e[number]
    order = [i for i in np.argsort(-similarity) if i not in (0, number)]
    return " ".join(vocabulary.words[i] for i in order[:count]) if number else "-"


def on_a_map(e: Array) -> Array:
    """Project vectors (N, dimensions) on their two principal directions, (N, 2)."""
    centred = e - e.mean(0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


def run(seed: int = 0, size: Size = "full", *, dimensions: int = 50) -> Result:
    """Make vectors with several windows, of mutual information and of plain counts, and look at nearest neighbours."""
    text = read(800 if size == "full" else 400, seed)
    known = labels(text.vocabulary)
    made = {("ppmi", window): vectors(ppmi(counts(text, window)), dimensions) for window in WINDOWS}
    made["counts", 1] = vectors(counts(text, 1), dimensions)
    made["random", 0] = np.random.default_rng(seed).normal(size=(len(text.vocabulary), dimensions))
    rows: list[Row] = []
    for (name, window), e in made.items():
        kind, topic = shares(e, known)
        asked = neighbours(e, text.vocabulary, ASKED)
        rows.append({"vectors": name, "window": window, "same kind": kind, "same topic": topic, f"near {ASKED}": asked})
    shown = (known.kind < 2) & np.isin(known.topic, MAPPED)
    maps = {f"map {window}": on_a_map(made["ppmi", window][known.ids[shown]]) for window in (WINDOWS[0], WINDOWS[-1])}
    return Result(rows, {**maps, "kind": known.kind[shown], "topic": known.topic[shown]})


def draw(result: Result, figure: Figure) -> None:
    """Draw the shares by the window, and persons and organisers of three topics for the narrowest and widest one."""
    left, *maps = figure.subplots(1, 3)
    rows = [row for row in result.rows if row["vectors"] == "ppmi"]
    windows = [row["window"] for row in rows]
    for column, colour, style in (("same kind", BLUE, "o-"), ("same topic", ORANGE, "s--")):
        left.plot(windows, [row[column] for row in rows], style, color=colour)
        left.axhline(result.row(vectors="random")[column], color=colour, linewidth=1, linestyle=":")
    left.set(xlabel="k", ylabel="p", ylim=(0, 1.05), xticks=windows)
    kind, topic = result.arrays["kind"], result.arrays["topic"]
    for axes, window in zip(maps, (WINDOWS[0], WINDOWS[-1]), strict=True):
        for marker, of_kind in (("o", 0), ("s", 1)):
            for colour, of_topic in zip((BLUE, ORANGE, GREEN), MAPPED, strict=True):
                x, y = result.arrays[f"map {window}"][(kind == of_kind) & (topic == of_topic)].T
                axes.plot(x, y, marker, color=colour, markersize=5, markerfacecolor=colour if of_kind else "white")
        axes.set(title=f"k = {window}", xticks=[], yticks=[])


def claim(result: Result) -> list[Claim]:
    """Compare a narrow window with a wide one, and mutual information with counts."""
    narrow, *_, wide = (row for row in result.rows if row["vectors"] == "ppmi")
    plain, random = result.row(vectors="counts"), result.row(vectors="random")
    return [
        Claim("window of 1, neighbour of the same kind", narrow["same kind"], ">=", result.bound(full=0.95, test=0.9)),
        Claim("window of 8, neighbour of the same kind", wide["same kind"], "<=", 0.75),
        Claim("window of 8, neighbour of the same topic", wide["same topic"], ">=", result.bound(full=0.93, test=0.85)),
        Claim("window of 1, neighbour of the same topic", narrow["same topic"], "<=", 0.8),
        Claim("window of 1, topic, PPMI less counts", narrow["same topic"] - plain["same topic"], ">=", 0.15),
        Claim("random vectors, neighbour of the same topic", random["same topic"], "<=", 0.25),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what near vectors have in common if the window is one word."""
    row = result.row(vectors="ppmi", window=WINDOWS[0])
    return 1 if row["same kind"] > row["same topic"] + 0.1 else 2 if row["same topic"] > row["same kind"] + 0.1 else 3


def answer_1() -> list[Claim]:
    """Compare opposites, and words that often stand side by side."""
    text = read(400, 0)
    e = vectors(ppmi(counts(text, 1)), 50)
    morning, afternoon, on_time, held = (e[text.vocabulary.ids([word])[0]] for word in ("上午", "下午", "如期", "举行"))
    return [
        Claim("cosine of 上午 (morning) and 下午 (afternoon)", float(morning @ afternoon), ">=", 0.7),
        Claim("cosine of 如期 (on time) and 举行 (takes place)", float(on_time @ held), "<=", 0.4),
    ]


def answer_2() -> list[Claim]:
    """Keep fewer dimensions."""
    text = read(400, 0)
    known, matrix = labels(text.vocabulary), ppmi(counts(text, 4))
    (kind, topic), (_, of_many) = (shares(vectors(matrix, dimensions), known) for dimensions in (3, 50))
    return [
        Claim("3 dimensions, same kind", kind, ">=", 0.45),
        Claim("3 dimensions, same topic", topic, "<=", 0.4),
        Claim("50 dimensions, same topic", of_many, ">=", 0.85),
    ]
