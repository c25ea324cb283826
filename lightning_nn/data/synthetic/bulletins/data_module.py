"""Data module of the generated bulletins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lightning_nn.data.module import BatchSize
from lightning_nn.data.synthetic.bulletins import generator, lexicon
from lightning_nn.data.synthetic.bulletins.generator import BAYES_ACCURACY, CATEGORIES, Bulletin, generate
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.data.text.corpus_building import LabeledText
from lightning_nn.data.text.data_module import Documents, TextSet
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError


class Bulletins(Documents):
    """Chinese bulletins in ten categories, generated on demand: one or two sentences decide, the others mislead.

    Args:
        train_size: documents in the training split.
        val_size: documents in the validation split.
        test_size: documents in the test split.
        seed: of the documents, which are the same on every machine; the splits are generated independently.
        batch_size: most documents in a batch of one process; "all" is the whole set.
        vocabulary: how texts become words, and which words the model knows.
        max_batch_words: most words in a batch of one process.

    Example:
        >>> data = Bulletins(train_size=100, val_size=10, test_size=10)
        >>> data.describe()["num_classes"]
        10
    """

    def __init__(
        self,
        train_size: int = 8000,
        val_size: int = 1000,
        test_size: int = 1000,
        seed: int = 0,
        batch_size: BatchSize = 64,
        vocabulary: TextVocabulary = TextVocabulary("jieba", lower=False, unescape=False),
        max_batch_words: int = 30_000,
    ) -> None:
        super().__init__(
            batch_size,
            vocabulary,
            max_sentences=100,
            max_words=100,
            max_batch_words=max_batch_words,
            balanced=False,
        )
        sizes = (train_size, val_size, test_size)
        for split, size in zip(SPLITS, sizes, strict=True):
            if size < 1:
                raise UserError(f"{split}_size is {size}; it must be at least 1")
        self.save_hyperparameters(logger=False)
        self._sizes, self.seed = sizes, seed

    def deciding(self, split: str) -> list[tuple[int, ...]]:
        """Return the positions of the sentences that decide the category of each document, ascending.

        Args:
            split: "train", "val" or "test".

        Returns:
            One tuple per document, in the order of `sources[split]`.
        """
        return [bulletin.deciding for bulletin in self._bulletins(split)]

    def _bulletins(self, split: str) -> Iterator[Bulletin]:
        number = SPLITS.index(split)
        return generate(self._sizes[number], len(SPLITS) * self.seed + number)

    def read(self) -> TextSet:
        """Names the generator's own files, and what it is to make."""
        return TextSet(
            records={split: self._split(split) for split in SPLITS},
            files=[Path(generator.__file__), lexicon.FILE],
            settings={"sizes": self._sizes, "seed": self.seed},
            order=list(CATEGORIES),
            notes=[f"the best possible accuracy is {BAYES_ACCURACY:.1%}"],
        )

    def _split(self, split: str) -> Iterator[LabeledText]:
        for i, bulletin in enumerate(self._bulletins(split)):
            yield LabeledText(bulletin.text, CATEGORIES[bulletin.label], f"{split}:{i + 1}")
