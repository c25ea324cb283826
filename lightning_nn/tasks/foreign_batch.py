"""The error for a batch of another type than a model's, with the lines that adapt a loader of pairs (x, y)."""

from __future__ import annotations

from typing import Any

from lightning_nn.data.batches import Batch, ImageBatch, MaskBatch, TextBatch
from lightning_nn.errors import UserError

_COLLATED = "(*torch.utils.data.default_collate(pairs))"
_TEXTS = (
    "(torch.ones(len(pairs), dtype=torch.int64), torch.tensor([len(x) for x, _ in pairs]), "
    "torch.cat([x for x, _ in pairs]), torch.tensor([int(y) for _, y in pairs]))"
)
_ADAPTED: dict[type[Batch], tuple[str, str]] = {
    ImageBatch: (_COLLATED, "x: (C, H, W), uint8 or float from 0 to 1; y: class index"),
    MaskBatch: (_COLLATED, "x: (C, H, W), uint8 or float from 0 to 1; y: uint8 (H, W), class indices"),
    TextBatch: (_TEXTS, "x: int64 (words,), ids without padding, a text of one sentence; y: class index"),
}


def foreign_batch(batch: Any, model: str, batch_type: type[Batch]) -> UserError:
    """Return the error for a batch of another type; for a pair (x, y) with the three lines that adapt its loader.

    Args:
        batch: what a loader gave.
        model: name of the model's class.
        batch_type: the batches that the model takes.
    """
    wanted = batch_type.__name__
    message = f"a batch is a {type(batch).__name__}; {model} takes {wanted} of lightning_nn.data.batches"
    if type(batch) not in (list, tuple) or len(batch) != 2 or batch_type not in _ADAPTED:
        return UserError(message)
    call, pair = _ADAPTED[batch_type]
    lines = (
        f"from lightning_nn import {wanted}",
        f"def adapt(pairs): return {wanted}{call}  # {pair}",
        "loader = torch.utils.data.DataLoader(dataset, batch_size=64, collate_fn=adapt)",
    )
    return UserError("\n    ".join([f"{message}. A dataset of pairs (x, y) is adapted by", *lines]))
