"""Attention over documents, as a page for the browser, a Markdown table and lines for the terminal.

A word's shade is sqrt(p_s) p_w, from the weights of its sentence and of the word, as in the paper's figures (Yang et
al. 2016, section 3.5), so that strong words of weak sentences stay pale but visible.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from lightning_nn.tasks.artifacts import Explanation
from lightning_nn.visualization.pages import markdown_text, render
from lightning_nn.visualization.words import (
    FAINT,
    ShadedWord,
    first_of_each,
    is_chinese,
    shaded_text,
    shaded_words,
    title_line,
    unknown_lines,
)

STRONGEST = 5  # words named beside a document
SENTENCES = 20  # of a document in a Markdown table, those of the largest weights; the page has all


class ShadedSentence(NamedTuple):
    """A sentence as it is shown.

    Attributes:
        weight: within its document, 0 to 1.
        words: its words; the weight of each is within the sentence.
    """

    weight: float
    words: list[ShadedWord]


def shade(explanation: Explanation) -> list[ShadedSentence]:
    """Return the sentences of a document, with the shade of each word."""
    pairs = list(zip(explanation.sentence_weights, explanation.word_weights, explanation.sentences, strict=False))
    most = max((w * s**0.5 for s, weights, _ in pairs for w in weights), default=0.0) or 1.0
    return [
        ShadedSentence(
            weight, shaded_words(words, weights, [w * weight**0.5 / most for w in weights], explanation.unknown)
        )
        for weight, weights, words in pairs
    ]


def strongest(sentences: list[ShadedSentence], most: int = STRONGEST) -> list[ShadedWord]:
    """Return the most strongly shaded words, each once, strongest first, without those below `FAINT`."""
    words = [word for sentence in sentences for word in sentence.words if word.text and word.shade >= FAINT]
    return first_of_each(sorted(words, key=lambda word: -word.shade), most)


def page(explanations: list[Explanation], title: str) -> str:
    """Write a page of documents with each word shaded by its weight: self-contained HTML, without scripts.

    Args:
        explanations: the documents.
        title: of the page.
    """
    documents = [shown_document(explanation) for explanation in explanations]
    unknown = any(explanation.unknown for explanation in explanations)
    return render("attention.html", title=title, documents=documents, unknown=unknown)


def shown_document(explanation: Explanation) -> dict[str, Any]:
    """Return what a template shows of a document."""
    sentences = shade(explanation)
    content = {"explanation": explanation, "sentences": sentences, "strongest": strongest(sentences)}
    return {**content, "chinese": is_chinese(explanation.sentences)}


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
        yield title_line(self.explanation)
        grid = Table.grid(padding=(0, 1), pad_edge=False)
        grid.add_column(width=min(14, max(6, width // 5)), no_wrap=True)
        grid.add_column(overflow="fold")
        for sentence in sentences:
            for row in _lines(sentence, colours, options.ascii_only, width):
                grid.add_row(*row)
        yield from console.render(grid, options.update(width=width))
        words = ", ".join(f"{w.text} {w.weight:.0%}" for w in strongest(sentences))
        yield Text(f"strongest words: {words or 'none'}", style="dim" if colours else "", overflow="fold")
        yield from unknown_lines(itertools.chain(*(sentence.words for sentence in sentences)), colours)


def _lines(sentence: ShadedSentence, colours: bool, ascii_only: bool, width: int) -> Iterator[tuple[Text, Text]]:
    """Yield a sentence as a row of weight and text; without colours, a second row lists its words by weight."""
    bar = ("#" if ascii_only else "█") * round(sentence.weight * 8) if width >= 60 else ""
    yield Text(f"{sentence.weight:4.0%} {bar}"), shaded_text(sentence.words, colours)
    if not colours and len(sentence.words) > 1 and (named := strongest([sentence], 3)):
        yield Text(""), Text("= " + ", ".join(f"{w.text} {w.weight:.0%}" for w in named), overflow="fold")
