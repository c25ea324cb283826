"""Predict the category of texts, as the model of this folder does, by onnxruntime and NumPy (and jieba for Chinese).

python predict.py "A text." "Another one."
python predict.py --file texts.txt --all_classes

In Python: from predict import TextClassifier; list(TextClassifier("FOLDER").predict(["A text."]))
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.cli.standalone.classifier import OnnxClassifier
from lightning_nn.cli.standalone.program import main
from lightning_nn.data.normalization import unescape
from lightning_nn.data.text.segmenter import Segmenter


class TextClassifier(OnnxClassifier):
    """A classifier of texts.

    Args:
        folder: with model.onnx, config.json and processor.json.
        all_classes: predict the probability of each class, too.
    """

    def __init__(self, folder: str | Path, all_classes: bool = False) -> None:
        super().__init__(folder, all_classes)
        state = self.state
        self.segmenter = Segmenter(state["segmenter"], state["user_words"], lower=state["lower"])
        self.ids = {word: i for i, word in enumerate(state["words"])}
        self.of_sentences = len(self.network.get_inputs()[0].shape) == 3  # else of documents, sentences joined

    def read(self, raw: str) -> list[list[int]]:
        """Return the ids of the words of each sentence; of a text without words one unknown word."""
        text = unescape(raw) if self.state["unescape"] else raw
        words = self.segmenter.sentences(text, self.state["max_sentences"])
        ids = [[self.ids.get(word, 0) for word in sentence[: self.state["max_words"]]] for sentence in words] or [[0]]
        return ids if self.of_sentences else [list(chain(*ids))]

    def encode(self, inputs: Sequence[list[list[int]]]) -> dict[str, NDArray[Any]]:
        """Return ids of words, padded with 0 to the longest sentence, and the words of each sentence."""
        most = max(map(len, inputs))
        words = np.zeros((len(inputs), most, max(map(len, chain(*inputs)))), np.int64)
        lengths = np.zeros((len(inputs), most), np.int64)
        for d, document in enumerate(inputs):
            for s, sentence in enumerate(document):
                words[d, s, : len(sentence)], lengths[d, s] = sentence, len(sentence)
        arrays = (words, lengths) if self.of_sentences else (words[:, 0], lengths[:, 0])
        return dict(zip(("words", "lengths"), arrays, strict=True))


if __name__ == "__main__":
    sys.exit(main(TextClassifier, __doc__ or ""))
