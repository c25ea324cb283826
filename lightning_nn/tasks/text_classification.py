"""What classifiers of texts share: a table of word vectors, whose rows belong to the words of the reader."""

from __future__ import annotations

from typing import ClassVar

from lightning_nn.data.batches import Reader
from lightning_nn.errors import UserError
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.tasks.classification import Classifier


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

    def on_reader(self, reader: Reader) -> None:
        """Tells the embedding how the words are spelled."""
        rows = reader.rows()
        if "words" not in rows:
            return
        try:
            self.embedding.spell(rows["words"], rows["characters"])
        except ValueError as error:
            remedy = f"make it by {type(self).__name__}(**data.describe())"
            raise UserError(f"this {type(self).__name__} belongs to other data: {error}; {remedy}") from None
