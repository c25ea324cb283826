"""Recurrent text classifier: words in their order, one state that is carried along.

    rnn   s_t = tanh(W s_{t-1} + U x_t + b)                                     Elman 1990
    lstm  f, i, o = sigmoid(...);  c_t = f c_{t-1} + i tanh(...);  s_t = o tanh(c_t)   Hochreiter, Schmidhuber 1997
    gru   s_t = (1 - z) n + z s_{t-1}                                           Cho et al. 2014

A document is read from its first word to its last, sentences joined; how the states become one vector is a choice.
"""

from __future__ import annotations

from typing import Literal, get_args, overload

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import TextBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.ragged import segment_ids, segment_max, segment_mean, segment_sum
from lightning_nn.layers.recurrent import Cell, Direction, FlatRNN
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.text_classification import AttentiveOutput, TextClassifier

Pooling = Literal["last", "mean", "max", "attention"]


class LSTMClassifier(TextClassifier):
    """Embedding, recurrent layers, pooling over time, fully connected.

    Args:
        vocabulary_size: words, V; id 0 is the unknown word.
        num_classes: number of classes, K.
        embedding_size: width of a word vector, E.
        hidden_size: width of the state in each direction, H.
        cell: rnn, lstm or gru.
        direction: forward, backward (from the last word to the first) or both.
        layers: recurrent layers, each over the states of the one below.
        pooling: how the states of a document become one vector: last (the state after the last word read), mean, max,
            attention; several are put side by side.
        dropout: probability of dropping a value of word vectors, between layers and of the pooled vector, 0 to 1.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        character_vectors: a word's vector is its own plus the mean of those of its first 8 characters (Chen et al.
            2015); of no use where words are characters. The model learns of the spelling from its reader, which the
            Trainer gives it; in a loop of your own set `model.processor = data.processor`.
        num_characters: different characters in the words and one more for none, C; needed for `character_vectors` only.

    Raises:
        UserError: an unknown pooling, or none.
    """

    name = "lstm"
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
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        self.poolings = [pooling] if isinstance(pooling, str) else pooling
        if not self.poolings:
            raise UserError(f"pooling is empty; name at least one of {', '.join(get_args(Pooling))}")
        for one in self.poolings:
            choose("pooling", one, Pooling)
        spelled = num_characters if character_vectors else None
        self.embedding = WordEmbedding(vocabulary_size, embedding_size, word_dropout, dropout, spelled)
        self.rnn = FlatRNN(embedding_size, hidden_size, cell, direction, layers, dropout)
        width = self.rnn.output_size
        self.attends = "attention" in self.poolings
        self.attention = ContextAttention(width, width) if self.attends else None
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width * len(self.poolings), num_classes)

    @overload
    def forward(self, batch: TextBatch, return_attention: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, batch: TextBatch, return_attention: Literal[True]) -> AttentiveOutput: ...
    def forward(self, batch: TextBatch, return_attention: bool = False) -> Tensor | AttentiveOutput:
        """Logits of each document, (D, K).

        With `return_attention`, also where it looked: the attention of a document goes over all of its words, so the
        weight of a sentence is the sum of those of its words, and the weight of a word is its share of that.
        """
        lengths = segment_sum(batch.sentences, batch.documents)  # (D,) words of each document
        x = self.embedding(batch.words)  # (W, E)
        states = self.rnn(x, lengths)  # (W, H or 2H)
        pooled = torch.cat([self.pool(p, states, lengths) for p in self.poolings], dim=1)  # (D, P H or P 2H)
        logits = self.output(self.dropout(pooled))
        if not return_attention:
            return logits
        assert self.attention is not None  # see `attends`
        weights = self.attention(states, lengths)[1]  # (W,), sum to 1 within a document
        sentence_weights = segment_sum(weights, batch.sentences)  # (S,)
        sentence = segment_ids(batch.sentences, len(batch.words))  # (W,)
        total = sentence_weights.clamp(min=torch.finfo(weights.dtype).tiny)  # that of an idle sentence may underflow
        return AttentiveOutput(logits, weights / total[sentence], sentence_weights)

    def pool(self, pooling: Pooling, states: Tensor, lengths: Tensor) -> Tensor:
        """One vector a document, (D, H or 2H).

        Args:
            pooling: last, mean, max or attention.
            states: (W, H or 2H), one after another.
            lengths: int64 (D,), words of each document.
        """
        if pooling == "last":
            return self.rnn.last(states, lengths)
        if pooling == "mean":
            return segment_mean(states, lengths)
        if pooling == "max":
            return segment_max(states, lengths)
        assert self.attention is not None  # made in the constructor where a pooling asks for it
        return self.attention(states, lengths)[0]
