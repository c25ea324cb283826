"""Distribution of the activations of each layer, as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_nn.visualization.markup import markdown_text


def table(layers: Mapping[str, Tensor]) -> str:
    """List mean, standard deviation and share of zeros of each layer's activations.

    Args:
        layers: activations of any shape, by the layer's name.
    """
    rows = ["| layer | mean | deviation | zeros |", "|:-|-:|-:|-:|"]
    for name, values in layers.items():
        values = values.float()
        zeros = float((values == 0).float().mean())
        rows.append(f"| {markdown_text(name)} | {values.mean():.3g} | {values.std(correction=0):.3g} | {zeros:.0%} |")
    return "\n".join(rows)
