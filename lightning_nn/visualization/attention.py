"""Attention over documents, as a page for the browser, a Markdown table and lines for the terminal.

A word's shade is sqrt(p_s) p_w, from the weights of its sentence and of the word, as in the paper's figures (Yang et
al. 2016, section 3.5), so that strong words of weak sentences stay pale but visible. Texts are untrusted: all are
escaped.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from lightning_nn.runs.saved_settings import names
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Explanation
from lightning_nn.visualization.pages import markdown_text, render

STRONGEST = 5  # words named beside a document
SENTENCES = 20  # of a document in a Markdown table, those of the largest weights; the page has all
FAINT = 0.1  # share of the strongest shade below which a word is neither named nor shaded in a terminal

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


class ShadedWord(NamedTuple):
    """A word as it is shown.

    Attributes:
        text: the word, sanitized.
        gap: text before it: a space between Latin words, nothing between Chinese ones.
        weight: within its sentence, 0 to 1.
        shade: 0 to 1; the strongest word of the document has 1.
        unknown: whether the model's vocabulary lacks it.
    """

    text: str
    gap: str
    weight: float
    shade: float
    unknown: bool = False

    @property
    def is_shaded(self) -> bool:
        """True if its shade can be seen on a page."""
        return self.shade >= 0.005

    @property
    def classes(self) -> str:
        """Its classes in the style of the page."""
        return " ".join(["w"] * self.is_shaded + ["unknown"] * self.unknown)


class ShadedSentence(NamedTuple):
    """A sentence as it is shown.

    Attributes:
        weight: within its document, 0 to 1.
        words: its words.
    """

    weight: float
    words: list[ShadedWord]


def shade(explanation: Explanation) -> list[ShadedSentence]:
    """Return the sentences of a document, with the shade of each word."""
    pairs = list(zip(explanation.sentence_weights, explanation.word_weights, explanation.sentences, strict=False))
    most = max((w * s**0.5 for s, weights, _ in pairs for w in weights), default=0.0) or 1.0
    sentences = []
    for weight, weights, words in pairs:
        shaded: list[ShadedWord] = []
        for w, word in zip(weights, words, strict=False):
            text = sanitize(word)
            gap = _gap(shaded[-1].text, text) if shaded else ""
            shaded.append(ShadedWord(text, gap, w, w * weight**0.5 / most, word in explanation.unknown))
        sentences.append(ShadedSentence(weight, shaded))
    return sentences


def strongest(sentences: list[ShadedSentence], most: int = STRONGEST) -> list[ShadedWord]:
    """Return the most strongly shaded words, each once, strongest first, without those below `FAINT`."""
    words = sorted((w for s in sentences for w in s.words if w.text and w.shade >= FAINT), key=lambda w: -w.shade)
    named: dict[str, ShadedWord] = {}
    for word in words:
        named.setdefault(word.text, word)
    return list(named.values())[:most]


def _gap(before: str, after: str) -> str:
    """Return the gap between two words: a space if they are written apart."""
    if not before or not after or _is_wide(before[-1]) or _is_wide(after[0]):
        return ""
    return "" if after[0] in ",.;:!?%)]}'’”" or before[-1] in "([{‘“" else " "


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def page(explanations: list[Explanation], title: str) -> str:
    """Write a page of documents with each word shaded by its weight: self-contained HTML, without scripts.

    Args:
        explanations: the documents.
        title: of the page.
    """
    documents = []
    for explanation in explanations:
        sentences, text = shade(explanation), "".join(itertools.chain(*explanation.sentences))
        # A language that the script shows gives the right glyphs, and a screen reader the right voice.
        chinese = bool(_CJK.search(text)) and not _KANA_OR_HANGUL.search(text)
        content = {"explanation": explanation, "sentences": sentences, "strongest": strongest(sentences)}
        documents.append({**content, "chinese": chinese})
    unknown = any(explanation.unknown for explanation in explanations)
    return render("attention.html", title=title, documents=documents, unknown=unknown)


def table(explanation: Explanation) -> str:
    """Write a document as a Markdown table: its sentences of the largest weights in their order, strong words bold."""
    sentences = shade(explanation)
    heaviest = sorted(range(len(sentences)), key=lambda i: -sentences[i].weight)[:SENTENCES]
    truth = "" if explanation.truth is None else f", truth: {markdown_text(explanation.truth)}"
    rows = [
        f"**{markdown_text(explanation.category)}** {explanation.probability:.1%}{truth}",
        "",
        "| share | words | top 3 |",
        "|-:|:-|:-|",
    ]
    for sentence in [sentences[i] for i in sorted(heaviest)]:
        words = "".join(
            f"{w.gap}<strong>{markdown_text(w.text)}</strong>" if w.shade >= 0.3 else f"{w.gap}{markdown_text(w.text)}"
            for w in sentence.words
        )
        named = ", ".join(f"{markdown_text(w.text)} {w.weight:.0%}" for w in strongest([sentence], 3))
        rows.append(f"| {sentence.weight:.0%} | {words} | {named} |")
    if len(sentences) > SENTENCES:
        rows += ["", f"The heaviest {SENTENCES} of {len(sentences)} sentences."]
    return "\n".join(rows)


def terminal(explanation: Explanation, width: int = 80) -> TerminalExplanation:
    """Return a document for `rich.console.Console.print`: shaded in a terminal with colours, else with words by weight.

    Args:
        explanation: the document.
        width: largest width, in columns.
    """
    return TerminalExplanation(explanation, width)


class TerminalExplanation:
    """A document as lines of a terminal; see `terminal`."""

    def __init__(self, explanation: Explanation, width: int) -> None:
        self.explanation, self.width = explanation, width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sentences = shade(self.explanation)
        colours = console.is_terminal and console.color_system is not None and not console.no_color
        width = min(self.width, options.max_width)
        yield self._title()
        grid = Table.grid(padding=(0, 1), pad_edge=False)
        grid.add_column(width=min(14, max(6, width // 5)), no_wrap=True)
        grid.add_column(overflow="fold")
        for sentence in sentences:
            for row in _lines(sentence, colours, options.ascii_only, width):
                grid.add_row(*row)
        yield from console.render(grid, options.update(width=width))
        words = ", ".join(f"{w.text} {w.weight:.0%}" for w in strongest(sentences))
        yield Text(f"strongest words: {words or 'none'}", style="dim" if colours else "", overflow="fold")
        if unknown := list(dict.fromkeys(w.text for s in sentences for w in s.words if w.unknown and w.text)):
            yield Text(f"not in the vocabulary: {names(unknown)}", style="dim" if colours else "", overflow="fold")

    def _title(self) -> Text:
        title = Text(overflow="fold")
        title.append(sanitize(self.explanation.category), style="bold")
        title.append(f"  {self.explanation.probability:.1%}")
        truth = self.explanation.truth
        if truth is not None:
            right = truth == self.explanation.category
            title.append("  right" if right else f"  wrong: it is {sanitize(truth)}", style="green" if right else "red")
        return title


def _lines(sentence: ShadedSentence, colours: bool, ascii_only: bool, width: int) -> Iterator[tuple[Text, Text]]:
    """Yield a sentence as a row of weight and text; without colours, a second row lists its words by weight."""
    bar = ("#" if ascii_only else "█") * round(sentence.weight * 8) if width >= 60 else ""
    yield Text(f"{sentence.weight:4.0%} {bar}"), _shaded(sentence.words, colours)
    if not colours and len(sentence.words) > 1 and (named := strongest([sentence], 3)):
        yield Text(""), Text("= " + ", ".join(f"{w.text} {w.weight:.0%}" for w in named), overflow="fold")


def _shaded(words: list[ShadedWord], colours: bool) -> Text:
    text = Text(overflow="fold")
    for word in words:
        text.append(word.gap)
        text.append(word.text, style=_style(word.shade) if colours and word.shade >= FAINT else None)
    return text


def _style(shade: float) -> Style:
    """Return black on pale sand to strong orange, by shade: readable on dark and light terminals alike."""
    pale, strong = (225, 213, 190), (255, 130, 0)
    red, green, blue = (round(p + (s - p) * shade) for p, s in zip(pale, strong, strict=True))
    return Style(color="#000000", bgcolor=f"#{red:02x}{green:02x}{blue:02x}", bold=shade > 0.6)
