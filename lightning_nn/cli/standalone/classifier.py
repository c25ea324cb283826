"""A classifier of a model folder, by onnxruntime and NumPy."""

from __future__ import annotations

import argparse
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.errors import UserError

BATCH = 16  # inputs computed together


class OnnxClassifier(ABC):
    """The network of a model folder, with the preparation of its inputs.

    Args:
        folder: with model.onnx, config.json and processor.json.

    Attributes:
        categories: name of each class.
        state: arguments of the processor, as plain data.
        session: the network.
    """

    def __init__(self, folder: str | Path) -> None:
        import onnxruntime

        config, processor = (
            json.loads(Path(folder, name).read_text(encoding="utf-8")) for name in ("config.json", "processor.json")
        )
        self.state: dict[str, Any] = processor["state"]
        self.categories: list[str] = self.state["categories"]
        self.temperature = float(config.get("temperature", 1))
        self.session = onnxruntime.InferenceSession(Path(folder, "model.onnx"), providers=["CPUExecutionProvider"])

    @abstractmethod
    def encode(self, raw: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the inputs of the network for some raw inputs.

        Raises:
            UserError: one can't be read.
        """

    def probabilities(self, raw: Sequence[str]) -> NDArray[np.float64]:
        """Compute the calibrated probability of each class, (B, K).

        Raises:
            UserError: an input can't be read.
        """
        (logits,) = self.session.run(None, self.encode(raw))
        if logits.ndim == 1:  # of the second of two classes
            logits = np.stack([np.zeros_like(logits), logits], 1)
        scores = logits.astype(np.float64) / self.temperature
        shares = np.exp(scores - scores.max(1, keepdims=True))
        result: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
        return result

    def predict(self, raw: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield the input, category, probability and probabilities of all classes for each raw input.

        Raises:
            UserError: an input can't be read.
        """
        inputs = iter(raw)
        while batch := list(islice(inputs, BATCH)):
            for one, shares in zip(batch, self.probabilities(batch), strict=True):
                best = int(shares.argmax())
                classes = dict(zip(self.categories, shares.tolist(), strict=True))
                yield {
                    "input": one,
                    "category": self.categories[best],
                    "probability": float(shares[best]),
                    "classes": classes,
                }


def main(kind: type[OnnxClassifier], about: str, noun: str) -> int:
    """Predict on what the command line names, and print a line of JSON for each input.

    Args:
        kind: what it is run by.
        about: what the program does, for its help.
        noun: what an input is.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help=noun)
    parser.add_argument("--file", help=f"file with {noun} in each line; - for standard input")
    parser.add_argument("--all_classes", action="store_true", help="print the probability of each class")
    options = parser.parse_args()
    if not options.inputs and options.file is None:
        parser.error(f"give {noun}, or --file FILE")
    try:
        for row in kind(Path(__file__).parent).predict(_inputs(options.inputs, options.file)):
            classes = row.pop("classes")
            print(json.dumps({**row, **({"classes": classes} if options.all_classes else {})}, ensure_ascii=False))
    except (UserError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is missing: pip install {error.name}", file=sys.stderr)
    else:
        return 0
    return 2


def _inputs(given: list[str], file: str | None) -> Iterator[str]:
    """Yield the inputs that are given, then the lines of a file that are not blank."""
    yield from given
    if file is not None:
        stdin = io.TextIOWrapper(sys.stdin.buffer, "utf-8")
        with stdin if file == "-" else Path(file).open(encoding="utf-8") as stream:
            yield from (line.strip() for line in stream if line.strip())
