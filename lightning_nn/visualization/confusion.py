"""Confusion matrix as an image and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.metrics.confusion import accuracy, class_scores
from lightning_nn.visualization.images import columns, labels, new_figure, pixels
from lightning_nn.visualization.pages import markdown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED = 20  # classes up to which each cell shows its number
NAMED = 40  # classes up to which each row shows its name


def picture(matrix: Tensor, categories: list[str], title: str) -> NDArray[np.uint8]:
    """Draw the matrix: rows are true classes, shaded by their shares, columns are predicted ones.

    Args:
        matrix: int64 (K, K), rows true, columns predicted.
        categories: names of the K classes; numbers replace them if no font on this machine has their letters.
        title: drawn above.

    Returns:
        uint8 (height, width, 3).
    """
    from matplotlib.colors import PowerNorm

    classes = len(matrix)
    side = min(10.0, max(4.5, 2.4 + 0.42 * classes))
    figure = new_figure(side, side, "constrained")
    axes = figure.add_subplot()
    shares = (matrix / matrix.sum(1, keepdim=True).clamp(min=1)).numpy()
    # The root makes few mistakes visible beside a full diagonal.
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    names, font = labels(categories)
    _ticks(axes, names if classes <= NAMED else None, classes, font)
    if classes <= COUNTED:
        _count(axes, matrix.tolist(), shares)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{title}: {float(accuracy(matrix)):.1%} of {int(matrix.sum()):,} right", fontsize=10)
    return pixels(figure)


def report(matrix: Tensor, categories: list[str]) -> str:
    """Write precision, recall, F1 and the most frequent mistake of each class as a Markdown table.

    Args:
        matrix: int64 (K, K), rows true, columns predicted.
        categories: names of the K classes.
    """
    lines = ["| | class | precision | recall | F1 | samples | most often predicted as |", "|-:|:-|-:|-:|-:|-:|:-|"]
    mistakes = matrix - torch.diag(matrix.diagonal())
    most = mistakes.max(1)
    for k, score in enumerate(class_scores(matrix, categories)):
        wrong = (
            f"{markdown_text(categories[int(most.indices[k])])} ({int(most.values[k])})" if most.values[k] > 0 else ""
        )
        metrics = f"{score.precision:.3f} | {score.recall:.3f} | {score.f1:.3f} | {score.support}"
        lines.append(f"| {k} | {markdown_text(score.category)} | {metrics} | {wrong} |")
    return "\n".join(lines)


def _ticks(axes: Axes, names: list[str] | None, classes: int, font: Any) -> None:
    if names is None:
        step = 5 if classes <= 100 else 10 ** (len(str(classes - 1)) - 1)
        axes.set_xticks(range(0, classes, step))
        axes.set_yticks(range(0, classes, step))
        return
    size = 9 if classes <= COUNTED else 7
    style = {"fontproperties": font, "fontsize": size, "parse_math": False}
    axes.set_yticks(range(classes), names, **style)
    upright = max(map(columns, names)) > 75 / classes
    axes.set_xticks(range(classes), names, rotation=90 if upright else 0, **style)


def _count(axes: Axes, counts: list[list[int]], shares: NDArray[np.float32]) -> None:
    """Write the number into each cell that is not empty."""
    widest = max(len(str(n)) for row in counts for n in row)
    size = min(9.0, 28 / max(widest, 1))
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                color = "white" if shares[i, j] > 0.3 else "black"
                axes.text(j, i, str(count), ha="center", va="center", fontsize=size, color=color)
