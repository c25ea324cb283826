"""The labels of a data set that may be wrong, as a page to go through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning_nn.tasks.artifacts import Mistakes
from lightning_nn.tasks.label_review import LabelReview
from lightning_nn.visualization.mistakes import articles
from lightning_nn.visualization.pages import render

SHOWN = 200  # suspect samples
_GROUPS, _UNKNOWN = 100, 50


def page(review: LabelReview, look: Callable[[Any], Any]) -> str:
    """Write the page: suspect labels with their samples, duplicates, samples whose words are unknown.

    Args:
        review: of the labels.
        look: returns what can be shown of a batch of one sample.
    """
    suspects, groups = review.suspects(SHOWN, look), review.groups
    return render(
        "labels.html",
        suspects=articles(Mistakes(suspects, len(suspects), len(review))),
        suspect=int(review.suspect.sum()),
        total=len(review),
        pairs=review.pairs,
        groups=[(review.differs(group), review.shown(group)) for group in groups[:_GROUPS]],
        duplicated=len(groups),
        unknown=[
            (float(review.unknown[number]), sample)
            for number, sample in zip(
                review.unreadable[:_UNKNOWN].tolist(), review.shown(review.unreadable[:_UNKNOWN]), strict=True
            )
        ],
        unreadable=len(review.unreadable),
    )
