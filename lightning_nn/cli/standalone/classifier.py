"""A classifier of a model folder, by onnxruntime and NumPy."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.cli.standalone.program import OnnxModel


class OnnxClassifier(OnnxModel):
    """The classifier of a model folder.

    Args:
        folder: with model.onnx, config.json and processor.json.
        all_classes: predict the probability of each class, too.

    Attributes:
        categories: name of each class.
        network: from inputs to logits.
    """

    def __init__(self, folder: str | Path, all_classes: bool = False) -> None:
        super().__init__(folder)
        self.categories: list[str] = self.state["categories"]
        self.temperature = float(self.config.get("temperature", 1))
        self.network, self.all_classes = self.session("model.onnx"), all_classes

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add the option for the probability of each class."""
        parser.add_argument("--all_classes", action="store_true", help="print the probability of each class")

    @abstractmethod
    def encode(self, inputs: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Return the inputs of the network for inputs that are read."""

    def probabilities(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Compute the calibrated probability of each class, (B, K), for inputs that are read."""
        (logits,) = self.network.run(None, self.encode(inputs))
        if logits.ndim == 1:  # of the second of two classes
            logits = np.stack([np.zeros_like(logits), logits], 1)
        scores = logits.astype(np.float64) / self.temperature
        shares = np.exp(scores - scores.max(1, keepdims=True))
        result: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
        return result

    def answers(self, inputs: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Yield category and probability, and with `all_classes` those of all classes."""
        for shares in self.probabilities(inputs):
            best = int(shares.argmax())
            classes = {"classes": dict(zip(self.categories, shares.tolist(), strict=True))} if self.all_classes else {}
            yield {"category": self.categories[best], "probability": float(shares[best]), **classes}
