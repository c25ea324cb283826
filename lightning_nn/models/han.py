"""Hierarchical attention network: words make sentences, sentences make a document, and both are weighed.

Z. Yang, D. Yang, C. Dyer, X. He, A. Smola, E. Hovy: Hierarchical Attention Networks for Document Classification,
NAACL 2016. Equations by the paper's numbers. What differs: dropout and word dropout, which the paper does not mention;
Adam instead of SGD with momentum; word vectors that begin at random, not from word2vec, and may lean on those of their
characters; torch's GRU, whose reset gate comes after the product and has a bias of its own; and no padding: all words
of a batch lie one after another, so an answer depends on nothing but its own document.
"""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor, nn

from lightning_nn.data.batches import TextBatch
from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.recurrent import FlatRNN
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.text_classification import AttentiveOutput, TextClassifier


class HAN(TextClassifier):
    """Hierarchical attention network (Yang et al. 2016).

    Args:
        vocabulary_size: words, V; id 0 is the unknown word.
        num_classes: number of classes, K.
        embedding_size: width of a word vector, E.
        hidden_size: width of each GRU in each direction, H; words and sentences are 2 H wide.
        attention_size: width of the hidden layers of both attentions, A.
        dropout: probability of dropping a value of word vectors, sentence and document vectors, 0 to 1.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        character_vectors: a word's vector is its own plus the mean of those of its first 8 characters (Chen et al.
            2015); of no use where words are characters. The model learns of the spelling from its reader, which the
            Trainer gives it; in a loop of your own set `model.processor = data.processor`.
        num_characters: different characters in the words and one more for none, C; needed for `character_vectors` only.
    """

    name = "han"
    attends = True
    optimizer = Optimizer(name="adam", lr=2e-3)

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int,
        embedding_size: int = 200,
        hidden_size: int = 50,
        attention_size: int = 100,
        dropout: float = 0.3,
        word_dropout: float = 0.02,
        character_vectors: bool = False,
        num_characters: int = 0,
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        spelled = num_characters if character_vectors else None
        self.embedding = WordEmbedding(vocabulary_size, embedding_size, word_dropout, dropout, spelled)  # W_e
        self.word_rnn = FlatRNN(embedding_size, hidden_size)
        self.word_attention = ContextAttention(2 * hidden_size, attention_size)
        self.sentence_rnn = FlatRNN(2 * hidden_size, hidden_size)
        self.sentence_attention = ContextAttention(2 * hidden_size, attention_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden_size, num_classes)

    @overload
    def forward(self, batch: TextBatch, return_attention: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, batch: TextBatch, return_attention: Literal[True]) -> AttentiveOutput: ...
    def forward(self, batch: TextBatch, return_attention: bool = False) -> Tensor | AttentiveOutput:
        """Logits of each document, (D, K); with `return_attention`, both attention maps as well."""
        documents, sentences, words, _ = batch
        x = self.embedding(words)  # (W, E)             x_it = W_e w_it
        h = self.word_rnn(x, sentences)  # (W, 2H)      eq. 1-4, h_it
        s, word_weights = self.word_attention(h, sentences)  # (S, 2H), (W,)    eq. 5-7
        h = self.sentence_rnn(self.dropout(s), documents)  # (S, 2H)            h_i
        v, sentence_weights = self.sentence_attention(h, documents)  # (D, 2H), (S,)    eq. 8-10
        logits = self.output(self.dropout(v))  # (D, K)  eq. 11, W_c v + b_c
        return AttentiveOutput(logits, word_weights, sentence_weights) if return_attention else logits
