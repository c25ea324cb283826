"""Transfer of weights between models, tensor by tensor, for fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """Labels of the rows of a tensor.

    Attributes:
        kind: kind of label, such as "words" or "categories".
        own: labels in the model.
        given: labels in the checkpoint.
    """

    kind: str
    own: list[str]
    given: list[str]

    def common(self) -> list[tuple[int, int]]:
        """Return the index in `own` and in `given` of each label in both."""
        place = {name: i for i, name in enumerate(self.given)}
        return [(i, place[name]) for i, name in enumerate(self.own) if name in place]


def transfer(
    own: Mapping[str, Tensor], given: Mapping[str, Any], rows: Mapping[str, Rows]
) -> tuple[dict[str, str], dict[str, str]]:
    """Copy the tensors that fit; labelled rows are copied to the row of the same label, whatever its index.

    Args:
        own: parameters and buffers of the model by name, in its order; written in place.
        given: state dict of the checkpoint.
        rows: row labels by the name of the tensor, for tensors with labelled rows.

    Returns:
        A remark on each tensor that was loaded, by name, and the reason for each that was not.
    """
    loaded: dict[str, str] = {}
    kept: dict[str, str] = {}
    with torch.no_grad():
        for name, tensor in own.items():
            statistics = name.replace("num_batches_tracked", "running_mean")
            if reason := _misfit(name, tensor, given, rows.get(name)):
                kept[name] = reason
            elif statistics != name and statistics in kept:
                kept[name] = f"counts for {statistics}"
            elif name in rows:
                common = rows[name].common()
                here, there = (list(column) for column in zip(*common, strict=True))
                tensor[here] = given[name][there].to(tensor)
                loaded[name] = f"{len(common):,} of {len(rows[name].own):,} {rows[name].kind}"
            else:
                tensor.copy_(given[name])
                loaded[name] = ""
    return loaded, kept


def _misfit(name: str, tensor: Tensor, given: Mapping[str, Any], rows: Rows | None) -> str | None:
    if name not in given:
        return "not in the checkpoint"
    source = given[name]
    if not isinstance(source, Tensor):
        return f"a {type(source).__name__} in the checkpoint, not a tensor"
    shapes = f"shape {list(tensor.shape)} here, {list(source.shape)} in the checkpoint"
    if rows is None:
        return None if source.shape == tensor.shape else shapes
    if source.dim() != tensor.dim() or source.shape[1:] != tensor.shape[1:]:
        return shapes
    for where, table, names in (("here", tensor, rows.own), ("in the checkpoint", source, rows.given)):
        if len(table) < len(names):
            return f"{len(table):,} rows {where} for {len(names):,} {rows.kind}"
    return None if rows.common() else f"no {rows.kind} in common"
