"""What classifiers of texts share: the words of the reader, as the embedding sees them."""

from __future__ import annotations

from typing import ClassVar

import torch

from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.models.classifier import Classifier


class TextClassifier(Classifier):
    """A classifier over word vectors; a subclass makes `embedding`.

    Attributes:
        embedding: of the words.
    """

    exportable = False  # as many steps as the longest sequence has words
    named_rows: ClassVar[dict[str, str]] = {
        "embedding.table.weight": "words",
        "embedding.characters.weight": "characters",
        "output.weight": "categories",
        "output.bias": "categories",
    }
    embedding: WordEmbedding

    def setup(self, stage: str) -> None:
        """Also tells the embedding how the words are spelled."""
        super().setup(stage)
        if self.embedding.characters is not None and self.reader is not None:
            spelling = self.reader.vocabulary.spelling(self.embedding.spelling.shape[1])  # type: ignore[attr-defined]
            self.embedding.spell(torch.from_numpy(spelling))
