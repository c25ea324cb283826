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
from lightning_nn.layers.ngram_hash import ngram_rows, word_code

Sentence = tuple[list[int], list[list[int]]]  # ids of words, and rows of the n-grams that begin at each


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
        self.names = [given.name for given in self.network.get_inputs()]
        self.of_sentences = len(self.network.get_inputs()[0].shape) == 3  # else of documents, sentences joined
        self.longest, self.rows = 1, 1  # of n-grams
        if "ngrams" in self.names:
            embedding = self.config["arguments"]["embedding"]
            self.longest, self.rows = embedding["ngrams"], embedding["ngram_rows"]
        self.codes = [word_code(word) for word in state["words"]]

    def read(self, raw: str) -> list[Sentence]:
        """Return the ids of the words of each sentence, with the rows of the n-grams that begin at each.

        A text without words is one unknown word.
        """
        text = unescape(raw) if self.state["unescape"] else raw
        words = self.segmenter.sentences(text, self.state["max_sentences"])
        ids = [[self.ids.get(word, 0) for word in sentence[: self.state["max_words"]]] for sentence in words] or [[0]]
        grams = [ngram_rows([self.codes[i] for i in sentence], self.longest, self.rows) for sentence in ids]
        return list(zip(ids, grams, strict=True)) if self.of_sentences else [([*chain(*ids)], [*chain(*grams)])]

    def encode(self, inputs: Sequence[list[Sentence]]) -> dict[str, NDArray[Any]]:
        """Return ids of words and rows of n-grams, padded with 0 to the longest sentence, and the words of each."""
        most = max(map(len, inputs))
        lengths = np.zeros((len(inputs), most), np.int64)
        words = np.zeros((len(inputs), most, max(len(ids) for ids, _ in chain(*inputs))), np.int64)
        ngrams = np.zeros((*words.shape, self.longest - 1), np.int64)
        for d, document in enumerate(inputs):
            for s, (ids, grams) in enumerate(document):
                words[d, s, : len(ids)], ngrams[d, s, : len(ids)], lengths[d, s] = ids, grams, len(ids)
        arrays = {"words": words, "lengths": lengths, "ngrams": ngrams}
        return {name: arrays[name] if self.of_sentences else arrays[name][:, 0] for name in self.names}


if __name__ == "__main__":
    sys.exit(main(TextClassifier, __doc__ or ""))
