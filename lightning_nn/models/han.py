"""Hierarchical attention network: a document classifier that attends to words within sentences, then to sentences.

Z. Yang, D. Yang, C. Dyer, X. He, A. Smola, E. Hovy: Hierarchical Attention Networks for Document Classification,
NAACL 2016. Equation numbers are the paper's. Differences from it:

- dropout and word dropout, which the paper does not mention
- Adam instead of SGD with momentum
- word vectors are initialised at random, not from word2vec, and may add vectors of their characters
- torch's GRU: its reset gate is applied after the matrix product and has its own bias
- no padding: the words of a batch are concatenated, so a prediction depends on its own document only
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_nn.data.batches import TextBatch
from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.recurrent import FlatRNN
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.padded_text import PaddedHierarchy
from lightning_nn.tasks.text_classification import AttentiveOutput, TextClassifier
from lightning_nn.tasks.word_table import WordTable


class HAN(TextClassifier):
    """Hierarchical attention network (Yang et al. 2016).

    Args:
        vocabulary_size: number of words, V; id 0 is the unknown word.
        num_classes: number of classes, K.
        embedding_size: width of a word vector, E.
        hidden_size: width of each GRU per direction, H; encoded words and sentences are 2 H wide.
        attention_size: width of the hidden layer of each attention, A.
        dropout: probability of dropping a value of a word, sentence or document vector, 0 to 1.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        character_vectors: add to each word's vector the mean vector of its first 8 characters (Chen et al. 2015);
            useless where each word is one character. The processor tells the model how words are spelled; the Trainer
            sets it, and a loop of your own must: `model.processor = data.processor`.
        num_characters: number of distinct characters plus one for padding, C; for vectors of characters.
        embedding: form of the table of word vectors, plain or smaller, and n-grams beside it.

    Example:
        >>> model = HAN(vocabulary_size=100, num_classes=5)
        >>> documents, sentences = torch.tensor([1, 2]), torch.tensor([3, 2, 1])  # sentences, words of each
        >>> model(TextBatch(documents, sentences, torch.arange(6))).shape
        torch.Size([2, 5])
    """

    name = "han"
    short_recipe = "han-text-short.yaml"
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
        embedding: WordTable = WordTable(),
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        self.embedding = WordTable.of(embedding).embed(  # W_e
            vocabulary_size, embedding_size, word_dropout, dropout, num_characters, character_vectors
        )
        self.word_rnn = FlatRNN(embedding_size, hidden_size)
        self.word_attention = ContextAttention(2 * hidden_size, attention_size)
        self.sentence_rnn = FlatRNN(2 * hidden_size, hidden_size)
        self.sentence_attention = ContextAttention(2 * hidden_size, attention_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, batch: TextBatch, return_attention: bool = False) -> Tensor | AttentiveOutput:
        """Compute logits (D, K); with `return_attention`, also the weights of words and sentences."""
        documents, sentences, words, *_ = batch
        x, place = self.embedding.distinct(words, sentences)  # (V', E), (W,)  x_it = W_e w_it of word place_it
        h = self.word_rnn(x, sentences, index=place)  # (W, 2H)  h_it, eq. 1-4
        s, word_weights = self.word_attention(h, sentences)  # (S, 2H), (W,)  s_i, a_it, eq. 5-7
        h = self.sentence_rnn(self.dropout(s), documents)  # (S, 2H)  h_i, eq. 1-4 again
        v, sentence_weights = self.sentence_attention(h, documents)  # (D, 2H), (S,)  v, a_i, eq. 8-10
        logits = self.output(self.dropout(v))  # (D, K)  W_c v + b_c, eq. 11
        return AttentiveOutput(logits, word_weights, sentence_weights) if return_attention else logits

    def padded(self) -> PaddedHierarchy:
        """Return the network over padded documents, for other programs."""
        levels = ((self.word_rnn, self.word_attention), (self.sentence_rnn, self.sentence_attention))
        return PaddedHierarchy(self.embedding, levels, self.output)
