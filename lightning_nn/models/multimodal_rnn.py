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

from lightning_nn.backbones.encoder import EncoderNetwork
from lightning_nn.layers.ragged import segment_ids
from lightning_nn.layers.recurrent import FlatReLU, State
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.captioning import Captioner, Decoder
from lightning_nn.tasks.fine_tuning import Trainable


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
        return picture.new_zeros(len(picture), self.from_word.in_features), picture

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


class MultimodalRNN(Captioner):
    """m-RNN: a convolutional network and a multimodal recurrent network that describe a picture.

    Args:
        channels: channels of an image.
        height: rows of an image.
        width: columns of an image.
        vocabulary_size: number of words, V.
        encoder: convnet, a list of layers, or alexnet, vgg16, googlenet, inception_v3, resnet18, resnet34, resnet50,
            squeezenet1_1, mobilenet_v1, mobilenet_v2, mobilenet_v3_small or mobilenet_v3_large.
        layers: the layers of a convnet, as those of --model convnet; null: a small network for small pictures.
        grid: rows and columns of cells in which the last maps are pooled: 1 tells what there is, 4 also where.
        mirrored: use the mean features of a picture and its mirror image, for which left and right are one.
        embedding_size: width of the first layer of a word.
        hidden_size: width of the second one and of the recurrent layer.
        multimodal_size: width of the multimodal layer.
        dropout: probability of dropping a value of a word and of the multimodal layer, 0 to 1.
        label_smoothing: share of a target that is spread over all words, 0 or above and below 1.
        scheduled_sampling: share of the words given in training that the model's own draws replace at its end, 0 to 1.
        self_critical: captions that the model draws of each image in training, rewarded by their CIDEr-D, in place of
            those of the data; 0: none, else 2 or more. For trained models (--finetune); at a small rate, no dropout.
        captions_each: captions of a picture that a training step reads, chosen at random; null: all.
        trainable: what is trained after --finetune. head: the decoder. last_stage: also the encoder's layers since the
            last halving. all: everything.
        unfreeze_at: epochs after which everything is trained; null: never.
        body_lr: factor on the learning rate of the encoder, above 0; null: 0.03 after --finetune, else 1.
        freeze_statistics: after --finetune, keep the mean and variance of the batch norms.
        beam: beginnings that beam search keeps; 1 is greedy search if length_norm is 0.
        longest: maximum number of words of a generated caption.
        length_norm: exponent of the length by which log-probabilities are divided when captions are compared, 0 to 10;
            0 prefers the most probable, which are short.

    Raises:
        UserError: an unknown network, pictures too small for it, or arguments that contradict each other.
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
        encoder: EncoderNetwork = "convnet",
        layers: list[str] | None = None,
        grid: int = 4,
        mirrored: bool = False,
        embedding_size: int = 128,
        hidden_size: int = 256,
        multimodal_size: int = 512,
        dropout: float = 0.3,
        label_smoothing: float = 0.0,
        scheduled_sampling: float = 0.0,
        self_critical: int = 0,
        captions_each: int | None = None,
        trainable: Trainable = "all",
        unfreeze_at: int | None = None,
        body_lr: float | None = None,
        freeze_statistics: bool = True,
        beam: int = 3,
        longest: int = 30,
        length_norm: float = 0.0,
    ) -> None:
        super().__init__(
            (channels, height, width),
            encoder,
            layers,
            grid,
            mirrored,
            trainable,
            unfreeze_at,
            body_lr,
            freeze_statistics,
            vocabulary_size=vocabulary_size,
            beam=beam,
            longest=longest,
            length_norm=length_norm,
            label_smoothing=label_smoothing,
            scheduled_sampling=scheduled_sampling,
            self_critical=self_critical,
            captions_each=captions_each,
        )
        self.save_hyperparameters(logger=False)
        features = self.encoder.features
        self.decoder = MultimodalDecoder(
            features, vocabulary_size, embedding_size, hidden_size, multimodal_size, dropout
        )
        self.plan_training()
