"""Data module of the user's own documents."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightning_nn.data.module import BatchSize
from lightning_nn.data.splits import check_fractions
from lightning_nn.data.text.corpus_summary import shorten
from lightning_nn.data.text.documents import Documents, TextSet
from lightning_nn.data.text.files import TextFiles, read_words
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.data.text.segmenter import SegmenterName, user_word
from lightning_nn.data.text.table_records import BadRows
from lightning_nn.errors import UserError

__all__ = ["TextData", "TextProcessor"]


class TextData(Documents):
    """Your own documents, by category.

    Args:
        path: a table (.tsv, .csv, .jsonl, .json, .txt of fastText or with tabs, also .gz; .xlsx and .parquet with the
            extra "tables"); a folder with train, val (or dev) and test tables; or a folder of .txt files per category,
            directly or below train, val and test. Missing splits are split off from train.
        batch_size: maximum number of documents in a batch of one process; "all" is the whole set.
        text_column: name of the text column, or its number from 1 if there is no header; several, with commas between,
            are joined; guessed if not given.
        label_column: name of the label column, or its number; guessed if not given.
        encoding: encoding of the files, such as utf-8 or gb18030.
        bad_rows: "error" to stop at the first row or document that can't be read: without a label, with another number
            of columns, with bytes that are not in the encoding; "skip" to count them and leave out up to a fifth.
        segmenter: "jieba" for Chinese words, "chars" for each character as a word, "words" for words between spaces and
            punctuation, as in English, or "auto": "words" if the first documents of train are such text, else "jieba".
        user_dict: UTF-8 file of words to add to jieba's dictionary, one per line, as WORD, WORD FREQUENCY or WORD
            FREQUENCY TAG, the form of jieba's own.
        min_count: words that occur less often in train are unknown.
        max_size: maximum number of words in the vocabulary.
        max_sentences: number of sentences to which a document is truncated.
        max_words: number of words to which a sentence is truncated.
        max_batch_words: maximum number of words in a batch of one process; long documents come in smaller batches.
        val_fraction: fraction of the documents to split off for validation if there is no val split; above 0, below 1.
        test_fraction: fraction of the documents to split off for testing if there is no test split; above 0, below 1.
        balanced: train on each class as often as on the largest one, repeating documents.
        lower: make letters lower-case; if not given, with segmenter words only.
        unescape: read as line breaks <br> and, where it can hardly mean anything else, the two signs \\n; and entities
            such as &amp; as the signs they mean.
    """

    def __init__(
        self,
        path: str | None = None,
        batch_size: BatchSize = 64,
        text_column: str | None = None,
        label_column: str | None = None,
        encoding: str = "utf-8",
        bad_rows: BadRows = "error",
        segmenter: SegmenterName | Literal["auto"] = "auto",
        user_dict: str | None = None,
        min_count: int = 2,
        max_size: int = 50_000,
        max_sentences: int = 100,
        max_words: int = 100,
        max_batch_words: int = 30_000,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        balanced: bool = False,
        lower: bool | None = None,
        unescape: bool = True,
    ) -> None:
        super().__init__(
            batch_size,
            segmenter,
            min_count,
            max_size,
            max_sentences,
            max_words,
            max_batch_words,
            balanced,
            lower,
            unescape,
        )
        check_fractions(val_fraction, test_fraction)
        self.save_hyperparameters(logger=False)
        self.path, self.encoding, self.bad_rows, self.user_dict = path, encoding, bad_rows, user_dict
        self.text_column, self.label_column = text_column, label_column
        self._fractions = val_fraction, test_fraction

    def read(self) -> TextSet:
        """Find the files and the columns in them."""
        if not self.path:
            raise UserError("say where your documents are: --data.path FILE or FOLDER")
        place, trains = Path(self.path).expanduser(), self.evaluation_split is None
        files = TextFiles(
            place, self.encoding, self.text_column, self.label_column, trains=trains, bad_rows=self.bad_rows
        )
        user_words: list[str] = []
        if self.user_dict and self.fixed_processor is None:  # a trained model brings its own
            user_words = read_words(Path(self.user_dict).expanduser())
        spaced = [word for word, _ in map(user_word, user_words) if len(word.split()) > 1]
        no_effect = f"no effect, because jieba splits at spaces: {shorten(', '.join(spaced))}"
        return TextSet(
            records=files.records(),
            files=files.paths,
            settings={"columns": files.columns[:3], "encoding": self.encoding, "bad_rows": self.bad_rows},
            order=files.names,
            order_from=files.names_file,
            notes=[*files.notes, *([no_effect] if spaced else [])],
            fractions=self._fractions,
            user_words=user_words,
            report=files.report,
            text_column=files.columns.text_column,
        )
