"""Contributions of words to a prediction, as a page for the browser and lines for the terminal.

The value of a word is its share of the sum of all absolute contributions, below 0 if it speaks against the class.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from rich.text import Text

from lightning_nn.tasks.artifacts import GradientExplanation
from lightning_nn.visualization.pages import render
from lightning_nn.visualization.words import (
    FAINT,
    ShadedWord,
    TerminalLines,
    first_of_each,
    is_chinese,
    shaded_text,
    shaded_words,
    title_line,
    unknown_lines,
)

NAMED = 5  # words of each kind beside a document


class ShadedContributions(NamedTuple):
    """A document as it is shown.

    Attributes:
        words: with the share of each in all contributions.
        attended: with the attention of each; empty for a model without attention.
    """

    words: list[ShadedWord]
    attended: list[ShadedWord]

    @property
    def strongest(self) -> dict[str, list[ShadedWord]]:
        """The strongest words for the class, against it, and by attention, each once."""
        signed = {"for": [w for w in self.words if w.weight > 0], "against": [w for w in self.words if w.weight < 0]}
        groups = signed | ({"attention": self.attended} if self.attended else {})
        return {
            name: first_of_each(
                sorted((w for w in words if w.text and w.shade >= FAINT), key=lambda word: -word.shade), NAMED
            )
            for name, words in groups.items()
        }


def shade(explanation: GradientExplanation) -> ShadedContributions:
    """Return a document with the shade of each word."""
    words = list(itertools.chain(*explanation.sentences))
    total = sum(map(abs, explanation.contributions)) or 1.0
    return ShadedContributions(
        *(
            shaded_words(words, values, [abs(v) / most for v in values], explanation.unknown)
            for values in ([value / total for value in explanation.contributions], explanation.attention)
            for most in [max(map(abs, values), default=0.0) or 1.0]
        )
    )


def page(explanations: list[GradientExplanation], title: str) -> str:
    """Write a page of documents with each word shaded by its contribution: self-contained HTML, without scripts.

    Args:
        explanations: the documents.
        title: of the page.
    """
    documents = [
        {"explanation": each, "shaded": shade(each), "chinese": is_chinese(each.sentences)} for each in explanations
    ]
    unknown = any(explanation.unknown for explanation in explanations)
    return render("gradients.html", title=title, documents=documents, unknown=unknown)


def terminal(explanation: GradientExplanation, width: int = 80) -> TerminalLines:
    """Return a document for `rich.console.Console.print`: shaded in a terminal with colours.

    Args:
        explanation: the document.
        width: largest width, in columns.
    """
    return TerminalLines(partial(_lines, explanation), width)


def _lines(explanation: GradientExplanation, colours: bool) -> Iterator[Text]:
    shaded = shade(explanation)
    yield title_line(explanation)
    yield shaded_text(shaded.words, colours)
    for name, words in shaded.strongest.items():
        listed = ", ".join(f"{word.text} {word.weight:.0%}" for word in words)
        yield Text(f"{name}: {listed or 'none'}", style="dim" * colours)
    yield from unknown_lines(shaded.words, colours)
