"""Describe pictures in a sentence, as the model of this folder does, by onnxruntime, NumPy and Pillow.

python predict.py picture.jpg another.png
python predict.py --file names.txt --beam 5 --length_norm 0.6

In Python: from predict import Captioner; list(Captioner("FOLDER").predict(["picture.jpg"]))
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.cli.standalone.beam_search import Floats, beam_search
from lightning_nn.cli.standalone.pictures import OnnxPictures
from lightning_nn.cli.standalone.program import main
from lightning_nn.errors import UserError


class Captioner(OnnxPictures):
    """A model that describes pictures.

    Args:
        folder: with encoder.onnx, step.onnx, config.json and processor.json.
        search: beam, longest and length_norm, by name; those left out, or None, are the model's.

    Attributes:
        encoder: from pictures to the state before the first word.
        step: from words and the state before to the log-probabilities of the next word and the state.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(self, folder: str | Path, **search: float | None) -> None:
        super().__init__(folder)
        self.search = {**self.config["arguments"]["search"]}
        self.search |= {name: value for name, value in search.items() if value is not None}
        if min(self.search["beam"], self.search["longest"]) < 1 or not 0 <= self.search["length_norm"] <= 10:
            raise UserError(f"beam and longest must be at least 1, and length_norm 0 to 10; got {self.search}")
        self.encoder, self.step = self.session("encoder.onnx"), self.session("step.onnx")

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add the options of the search."""
        parser.add_argument("--beam", type=int, metavar="N", help="beginnings that beam search keeps; 1: greedy search")
        parser.add_argument("--longest", type=int, metavar="N", help="maximum number of words")
        parser.add_argument("--length_norm", type=float, metavar="X", help="0 to 10; more makes sentences longer")

    def next_words(self, words: NDArray[np.int64], state: Sequence[Floats]) -> tuple[Floats, list[Floats]]:
        """Compute the log-probabilities of the next word, (N, V), and the state, after the words (N,)."""
        names = (given.name for given in self.step.get_inputs())
        scores, *after = self.step.run(None, dict(zip(names, (words, *state), strict=True)))
        return scores, after

    def answers(self, inputs: Sequence[NDArray[np.uint8]]) -> Iterator[dict[str, Any]]:
        """Yield the sentence of each picture, with the log-probability of its words and its end."""
        state = self.encoder.run(None, {self.encoder.get_inputs()[0].name: np.stack(inputs)})
        between = "" if self.state["language"] == "zh" else " "
        for words, score in zip(*beam_search(self.next_words, state, **self.search), strict=True):
            yield {"caption": between.join(self.state["words"][i] for i in words), "log_probability": float(score)}


if __name__ == "__main__":
    sys.exit(main(Captioner, __doc__ or ""))
