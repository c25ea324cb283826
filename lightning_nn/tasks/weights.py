"""Transfer of weights between models, module by module, for fine-tuning.

A module is loaded as a whole or not at all, and a batch norm only behind a layer that is loaded: its statistics are
those of that layer's output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class RowLabels(NamedTuple):
    """Labels of the rows of a tensor.

    Attributes:
        kind: kind of label, such as "words" or "categories".
        here: labels in the model.
        saved: labels in the checkpoint.
    """

    kind: str
    here: list[str]
    saved: list[str]

    def common(self) -> list[tuple[int, int]]:
        """Return the index in `here` and in `saved` of each label in both."""
        place = {name: i for i, name in enumerate(self.saved)}
        return [(i, place[name]) for i, name in enumerate(self.here) if name in place]


def transfer(
    target: Mapping[str, Tensor], source: Mapping[str, Any], rows: Mapping[str, RowLabels]
) -> tuple[dict[str, str], dict[str, str]]:
    """Copy the tensors that fit; labelled rows are copied to the row of the same label, whatever its index.

    Args:
        target: parameters and buffers of the model by name, in its order; written in place.
        source: state dict of the checkpoint.
        rows: row labels by the name of the tensor, for tensors with labelled rows.

    Returns:
        A remark on each tensor that was loaded, by name, and the reason for each that was not.
    """
    faults = _faults(target, source, rows)
    loaded: dict[str, str] = {}
    with torch.no_grad():
        for name, tensor in target.items():
            if name in faults or name not in source:
                continue
            if name in rows:
                common = rows[name].common()
                here, rows_there = (list(column) for column in zip(*common, strict=True))
                tensor[here] = source[name][rows_there].to(tensor)
                loaded[name] = f"{len(common):,} of {len(rows[name].here):,} {rows[name].kind}"
            else:
                tensor.copy_(source[name])
                loaded[name] = ""
    return loaded, faults


def misfit(target: Tensor, source: Any) -> str:
    """Return why a tensor of a file can't take the place of one of a model, whatever its shape; "" if it can."""
    if not isinstance(source, Tensor):
        return f"a {type(source).__name__} in the checkpoint, not a tensor"
    return "" if _kind(target) == _kind(source) else f"{target.dtype} here, {source.dtype} in the checkpoint"


def _kind(tensor: Tensor) -> str:
    return "float" if tensor.is_floating_point() else "flag" if tensor.dtype == torch.bool else "whole number"


def _faults(target: Mapping[str, Tensor], source: Mapping[str, Any], rows: Mapping[str, RowLabels]) -> dict[str, str]:
    """Return the reason for each tensor that can't be loaded, by name."""
    modules: dict[str, dict[str, str | None]] = {}
    for name, tensor in target.items():
        module = name.rpartition(".")[0] or name  # what is directly in the model stands for itself
        modules.setdefault(module, {})[name] = _misfit(name, tensor, source, rows.get(name))
    faults: dict[str, str] = {}
    before: tuple[str, bool] = ("", False)  # the last module with weights, and whether it is not loaded
    for module, reasons in modules.items():
        fault = next((name for name, reason in reasons.items() if reason), None)
        if f"{module}.running_mean" in reasons and fault is None and before[1]:
            faults |= dict.fromkeys(reasons, f"its statistics are those of {before[0]}, which is not loaded")
        elif fault is not None:
            faults |= {name: reason or f"only with {fault}" for name, reason in reasons.items()}
        if f"{module}.running_mean" not in reasons:
            before = module, fault is not None
    return faults


def _misfit(name: str, tensor: Tensor, weights: Mapping[str, Any], rows: RowLabels | None) -> str | None:
    if name not in weights:  # older files have no count of the batches
        return None if name.endswith("num_batches_tracked") else "not in the checkpoint"
    source = weights[name]
    if reason := misfit(tensor, source):
        return reason
    shapes = f"shape {list(tensor.shape)} here, {list(source.shape)} in the checkpoint"
    if rows is None:
        return None if source.shape == tensor.shape else shapes
    if source.dim() != tensor.dim() or source.shape[1:] != tensor.shape[1:]:
        return shapes
    for where, table, names in (("here", tensor, rows.here), ("in the checkpoint", source, rows.saved)):
        if len(table) < len(names):
            return f"{len(table):,} rows {where} for {len(names):,} {rows.kind}"
    return None if rows.common() else f"no {rows.kind} in common"
