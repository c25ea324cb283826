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
from lightning_nn.errors import UserError
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
        axes: names of the sizes of each input.

    Raises:
        UserError: the embedding has n-grams, which end where sentences do.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(self, embedding: WordEmbedding, output: nn.Module) -> None:
        super().__init__()
        if embedding.ngrams is not None:
            raise UserError(
                "a model with n-grams (--model.embedding.ngrams) has no network to export yet: use --out FOLDER alone"
            )
        self.embedding, self.output = embedding, output

    @abstractmethod
    def pad(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the inputs that a flat batch becomes: padded ids of words, and lengths."""

    @abstractmethod
    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute logits, (D, K)."""


class PaddedHierarchy(PaddedClassifier):
    """Recurrent layers and attention over the words of each sentence, then over the sentences: HAN.

    Args:
        embedding: word vectors.
        levels: recurrent layers and attention of words and of sentences.
        output: from a document to its logits.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "words": ("documents", "sentences", "words"),
        "lengths": ("documents", "sentences"),
    }

    def __init__(
        self, embedding: WordEmbedding, levels: Sequence[tuple[FlatRNN, ContextAttention]], output: nn.Module
    ) -> None:
        super().__init__(embedding, output)
        (words, self.word_attention), (sentences, self.sentence_attention) = levels
        self.word_rnn, self.sentence_rnn = PaddedRNN(words), PaddedRNN(sentences)

    def pad(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the words (D, N, T) of N sentences of T words each, and the lengths of the sentences, (D, N)."""
        return pad(pad(batch.words, batch.sentences), batch.documents), pad(batch.sentences, batch.documents)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute logits, (D, K).

        Args:
            words: int64 (D, N, T), ids; any of them behind the end of a sentence.
            lengths: int64 (D, N), words of each sentence; 0 behind the last one of a document.
        """
        documents, most, steps = words.shape
        sentences, length = (lengths > 0).sum(1), lengths.flatten().clamp(min=1)  # (D,), (D N,)
        x = embed(self.embedding, words.flatten(0, 1))  # (D N, T, E)
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

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"words": ("documents", "words"), "lengths": ("documents",)}

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

    def pad(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the words of each document, (D, T), and their numbers, (D,)."""
        lengths = segment_sum(batch.sentences, batch.documents)
        return pad(batch.words, lengths), lengths

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute logits, (D, K).

        Args:
            words: int64 (D, T), ids; any of them behind the end of a document.
            lengths: int64 (D,), words of each document, at least 1.
        """
        states = self.rnn(embed(self.embedding, words), lengths)  # (D, T, H or 2H)
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
