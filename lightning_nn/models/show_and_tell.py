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
of places and are normalised over the batch, so that pictures tell apart from the first step; dropout stands before and
after the LSTM, none of it recurrent (Zaremba et al. 2014). A picture's vector may get a loss of its own in training
(`guidance`): each word of a caption predicted from x_{-1} alone, or from x_{-1} and its position. What stands before
the LSTM learns slowly through it; this gradient is direct.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.backbones.encoder import EncoderNetwork
from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import BatchNorm
from lightning_nn.layers.ragged import at_least_float32, segment_ids, segment_starts
from lightning_nn.layers.recurrent import FlatRNN, State
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.captioning import Captioner, CaptionRows, Decoder
from lightning_nn.tasks.fine_tuning import Trainable

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


class ShowAndTell(Captioner):
    """Show and Tell: a convolutional network and an LSTM that describe a picture.

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
        embedding_size: width of a word's vector, E.
        hidden_size: width of the LSTM, H.
        lstm_layers: LSTMs, each over the outputs of the one below.
        dropout: probability of dropping a value before and after the LSTM, 0 to 1.
        tied: use the table of words also as the matrix of the output; needs equal widths.
        guidance: weight of a second loss in training, of each word predicted from the picture alone, 0 to 100; 0: none.
        guided_positions: positions of a caption that this prediction tells apart, the last of them also those beyond; 1
            for captions in free order. The prediction has E x V weights for each.
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
        encoder: EncoderNetwork = "convnet",
        layers: list[str] | None = None,
        grid: int = 4,
        mirrored: bool = False,
        embedding_size: int = 256,
        hidden_size: int = 256,
        lstm_layers: int = 1,
        dropout: float = 0.3,
        tied: bool = False,
        guidance: float = 0.0,
        guided_positions: int = 1,
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
        self.decoder = LSTMDecoder(
            self.encoder.features, vocabulary_size, embedding_size, hidden_size, lstm_layers, dropout, tied
        )
        if not 0 <= guidance <= 100:
            raise UserError(f"guidance is {guidance}; it must be 0 to 100")
        if guided_positions < 1:
            raise UserError(f"guided_positions is {guided_positions}; it must be at least 1")
        self.guidance, self.guided_positions = guidance, guided_positions
        guided = guidance > 0 and not self.self_critical
        self.guide = nn.Linear(embedding_size, guided_positions * vocabulary_size) if guided else None
        self.plan_training()

    def picture_loss(self, picture: Tensor, rows: CaptionRows) -> Tensor | None:
        """Sum the losses of words predicted from x_{-1}, and perhaps their position, alone; see `Captioning`."""
        if self.guide is None:
            return None
        logits = self.guide(picture).unflatten(1, (self.guided_positions, self.vocabulary_size))
        position = torch.arange(len(rows.targets), device=picture.device)
        position -= segment_starts(rows.lengths)[segment_ids(rows.lengths, len(position))]
        image = rows.image_index[segment_ids(rows.lengths, len(position))]
        guess = logits[image, position.clamp(max=self.guided_positions - 1)]  # (W, V)
        return self.guidance * F.cross_entropy(at_least_float32(guess), rows.targets, reduction="sum")
