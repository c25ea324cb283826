"""Gates of recurrent layers over documents, as a page for the browser and lines for the terminal.

A word's shade is the share of its state that a layer keeps there, from the least of the document, 0, to the largest, 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from rich.text import Text

from lightning_nn.tasks.artifacts import GateExplanation
from lightning_nn.visualization.pages import render
from lightning_nn.visualization.words import (
    ShadedWord,
    TerminalLines,
    first_of_each,
    is_chinese,
    shaded_text,
    shaded_words,
    title_line,
    unknown_lines,
)

NAMED = 5  # words at which least is kept


class ShadedReading(NamedTuple):
    """A document as a layer reads it in one direction.

    Attributes:
        name: the layer's direction, with its number if there are several.
        words: of the whole document; the weight of each is what is kept there, 0 to 1.
    """

    name: str
    words: list[ShadedWord]

    @property
    def range(self) -> str:
        """The least, the mean and the largest value of the words."""
        kept = [word.weight for word in self.words] or [0.0]
        return f"keeps {min(kept):.0%} to {max(kept):.0%}, {sum(kept) / len(kept):.0%} on average"

    @property
    def least(self) -> list[ShadedWord]:
        """The words at which least is kept, each once, the least first."""
        return first_of_each(sorted((w for w in self.words if w.text), key=lambda word: word.weight), NAMED)


def shade(explanation: GateExplanation) -> list[ShadedReading]:
    """Return a document as each layer reads it, with the shade of each word."""
    words, readings = list(itertools.chain(*explanation.sentences)), []
    for name, kept in explanation.kept.items():
        low, high = min(kept, default=0.0), max(kept, default=0.0)
        shades = [(value - low) / (high - low or 1.0) for value in kept]
        readings.append(ShadedReading(name, shaded_words(words, kept, shades, explanation.unknown)))
    return readings


def page(explanations: list[GateExplanation], title: str) -> str:
    """Write a page of documents with each word shaded by what is kept at it: self-contained HTML, without scripts.

    Args:
        explanations: the documents.
        title: of the page.
    """
    documents = [
        {"explanation": each, "readings": shade(each), "chinese": is_chinese(each.sentences)} for each in explanations
    ]
    unknown = any(explanation.unknown for explanation in explanations)
    gate = explanations[0].gate if explanations else ""
    return render("gates.html", title=title, documents=documents, unknown=unknown, gate=gate)


def terminal(explanation: GateExplanation, width: int = 80) -> TerminalLines:
    """Return a document for `rich.console.Console.print`: shaded in a terminal with colours.

    Args:
        explanation: the document.
        width: largest width, in columns.
    """
    return TerminalLines(partial(_lines, explanation), width)


def _lines(explanation: GateExplanation, colours: bool) -> Iterator[Text]:
    readings = shade(explanation)
    yield title_line(explanation)
    if not colours and readings:
        yield shaded_text(readings[0].words, colours)
    for reading in readings:
        yield Text(f"{reading.name}, {explanation.gate} gate: {reading.range}")
        if colours:
            yield shaded_text(reading.words, colours)
        least = ", ".join(f"{word.text} {word.weight:.0%}" for word in reading.least)
        yield Text(f"keeps least at: {least or 'none'}", style="dim" * colours)
    if readings:
        yield from unknown_lines(readings[0].words, colours)
