"""Recurrent text classifier: a state is updated word by word, and the states are pooled into one document vector.

    rnn   s_t = tanh(W s_{t-1} + U x_t + b)                                     Elman 1990
    lstm  f, i, o = sigmoid(...);  c_t = f c_{t-1} + i tanh(...);  s_t = o tanh(c_t)   Hochreiter, Schmidhuber 1997
    gru   s_t = (1 - z) n + z s_{t-1}                                           Cho et al. 2014

The sentences of a document are concatenated. There is no padding, so a prediction depends on its own document only.
The equations of each gate: `lightning_nn/layers/cells.py`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import TextBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.ragged import segment_ids, segment_max, segment_mean, segment_sum
from lightning_nn.layers.recurrent import Cell, Direction, FlatRNN
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.padded_text import PaddedSequence
from lightning_nn.tasks.text_classification import AttentiveOutput, TextClassifier
from lightning_nn.tasks.word_table import WordTable

Pooling = Literal["last", "mean", "max", "attention"]


class LSTMClassifier(TextClassifier):
    """Embedding, recurrent layers, pooling over time, linear output.

    Args:
        vocabulary_size: number of words, V; id 0 is the unknown word.
        num_classes: number of classes, K.
        embedding_size: width of a word vector, E.
        hidden_size: width of the state per direction, H.
        cell: rnn, lstm or gru.
        direction: forward, backward (from the last word to the first) or both.
        layers: number of recurrent layers, each over the states of the one below.
        pooling: one or more of last (the state after the last word read), mean, max and attention; the results of
            several are concatenated.
        dropout: probability of dropping a value of a word vector, between layers, or of the pooled vector, 0 to 1.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        character_vectors: add to each word's vector the mean vector of its first 8 characters (Chen et al. 2015);
            useless where each word is one character. The processor tells the model how words are spelled; the Trainer
            sets it, and a loop of your own must: `model.processor = data.processor`.
        num_characters: number of distinct characters plus one for padding, C; for vectors of characters.
        embedding: form of the table of word vectors, plain or smaller, and n-grams beside it.

    Raises:
        UserError: an unknown pooling, or an empty list.

    Example:
        >>> model = LSTMClassifier(vocabulary_size=100, num_classes=5, cell="gru")
        >>> documents, sentences = torch.tensor([1, 2]), torch.tensor([3, 2, 1])  # sentences, words of each
        >>> model(TextBatch(documents, sentences, torch.arange(6))).shape
        torch.Size([2, 5])
    """

    name = "lstm"
    short_recipe = "lstm-text-short.yaml"
    optimizer = Optimizer(name="adam", lr=2e-3)

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int,
        embedding_size: int = 200,
        hidden_size: int = 100,
        cell: Cell = "lstm",
        direction: Direction = "both",
        layers: int = 1,
        pooling: Pooling | list[Pooling] = "max",
        dropout: float = 0.3,
        word_dropout: float = 0.02,
        character_vectors: bool = False,
        num_characters: int = 0,
        embedding: WordTable = WordTable(),
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        self.poolings = [pooling] if isinstance(pooling, str) else pooling
        if not self.poolings:
            raise UserError(f"pooling is empty; name at least one of {', '.join(get_args(Pooling))}")
        for one in self.poolings:
            choose("pooling", one, Pooling)
        self.embedding = WordTable.of(embedding).embed(
            vocabulary_size, embedding_size, word_dropout, dropout, num_characters, character_vectors
        )
        self.rnn = FlatRNN(embedding_size, hidden_size, cell, direction, layers, dropout)
        width = self.rnn.output_size
        self.gate = self.rnn.equations.keeps
        self.attends = "attention" in self.poolings
        self.attention = ContextAttention(width, width) if self.attends else None
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width * len(self.poolings), num_classes)

    def forward(self, batch: TextBatch, return_attention: bool = False) -> Tensor | AttentiveOutput:
        """Compute logits (D, K); with `return_attention`, also the weights of words and sentences.

        Attention spans all words of a document. A sentence's weight is the sum of its words' weights, and a word's
        weight is its share of that sum.
        """
        lengths = segment_sum(batch.sentences, batch.documents)  # (D,)  words of each document
        x, place = self.embedding.distinct(batch.words, batch.sentences)  # (V', E), (W,)  of the distinct words
        states = self.rnn(x, lengths, index=place)  # (W, H or 2H)
        pooled = torch.cat([self.pool(p, states, lengths) for p in self.poolings], dim=1)  # (D, P H or P 2H)
        logits = self.output(self.dropout(pooled))  # (D, K)
        if not return_attention:
            return logits
        assert self.attention is not None  # see `attends`
        weights = self.attention(states, lengths)[1]  # (W,)  sums to 1 within a document
        sentence_weights = segment_sum(weights, batch.sentences)  # (S,)
        sentence = segment_ids(batch.sentences, len(batch.words))  # (W,)
        total = sentence_weights.clamp(min=torch.finfo(weights.dtype).tiny)  # an ignored sentence's may underflow
        return AttentiveOutput(logits, weights / total[sentence], sentence_weights)

    def kept(self, batch: TextBatch) -> dict[str, Tensor]:
        """Compute what each layer keeps of its state at each word; see `FlatRNN.kept`."""
        lengths = segment_sum(batch.sentences, batch.documents)
        return self.rnn.kept(self.embedding(batch.words, batch.sentences), lengths)

    def pool(self, pooling: Pooling, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool the states of each document into one vector, (D, H or 2H).

        Args:
            pooling: last, mean, max or attention.
            states: (W, H or 2H), of all documents, one after another.
            lengths: int64 (D,), words of each document.
        """
        if pooling == "last":
            return self.rnn.last(states, lengths)
        if pooling == "mean":
            return segment_mean(states, lengths)
        if pooling == "max":
            return segment_max(states, lengths)
        assert self.attention is not None  # see `attends`
        return self.attention(states, lengths)[0]

    def padded(self) -> PaddedSequence:
        """Return the network over padded documents, for other programs."""
        return PaddedSequence(self.embedding, self.rnn, self.poolings, self.attention, self.output)
