"""What classifiers of texts share: a table of word vectors, whose rows belong to the words of the reader."""

from __future__ import annotations

from typing import ClassVar

from lightning_nn.data.batches import TextBatch
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.tasks.classification import Classifier


class TextClassifier(Classifier):
    """A classifier over word vectors; a subclass makes `embedding`.

    Attributes:
        embedding: of the words.
    """

    batch_type = TextBatch
    exportable = False  # as many steps as the longest sequence has words
    row_labels: ClassVar[dict[str, str]] = {
        "embedding.table.weight": "words",
        "embedding.characters.weight": "characters",
        "output.weight": "categories",
        "output.bias": "categories",
    }
    processor_buffers: ClassVar[frozenset[str]] = frozenset({"embedding.word_characters"})
    embedding: WordEmbedding

    def on_processor(self, processor: Processor) -> None:
        """Tells the embedding how the words are spelled."""
        rows = processor.row_labels()
        if "words" not in rows:
            return
        try:
            self.embedding.set_characters(rows["words"], rows["characters"])
        except ValueError as error:
            remedy = f"make it by {type(self).__name__}(**data.describe())"
            raise UserError(f"this {type(self).__name__} belongs to other data: {error}; {remedy}") from None
