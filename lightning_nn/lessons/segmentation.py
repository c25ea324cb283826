"""Segmentation: where the words of a text without spaces begin and end, by a dictionary with counts.

    longest match     at each place the longest word of the dictionary
    most probable     argmax over w_1 ... w_T = text of sum_t log P(w_t),   P(w) = count(w) / sum of all counts

The maximum is found by dynamic programming over the places between characters, best(j) = max_i best(i) + log P(i..j)
(Viterbi 1967), as jieba does. A character that is no word counts as one of count 1, so whatever the dictionary does not
have falls into pieces. The dictionary is jieba's: 349,045 words.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_nn.data.synthetic.bulletins.generator import generate
from lightning_nn.data.text.segmenter import Segmenter, jieba_dictionary
from lightning_nn.lessons.lesson import BLUE, ORANGE, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ_BY_PEOPLE = (
    "研究/生命/的/起源",
    "结婚/的/和/尚未/结婚/的",
    "使/用户/满意",
    "学/历史/知识",
    "为/人民/办/公益",
    "乒乓球拍/卖完/了",
    "从小/学/电脑",
    "他/将/来/上海",
    "元宇宙/概念股",
    "奥密克戎/毒株",
)
LATTICE = READ_BY_PEOPLE[0]
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # behind a number
Dictionary = dict[str, int]  # counts of words; 0 for a beginning of words that is none


def ends(text: str, start: int, counts: Dictionary) -> list[int]:
    """List the ends of the words that begin at a place, ascending; the first character is always one."""
    stops = [start + 1]
    for stop in range(start + 2, len(text) + 1):
        if text[start:stop] not in counts:
            break
        if counts[text[start:stop]]:
            stops.append(stop)
    return stops


def longest_match(text: str, counts: Dictionary) -> list[str]:
    """Take the longest word at each place, from left to right."""
    words, start = [], 0
    while start < len(text):
        stop = ends(text, start, counts)[-1]
        words.append(text[start:stop])
        start = stop
    return words


def cost(word: str, counts: Dictionary, total: int) -> float:
    """Compute -log P of a word."""
    return math.log(total) - math.log(max(counts.get(word, 0), 1))


def most_probable(text: str, counts: Dictionary, total: int) -> list[str]:
    """Find the words whose product of probabilities is largest."""
    best = [0.0] + [math.inf] * len(text)  # lowest cost of the first characters
    begin = [0] * (len(text) + 1)  # of the last word of that way
    for start in range(len(text)):
        for stop in ends(text, start, counts):
            through = best[start] + cost(text[start:stop], counts, total)
            if through < best[stop]:
                best[stop], begin[stop] = through, start
    words: list[str] = []
    stop = len(text)
    while stop:
        words.append(text[begin[stop] : stop])
        stop = begin[stop]
    return words[::-1]


def spans(words: list[str]) -> set[tuple[int, int]]:
    """Return first and last place of each word."""
    stops = np.cumsum([len(word) for word in words]).tolist()
    return {(stop - len(word), stop) for word, stop in zip(words, stops, strict=True)}


def f1(words: list[str], reference: list[str]) -> float:
    """Compare two segmentations: words with the same ends, twice, by all words of both."""
    return 2 * len(spans(words) & spans(reference)) / (len(words) + len(reference))


def without(counts: Dictionary, lost: set[str]) -> Dictionary:
    """Return the dictionary without some of its words; beginnings of words stay."""
    return {word: 0 if word in lost else count for word, count in counts.items()}


def fate(word: tuple[int, int], pieces: set[tuple[int, int]]) -> int:
    """Tell what became of a lost word: 0 single characters, 1 shorter words, 2 joined with its neighbours."""
    start, stop = word
    inside = [piece for piece in pieces if start <= piece[0] and piece[1] <= stop]
    if sum(last - first for first, last in inside) < stop - start:
        return 2
    return 0 if len(inside) == stop - start else 1


def run(seed: int = 0, size: Size = "full", *, missing: float = 0.4) -> Result:
    """Segment ambiguous sentences both ways, then bulletins with ever more words missing from the dictionary."""
    counts, total = jieba_dictionary()
    rows: list[Row] = []
    for read in READ_BY_PEOPLE:
        reference, text = read.split("/"), read.replace("/", "")
        ways = {"longest match": longest_match(text, counts), "most probable": most_probable(text, counts, total)}
        joined = {name: "/".join(words) for name, words in ways.items()}
        scores = {f"{name}, F1": f1(words, reference) for name, words in ways.items()}
        rows.append({"read by people": read, **joined, **scores})
    text = LATTICE.replace("/", "")
    arcs = [(i, j, cost(text[i:j], counts, total)) for i in range(len(text)) for j in ends(text, i, counts)]
    return Result(rows, {"arcs": np.array(arcs), **forget(counts, total, seed, missing, 60 if size == "full" else 20)})


def forget(counts: Dictionary, total: int, seed: int, most: float, bulletins: int) -> dict[str, Array]:
    """Segment bulletins with a growing share of the words of several characters missing, up to `most`."""
    text = "".join(bulletin.text for bulletin in generate(bulletins, seed))
    reference = most_probable(text, counts, total)
    candidates = sorted({text[i:j] for i in range(len(text)) for j in ends(text, i, counts)[1:]})
    drawn = dict(zip(candidates, np.random.default_rng(seed).random(len(candidates)), strict=True))
    shares, scores = np.array([0, *np.linspace(0.1, most, 4)]), []
    for share in shares:
        lost = {word for word in candidates if drawn[word] < share}
        known = without(counts, lost)
        words = most_probable(text, known, total)
        scores.append([f1(longest_match(text, known), reference), f1(words, reference)])
    pieces = spans(words)
    fates = [fate(place, pieces) for place in spans(reference) if text[slice(*place)] in lost]
    longest, probable = np.array(scores).T
    of_fates = np.bincount(fates, minlength=3) / len(fates)
    return {"missing": shares, "longest": longest, "probable": probable, "fates": of_fates}


def draw(result: Result, figure: Figure) -> None:
    """Draw the words of a sentence as arcs with their costs, and the F1 by the share of missing words."""
    from matplotlib.patches import Arc

    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    row = result.rows[READ_BY_PEOPLE.index(LATTICE)]
    probable, longest = (spans(row[name].split("/")) for name in ("most probable", "longest match"))
    for i, j, height in result.arrays["arcs"]:
        on_way = (int(i), int(j)) in probable
        curve: dict[str, Any] = {"color": BLUE, "linewidth": 2.5} if on_way else {"color": "grey", "linewidth": 1}
        left.add_patch(Arc(((i + j) / 2, 0), j - i, 1.1 * (j - i), theta1=0, theta2=180, **curve))
        left.text((i + j) / 2, 0.55 * (j - i) + 0.06, f"{height:.1f}", ha="center", fontsize=9, bbox=WHITE)
    for i, j in longest:
        orange: dict[str, Any] = {"color": ORANGE, "linewidth": 2.5, "linestyle": "--"}
        left.add_patch(Arc(((i + j) / 2, 0), j - i, 0.8 * (j - i), theta1=180, theta2=360, **orange))
    last = int(result.arrays["arcs"][:, 1].max())
    left.plot(range(last + 1), [0] * (last + 1), "o", color="black", markersize=5)
    left.set(xticks=range(last + 1), yticks=[], xlabel="j", xlim=(-0.3, last + 0.3), ylim=(-1.4, 2))
    left.spines["left"].set_visible(False)
    right.plot(result.arrays["missing"], result.arrays["probable"], "o-", color=BLUE)
    right.plot(result.arrays["missing"], result.arrays["longest"], "s--", color=ORANGE)
    right.set(xlabel="p", ylabel="$F_1$", ylim=(0, 1.05))


def claim(result: Result) -> list[Claim]:
    """Compare both ways on single sentences and on bulletins, and see what becomes of missing words."""
    of_longest, of_probable = (
        {row["read by people"]: row[f"{name}, F1"] for row in result.rows}
        for name in ("longest match", "most probable")
    )
    origin, bats, foreign = LATTICE, "乒乓球拍/卖完/了", "奥密克戎/毒株"
    agreement, tenth = result.arrays["longest"][0], result.arrays["probable"][1]
    alone, _, joined = result.arrays["fates"]
    return [
        Claim(f"{origin}, longest match", of_longest[origin], "<=", 0.6),
        Claim(f"{origin}, most probable", of_probable[origin], ">=", 0.99),
        Claim(f"{bats}, longest match", of_longest[bats], ">=", 0.99),
        Claim(f"{bats}, most probable", of_probable[bats], "<=", 0.6),
        Claim(f"{foreign}, the better of both", max(of_longest[foreign], of_probable[foreign]), "<=", 0.4),
        Claim("bulletins, agreement of both ways", float(agreement), ">=", 0.93),
        Claim(
            "F1 lost by a tenth of the words missing, less that lost by the other way",
            float(agreement - tenth),
            ">=",
            0.01,
        ),
        Claim("missing words that fall into single characters", float(alone), ">=", 0.7),
        Claim("missing words that join with their neighbours", float(joined), ">=", 0.01),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of who is right about the bats that are sold out."""
    row = result.rows[READ_BY_PEOPLE.index("乒乓球拍/卖完/了")]
    longest, probable = (row[f"{name}, F1"] == 1 for name in ("longest match", "most probable"))
    return 1 if longest and not probable else 2 if probable and not longest else 3


def answer_1() -> list[Claim]:
    """Let jieba guess words that its dictionary lacks, by a hidden Markov model of the places of characters."""
    segmenter = Segmenter("jieba")
    foreign, new = (
        f1(segmenter(read.replace("/", "")), read.split("/")) for read in ("奥密克戎/毒株", "元宇宙/概念股")
    )
    return [Claim("奥密克戎/毒株, guessed", foreign, "==", 1), Claim("元宇宙/概念股, guessed", new, "<=", 0.5)]


def answer_2() -> list[Claim]:
    """Add words to the dictionary, one with a count."""
    segmenter = Segmenter("jieba", ["元宇宙", "乒乓球拍 500"])
    new, bats = (
        f1(segmenter(read.replace("/", "")), read.split("/")) for read in ("元宇宙/概念股", "乒乓球拍/卖完/了")
    )
    return [
        Claim("元宇宙/概念股, with the word", new, "==", 1),
        Claim("乒乓球拍/卖完/了, with a count of 500", bats, "==", 1),
    ]
