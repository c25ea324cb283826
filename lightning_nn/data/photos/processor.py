"""Processor of a run whose result is pictures: their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lightning_nn.data.batches import Index, StyleBatch
from lightning_nn.data.processor import InputOptions, check_state
from lightning_nn.errors import UserError


class PhotoProcessor:
    """Processor of the names of the pictures that a model holds; it reads no files.

    Args:
        names: name of each picture: that of its content, or of its style if there is no content.
        styles: names of the styles.
    """

    kind = "style"

    def __init__(self, names: list[str], styles: list[str]) -> None:
        check_state({"names": names, "styles": styles}, names=list, styles=list)
        self.names, self.styles = names, styles

    def encode(self, raw: list[Any]) -> StyleBatch:
        """Make a batch that asks for pictures by their names.

        Raises:
            UserError: a picture is not among those of the model.
        """
        for name in raw:
            if name not in self.names:
                there = ", ".join(self.names[:8]) + ", ..." * (len(self.names) > 8)
                raise UserError(
                    f"{name!r} is not a picture of this model, which has only those it was trained on ({there}); "
                    "--model fast_style stylises others"
                )
        return StyleBatch(None, (), torch.tensor([self.names.index(name) for name in raw]))

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, StyleBatch]]:
        """Yield batches of up to `batch_size` pictures, in order."""
        for start in range(0, len(raw), batch_size):
            some = raw[start : start + batch_size]
            yield np.arange(start, start + len(some)), self.encode(some)

    def inputs(self, options: InputOptions) -> Iterator[str]:
        """Yield the names of all pictures.

        Raises:
            UserError: an input is given.
        """
        if options.text is not None or options.files:
            raise UserError(
                "this checkpoint holds a finished picture, and predict writes it to --out FILE.png: leave --data.text "
                "and --data.file out; --model fast_style stylises other pictures"
            )
        return iter(self.names)

    def row_labels(self) -> dict[str, list[str]]:
        """Return no labels: no table of weights has any."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"names": list(self.names), "styles": list(self.styles)}
