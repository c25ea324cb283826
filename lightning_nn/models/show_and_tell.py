"""Show and Tell: a recurrent network that reads a picture as its first word, then writes a sentence.

Vinyals, Toshev, Bengio and Erhan, "Show and tell: a neural image caption generator" (CVPR 2015). The model maximises
log p(S | I) = sum over t of log p(S_t | I, S_0, ..., S_{t-1}) (1, 2), S_0 being the start and S_N the end:

    x_{-1} = CNN(I)                                        (10)
    x_t = W_e S_t,            t = 0 ... N - 1              (11)
    p_{t+1} = LSTM(x_t),      t = 0 ... N - 1              (12)
    L(I, S) = - sum over t = 1 ... N of log p_t(S_t)       (13)

The LSTM is that of eq. 4-8, and eq. 9, p = softmax(m), has a matrix from its output to the words. The picture is shown
once: "feeding the image at each time step as an extra input yields inferior results".

Departures: the output is o_t * tanh(c_t), as torch computes it, where eq. 8 is m_t = o_t * c_t; gates have biases, the
forget gates open at the start; a picture is encoded once for all of its captions; its features may keep a coarse grid
of places and are normalised over the batch, so that different images give different inputs from the first step; dropout
stands before and after the LSTM, none of it recurrent (Zaremba et al. 2014); `Guidance` is an option.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_nn.backbones.encoder import Encoder, Encoding
from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import BatchNorm
from lightning_nn.layers.recurrent import FlatRNN, State
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.captioning import Captioning, CaptionRows, CaptionTraining, Decoder, Search
from lightning_nn.tasks.fine_tuning import FineTune
from lightning_nn.tasks.guidance import Guidance, GuidedWords

FORGET = 3.0  # bias of the forget gates at the start: the picture, which is seen first, is remembered


class LSTMDecoder(Decoder):
    """Decoder of Show and Tell.

    Args:
        features: number of features of a picture, F.
        vocabulary_size: number of words, V.
        embedding_size: width of a word's vector, E.
        hidden_size: width of the LSTM, H.
        layers: LSTMs, each over the outputs of the one below.
        dropout: probability of dropping a value before and after the LSTM, 0 to 1.
        tied: use the table of words also as the matrix of the output (Press and Wolf 2017).

    Raises:
        UserError: a tied output of another width.
    """

    def __init__(
        self,
        features: int,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        layers: int,
        dropout: float,
        tied: bool,
    ) -> None:
        super().__init__()
        if tied and embedding_size != hidden_size:
            raise UserError(
                f"tied needs embedding_size and hidden_size to be equal; they are {embedding_size} and {hidden_size}"
            )
        self.picture = nn.Sequential(
            BatchNorm(features), nn.Linear(features, embedding_size), BatchNorm(embedding_size)
        )
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)  # W_e
        self.lstm = FlatRNN(embedding_size, hidden_size, "lstm", "forward", layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        for name, parameter in self.lstm.rnn.named_parameters():
            if name.startswith("bias_ih"):  # gates lie in the order i, f, g, o
                nn.init.constant_(parameter[hidden_size : 2 * hidden_size], FORGET)
            elif name.startswith("weight_ih"):
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
            elif name.startswith("weight_hh"):
                for gate in parameter.chunk(4):
                    nn.init.orthogonal_(gate)
        if tied:
            self.output.weight = self.embedding.weight

    def look(self, features: Tensor) -> Tensor:
        """Compute x_{-1} of pictures, (B, E), from features (B, F)."""
        x: Tensor = self.picture(features)  # (B, E)  eq. 10
        return x

    def begin(self, picture: Tensor) -> State:
        """Show x_{-1}, (B, E), to the LSTM."""
        return self.lstm.step(self.dropout(picture))[1]

    def step(self, state: State, words: Tensor) -> tuple[Tensor, State]:
        """Compute the logits of the next word, (N, V), and the state, after the words (N,)."""
        x = self.embedding(words)  # (N, E)  eq. 11
        m, state = self.lstm.step(self.dropout(x), state)  # (N, H)  eq. 4-8, 12
        return self.output(self.dropout(m)), state  # (N, V)  eq. 9, but for the softmax

    def forward(self, state: State, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute the logits of the word after each word, (W, V); the same as by single steps."""
        x = self.embedding(words)  # (W, E)
        m = self.lstm(self.dropout(x), lengths, state)  # (W, H)
        return self.output(self.dropout(m))


class ShowAndTell(Captioning):
    """Show and Tell: a convolutional network and an LSTM that describe a picture.

    Args:
        channels: channels of an image.
        height: rows of an image.
        width: columns of an image.
        vocabulary_size: number of words, V.
        encoder: the convolutional network.
        embedding_size: width of a word's vector, E.
        hidden_size: width of the LSTM, H.
        lstm_layers: LSTMs, each over the outputs of the one below.
        dropout: probability of dropping a value before and after the LSTM, 0 to 1.
        tied: use the table of words also as the matrix of the output; needs equal widths.
        guidance: a second loss in training.
        training: what the model is trained on.
        search: how captions are searched.
        finetune: what is trained after --finetune, and when.

    Raises:
        UserError: an unknown network, images too small for it, or arguments that contradict each other.

    Example:
        >>> data = Scenes(train_size=8, val_size=4, test_size=4, size=32)
        >>> model = ShowAndTell.for_data(data, embedding_size=8, hidden_size=8)
        >>> model.processor = data.processor  # fit does it
        >>> len(model.predict(["pictures/sky/0.png"]))
        1
    """

    name = "show_and_tell"
    row_labels = dict.fromkeys(("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias"), "words")
    optimizer = Optimizer(name="adam", lr=1e-3)
    decoder: LSTMDecoder

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        vocabulary_size: int,
        encoder: Encoding = Encoding(),
        embedding_size: int = 256,
        hidden_size: int = 256,
        lstm_layers: int = 1,
        dropout: float = 0.3,
        tied: bool = False,
        guidance: Guidance = Guidance(),
        training: CaptionTraining = CaptionTraining(),
        search: Search = Search(),
        finetune: FineTune = FineTune(),
    ) -> None:
        super().__init__(Encoder((channels, height, width), encoder), vocabulary_size, training, search, finetune)
        self.save_hyperparameters(logger=False)
        self.decoder = LSTMDecoder(
            self.encoder.features, vocabulary_size, embedding_size, hidden_size, lstm_layers, dropout, tied
        )
        self.guidance = Guidance.of(guidance)
        guided = self.guidance.weight > 0 and not self.caption_training.self_critical
        self.guide = GuidedWords(embedding_size, vocabulary_size, self.guidance.positions) if guided else None

    def further_loss(self, picture: Tensor, rows: CaptionRows) -> Tensor | float:
        """Compute the loss of the words predicted from x_{-1}; see `Guidance`."""
        return 0.0 if self.guide is None else self.guidance.weight * self.guide.loss(picture, rows)
