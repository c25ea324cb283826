"""m-RNN: a recurrent network of words, whose state meets the picture in a layer of its own at every step.

Mao, Xu, Yang, Wang and Yuille, "Explain images with multimodal recurrent neural networks" (2014, arXiv:1410.1090). The
picture is no input of the recurrent layer, which can then be small; two layers embed each word:

    w_t = embedding of the word in two layers
    r_t = f(U_r r_{t-1} + w_t),  f the ReLU                    (2)
    m_t = g(V_w w_t + V_r r_t + V_I I)                         (3)
    g(x) = 1.7159 tanh(2 x / 3)                                (4), LeCun et al. 1998
    log2 PPL = - (1 / L) sum of log2 P(w_n | w_1 ... w_{n-1}, I)    (5), the loss in bits

Eq. 1 is the plain recurrent network, eq. 6 the cost, the mean of eq. 5 over words and a penalty on the weights.

P is the softmax of a layer over m_t. Departures: dropout before the softmax and on the words, against overfitting on
small data; the second word layer and V have biases where these add something; U_r starts as the identity (Le, Jaitly
and Hinton 2015); the features of the picture may keep a coarse grid of places.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lightning_nn.backbones.encoder import Encoder, Encoding
from lightning_nn.layers.ragged import segment_ids
from lightning_nn.layers.recurrent import FlatReLU, State
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.captioning import Captioning, CaptionTraining, Decoder, Search
from lightning_nn.tasks.fine_tuning import FineTune


def scaled_tanh(x: Tensor) -> Tensor:
    """Compute 1.7159 tanh(2 x / 3), which is 1 at 1 and -1 at -1."""
    return 1.7159 * (2 / 3 * x).tanh()


class MultimodalDecoder(Decoder):
    """Decoder of the m-RNN; its state is r_t and V_I I, which stays.

    Args:
        features: number of features of a picture, F.
        vocabulary_size: number of words, V.
        embedding_size: width of the first layer of a word, E.
        hidden_size: width of the second one and of the recurrent layer, H.
        multimodal_size: width of the multimodal layer, M.
        dropout: probability of dropping a value of a word and of the multimodal layer, 0 to 1.
    """

    def __init__(
        self,
        features: int,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        multimodal_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.second_embedding = nn.Linear(embedding_size, hidden_size)
        self.recurrent = FlatReLU(hidden_size)  # U_r
        self.from_word = nn.Linear(hidden_size, multimodal_size, bias=False)  # V_w
        self.from_recurrent = nn.Linear(hidden_size, multimodal_size, bias=False)  # V_r
        self.from_picture = nn.Linear(features, multimodal_size)  # V_I
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(multimodal_size, vocabulary_size)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def look(self, features: Tensor) -> Tensor:
        """Compute V_I I of pictures, (B, M), from features (B, F)."""
        picture: Tensor = self.from_picture(features)
        return picture

    def begin(self, picture: Tensor) -> State:
        """Put a recurrent state of zeros beside V_I I, (B, M)."""
        return picture.new_zeros(picture.shape[0], self.from_word.in_features), picture

    def step(self, state: State, words: Tensor) -> tuple[Tensor, State]:
        """Compute the logits of the next word, (N, V), and the state, after the words (N,)."""
        r, picture = cast(tuple[Tensor, Tensor], state)
        w = self.dropout(self.second_embedding(self.embedding(words)))  # (N, H)
        r, _ = self.recurrent.step(w, r)  # (N, H)  eq. 2
        return self._words(w, r, picture), (r, picture)

    def forward(self, state: State, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute the logits of the word after each word, (W, V); the same as by single steps."""
        first, picture = cast(tuple[Tensor, Tensor], state)
        w = self.dropout(self.second_embedding(self.embedding(words)))  # (W, H)
        r = self.recurrent(w, lengths, first)  # (W, H)  eq. 2
        return self._words(w, r, picture[segment_ids(lengths, len(words))])

    def _words(self, w: Tensor, r: Tensor, picture: Tensor) -> Tensor:
        m = scaled_tanh(self.from_word(w) + self.from_recurrent(r) + picture)  # (N, M)  eq. 3, 4
        return self.output(self.dropout(m))  # (N, V)


class MultimodalRNN(Captioning):
    """m-RNN: a convolutional network and a multimodal recurrent network that describe a picture.

    Args:
        channels: channels of an image.
        height: rows of an image.
        width: columns of an image.
        vocabulary_size: number of words, V.
        encoder: the convolutional network.
        embedding_size: width of the first layer of a word.
        hidden_size: width of the second one and of the recurrent layer.
        multimodal_size: width of the multimodal layer.
        dropout: probability of dropping a value of a word and of the multimodal layer, 0 to 1.
        training: what the model is trained on.
        search: how captions are searched.
        finetune: what is trained after --finetune, and when.

    Raises:
        UserError: an unknown network, images too small for it, or arguments that contradict each other.

    Example:
        >>> data = Scenes(train_size=8, val_size=4, test_size=4, size=32)
        >>> model = MultimodalRNN.for_data(data, embedding_size=8, hidden_size=8, multimodal_size=8)
        >>> model.processor = data.processor  # fit does it
        >>> len(model.predict(["pictures/sky/0.png"]))
        1
    """

    name = "multimodal_rnn"
    row_labels = dict.fromkeys(("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias"), "words")
    optimizer = Optimizer(name="adam", lr=1e-3)

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        vocabulary_size: int,
        encoder: Encoding = Encoding(),
        embedding_size: int = 128,
        hidden_size: int = 256,
        multimodal_size: int = 512,
        dropout: float = 0.3,
        training: CaptionTraining = CaptionTraining(),
        search: Search = Search(),
        finetune: FineTune = FineTune(),
    ) -> None:
        super().__init__(Encoder((channels, height, width), encoder), vocabulary_size, training, search, finetune)
        self.save_hyperparameters(logger=False)
        self.decoder = MultimodalDecoder(
            self.encoder.features, vocabulary_size, embedding_size, hidden_size, multimodal_size, dropout
        )
