"""Text classifiers over padded documents, for programs whose tensors are rectangular, such as ONNX.

Each is made of the layers of a trained classifier and has the logits of its flat `forward`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import TextBatch
from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.padded import PaddedRNN, attend, embed, masked_max, masked_mean, pad, rectangle, step_mask
from lightning_nn.layers.ragged import segment_sum
from lightning_nn.layers.recurrent import FlatRNN


class PaddedClassifier(nn.Module, ABC):
    """A trained text classifier in evaluation.

    Args:
        embedding: word vectors.
        output: from a document to its logits.

    Attributes:
        axes: names of the free sizes of each input, "words", "lengths" and, if the embedding has n-grams, "ngrams".
    """

    sizes: ClassVar[Mapping[str, tuple[str, ...]]]  # of words and lengths

    def __init__(self, embedding: WordEmbedding, output: nn.Module) -> None:
        super().__init__()
        self.embedding, self.output = embedding, output
        self.axes = {**self.sizes, **({} if embedding.ngrams is None else {"ngrams": self.sizes["words"]})}

    @abstractmethod
    def pad_words(self, rows: Tensor, batch: TextBatch) -> Tensor:
        """Pad a row of each word of a batch, (W, ...), to a rectangle of the sizes of "words"."""

    @abstractmethod
    def lengths(self, batch: TextBatch) -> Tensor:
        """Return the lengths of the sequences of a batch."""

    def pad(self, batch: TextBatch) -> tuple[Tensor, ...]:
        """Return the inputs that a flat batch becomes: padded ids of words, lengths, and padded rows of n-grams."""
        inputs = self.pad_words(batch.words, batch), self.lengths(batch)
        if self.embedding.ngrams is None:
            return inputs
        return *inputs, self.pad_words(self.embedding.ngrams.rows(batch.words, batch.sentences), batch)

    @abstractmethod
    def forward(self, words: Tensor, lengths: Tensor, ngrams: Tensor | None = None) -> Tensor:
        """Compute logits, (D, K)."""


class PaddedHierarchy(PaddedClassifier):
    """Recurrent layers and attention over the words of each sentence, then over the sentences: HAN.

    Args:
        embedding: word vectors.
        levels: recurrent layers and attention of words and of sentences.
        output: from a document to its logits.
    """

    sizes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "words": ("documents", "sentences", "words"),
        "lengths": ("documents", "sentences"),
    }

    def __init__(
        self, embedding: WordEmbedding, levels: Sequence[tuple[FlatRNN, ContextAttention]], output: nn.Module
    ) -> None:
        super().__init__(embedding, output)
        (words, self.word_attention), (sentences, self.sentence_attention) = levels
        self.word_rnn, self.sentence_rnn = PaddedRNN(words), PaddedRNN(sentences)

    def pad_words(self, rows: Tensor, batch: TextBatch) -> Tensor:
        """Pad a row of each word to N sentences of T words, (D, N, T, ...)."""
        return pad(pad(rows, batch.sentences), batch.documents)

    def lengths(self, batch: TextBatch) -> Tensor:
        """Return the words of each sentence, (D, N)."""
        return pad(batch.sentences, batch.documents)

    def forward(self, words: Tensor, lengths: Tensor, ngrams: Tensor | None = None) -> Tensor:
        """Compute logits, (D, K).

        Args:
            words: int64 (D, N, T), ids; any of them behind the end of a sentence.
            lengths: int64 (D, N), words of each sentence; 0 behind the last one of a document.
            ngrams: int64 (D, N, T, longest - 1), rows of the n-grams that begin at each word; None without n-grams.
        """
        documents, most, steps = words.shape
        sentences, length = (lengths > 0).sum(1), lengths.flatten().clamp(min=1)  # (D,), (D N,)
        x = embed(self.embedding, words.flatten(0, 1), None if ngrams is None else ngrams.flatten(0, 1))  # (D N, T, E)
        h = self.word_rnn(x, length)  # (D N, T, 2H)
        s = attend(self.word_attention, h, step_mask(length, steps))  # (D N, 2H)
        s = rectangle(s, documents, most)  # (D, N, 2H)
        h = self.sentence_rnn(s, sentences)  # (D, N, 2H)
        v = attend(self.sentence_attention, h, step_mask(sentences, most))  # (D, 2H)
        logits: Tensor = self.output(v)
        return logits


class PaddedSequence(PaddedClassifier):
    """Recurrent layers over the words of a document, and their states pooled.

    Args:
        embedding: word vectors.
        rnn: recurrent layers.
        poolings: last, mean, max or attention, whose results are concatenated.
        attention: of the pooling of that name.
        output: from a document to its logits.
    """

    sizes: ClassVar[Mapping[str, tuple[str, ...]]] = {"words": ("documents", "words"), "lengths": ("documents",)}

    def __init__(
        self,
        embedding: WordEmbedding,
        rnn: FlatRNN,
        poolings: Sequence[str],
        attention: ContextAttention | None,
        output: nn.Module,
    ) -> None:
        super().__init__(embedding, output)
        self.rnn, self.poolings, self.attention = PaddedRNN(rnn), tuple(poolings), attention

    def pad_words(self, rows: Tensor, batch: TextBatch) -> Tensor:
        """Pad a row of each word to documents of T words, (D, T, ...)."""
        return pad(rows, self.lengths(batch))

    def lengths(self, batch: TextBatch) -> Tensor:
        """Return the words of each document, (D,)."""
        return segment_sum(batch.sentences, batch.documents)

    def forward(self, words: Tensor, lengths: Tensor, ngrams: Tensor | None = None) -> Tensor:
        """Compute logits, (D, K).

        Args:
            words: int64 (D, T), ids; any of them behind the end of a document.
            lengths: int64 (D,), words of each document, at least 1.
            ngrams: int64 (D, T, longest - 1), rows of the n-grams that begin at each word; None without n-grams.
        """
        states = self.rnn(embed(self.embedding, words, ngrams), lengths)  # (D, T, H or 2H)
        mask = step_mask(lengths, words.shape[1])  # (D, T)
        logits: Tensor = self.output(torch.cat([self.pool(p, states, lengths, mask) for p in self.poolings], dim=1))
        return logits

    def pool(self, pooling: str, states: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """Pool the states of each document, (D, T, H or 2H), into one vector."""
        if pooling == "last":
            return self.rnn.last(states, lengths)
        if pooling == "mean":
            return masked_mean(states, mask)
        if pooling == "max":
            return masked_max(states, mask)
        assert self.attention is not None
        return attend(self.attention, states, mask)
