"""Results of a test, class by class, and its most confident mistakes: for the terminal and for results.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from rich.table import Table

from lightning_nn.cli.console import console_of
from lightning_nn.metrics.confusion import ClassScore
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Artifact, Mistakes
from lightning_nn.tasks.task import Task
from lightning_nn.visualization.mistakes import line

MOST_CLASSES = 30  # in the terminal
FEW_MISTAKES = 5


def show_classes(scores: list[ClassScore], stream: TextIO) -> None:
    """Print the scores of each class; of very many classes, of those with the lowest F1.

    Args:
        scores: of `Task.class_scores`.
        stream: where to print.
    """
    if not scores:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="ellipsis", no_wrap=True)
    for name in ("precision", "recall", "F1", "samples"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = scores if len(scores) <= MOST_CLASSES else sorted(scores, key=lambda score: score.f1)[:MOST_CLASSES]
    for score in shown:
        shares = (f"{share:.3f}" for share in (score.precision, score.recall, score.f1))
        table.add_row(sanitize(score.category), *shares, f"{score.support:,}")
    console_of(stream).print(table)
    if len(shown) < len(scores):
        print(f"of {len(scores):,} classes those with the lowest F1; results.json has all", file=stream)


def show_mistakes(mistakes: Mistakes, stream: TextIO) -> None:
    """Print the most confident mistakes, a line each.

    Args:
        mistakes: of the test split.
        stream: where to print.
    """
    surest = "; the model is surest of these:" if mistakes.wrong else ""
    print(f"{mistakes.wrong:,} of {mistakes.total:,} test samples are wrong{surest}", file=stream)
    for mistake in mistakes.samples[:FEW_MISTAKES]:
        print(line(mistake, console_of(stream).width), file=stream)


def show_test(model: Task, artifacts: Sequence[Artifact], stream: TextIO) -> None:
    """Print what a test has measured of each class, and its most confident mistakes.

    Args:
        model: after the test.
        artifacts: of the test.
        stream: where to print.
    """
    show_classes(model.class_scores("test") if artifacts else [], stream)
    for artifact in artifacts:
        if isinstance(artifact, Mistakes):
            print(file=stream)
            show_mistakes(artifact, stream)
            print(file=stream)


def by_class(scores: list[ClassScore]) -> dict[str, Any]:
    """Return the scores of each class as results.json holds them; empty if there are none."""
    names = ("precision", "recall", "f1", "samples")
    rows = {category: dict(zip(names, values, strict=True)) for category, *values in scores}
    return {"test/classes": rows} if rows else {}
