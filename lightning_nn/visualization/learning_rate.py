"""The search for a learning rate, drawn: the loss while the rate grows, and what short runs at some rates reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_nn.visualization.images import new_figure, pixels

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#767676"


def picture(
    curve: Sequence[tuple[float, float]],
    suggested: float | None,
    scores: Mapping[float, float],
    best: float | None,
    metric: str,
) -> NDArray[np.uint8]:
    """Draw the search.

    Args:
        curve: rate and smoothed loss of each step of the search, finite.
        suggested: rate that is read off the curve; None if it shows none.
        scores: metric of each short run that has ended, by its rate.
        best: rate of the best of them; None if none has ended.
        metric: its name.

    Returns:
        uint8 (height, width, 3).
    """
    figure = new_figure(8.0, 3.4, "constrained")
    left, right = figure.subplots(1, 2)
    rates_of_curve, losses = [rate for rate, _ in curve], [loss for _, loss in curve]
    left.plot(rates_of_curve, losses, color=BLUE)
    if suggested is not None:
        left.axvline(suggested, color=ORANGE, linestyle="--", label=f"suggestion {suggested:g}")
        left.legend(frameon=False, fontsize=9)
    if losses and (spread := losses[0] - min(losses)) > 0:
        left.set_ylim(min(losses) - 0.2 * spread, losses[0] + spread)
    left.set(title="loss while the rate grows", ylabel="training loss, smoothed")
    rates = sorted(scores)
    right.plot(rates, [scores[rate] for rate in rates], color=GREY, marker="o", linewidth=1)
    if best is not None:
        right.plot([best], [scores[best]], color=ORANGE, marker="o", markersize=9, label=f"best {best:g}")
        right.legend(frameon=False, fontsize=9)
    right.set(title="short runs", ylabel=metric)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.spines[["top", "right"]].set_visible(False)
    return pixels(figure)
