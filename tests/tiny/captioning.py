"""Task for tests only: image captioning by a recurrent decoder over image features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MeanMetric, Metric

from lightning_nn.data.batches import CaptionBatch, Index
from lightning_nn.data.captions import processor as caption_processor
from lightning_nn.data.images.conversion import ImageForm
from lightning_nn.data.images.decoding import fingerprint_image
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.artifacts import Artifact, Captions
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.training import Means
from tests.tiny.shapes import SIDE, Shape, draw_shapes

WORDS = ["<unknown>", "<start>", "<end>", "bright", "square", "bar", "left", "right"]
START, END = 1, 2
LONGEST = 6  # maximum number of words in a generated caption


class CaptionPrediction(NamedTuple):
    """A caption.

    Attributes:
        caption: its words, separated by spaces.
        log_probability: log-probability of the whole caption by the model.
    """

    caption: str
    log_probability: float


class Captioner(Task):
    """GRU decoder that generates a caption from image features by greedy search.

    Args:
        features: values in an image, F.
        vocabulary_size: number of words, V.
        hidden_size: width of the decoder's state, H.
        dropout: probability of dropping a value of its output in training, 0 to 1.
    """

    name = "tiny_captioner"
    batch_type = CaptionBatch
    exportable = False  # the number of steps is that of the longest caption
    monitor = "val/exact"
    row_labels: ClassVar[dict[str, str]] = dict.fromkeys(("embedding.weight", "output.weight", "output.bias"), "words")
    optimizer = Optimizer(name="adam", lr=0.03)

    def __init__(self, features: int, vocabulary_size: int, hidden_size: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.image = nn.Linear(features, hidden_size)
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.cell = nn.GRUCell(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size)

    def start(self, image: Tensor) -> Tensor:
        """Compute the decoder's state before the first word, (B, H)."""
        return self.image(image.to(self.image.weight.dtype) * 2 - 1).tanh()

    def step(self, word: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the state after a word, and the logits of the next word, (N, V)."""
        state = self.cell(self.embedding(word), state)
        return at_least_float32(self.output(self.dropout(state))), state

    def forward(self, batch: CaptionBatch) -> Tensor:
        """Compute the logits of each word and of each caption's end, (W + N, V), given the words before."""
        captions = batch.words.split(batch.length.tolist())
        words = pad_sequence([F.pad(caption, (1, 0), value=START) for caption in captions])  # (T, N)
        state, logits = self.start(batch.image)[batch.image_index], []
        for word in words:
            scores, state = self.step(word, state)
            logits.append(scores)
        real = torch.arange(len(words), device=words.device) <= batch.length[:, None]  # (N, T)
        return torch.stack(logits, 1)[real]

    def targets(self, batch: CaptionBatch) -> Tensor:
        """Return the targets of `forward`, (W + N,)."""
        return torch.cat([F.pad(caption, (0, 1), value=END) for caption in batch.words.split(batch.length.tolist())])

    def training_means(self, batch: CaptionBatch) -> Means:
        """Sum loss and correct predictions over words."""
        logits, targets = self(batch), self.targets(batch)
        loss = F.cross_entropy(logits, targets, reduction="sum")
        return Means({"loss": loss, "acc": (logits.argmax(1) == targets).sum()}, len(targets))

    def metrics(self) -> dict[str, Metric]:
        """Make loss and accuracy over words, and the share of captions that match exactly."""
        return {"loss": MeanMetric(), "acc": MeanMetric(), "exact": MeanMetric()}

    def update(self, metrics: Mapping[str, Metric], batch: CaptionBatch) -> None:
        """Add a batch to the metrics."""
        logits, targets = self(batch), self.targets(batch)
        metrics["loss"].update(F.cross_entropy(logits, targets, reduction="none"))
        metrics["acc"].update((logits.argmax(1) == targets).float())
        written = [words for words, _ in self.write(batch.image)]
        right = [words in true for words, true in zip(written, references(batch), strict=True)]
        metrics["exact"].update(torch.tensor(right, dtype=torch.float32, device=logits.device))

    def write(self, image: Tensor) -> list[tuple[list[int], float]]:
        """Generate a caption per image by greedy search, and its log-probability."""
        state, word = self.start(image), torch.full((len(image),), START, device=image.device)
        total, ended, words = state.new_zeros(len(image)), word == END, []
        for _ in range(LONGEST):
            logits, state = self.step(word, state)
            score, word = logits.log_softmax(1).max(1)
            total = total + score.where(~ended, 0)
            ended = ended | (word == END)
            words.append(word)
        rows = torch.stack(words, 1).tolist()
        captions = [row[: row.index(END)] if END in row else row for row in rows]
        return list(zip(captions, total.tolist(), strict=True))

    def predictions(self, batch: CaptionBatch) -> list[CaptionPrediction]:
        """Predict a caption for each image."""
        return [CaptionPrediction(self.spell(words), score) for words, score in self.write(batch.image)]

    def spell(self, words: list[int]) -> str:
        """Join the words of a caption by spaces."""
        return cast(CaptionProcessor, self.require_processor()).spell(words)

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the captions of a few images."""
        if not (batches := self.shown.get(split)):
            return
        with torch.inference_mode(), self.evaluating():
            captions = [self.predictions(batch)[0].caption for batch in batches]
        pixels = [(batch.image[0].reshape(SIDE, SIDE, 1) * 255).round().byte().cpu().numpy() for batch in batches]
        true = [[self.spell(words) for words in references(batch)[0]] for batch in batches]
        yield Captions([image.repeat(3, 2) for image in pixels], captions, true)


def references(batch: CaptionBatch) -> list[list[list[int]]]:
    """Group the captions of a batch by image."""
    found: list[list[list[int]]] = [[] for _ in range(batch.size)]
    captions = batch.words.split(batch.length.tolist())
    for image, words in zip(batch.image_index.tolist(), captions, strict=True):
        found[image].append(words.tolist())
    return found


class CaptionProcessor:
    """Processor of images of any size to features, with the vocabulary of the captions.

    Args:
        words: the vocabulary.
        side: height and width of an image.
    """

    kind = "tiny_caption"

    def __init__(self, words: list[str], side: int) -> None:
        self.words, self.side = words, side
        self.images = ImageProcessor([], *ImageForm(1, side, side))

    def encode(self, raw: list[Any]) -> CaptionBatch:
        """Make a batch of features without captions."""
        return CaptionBatch(features(self.images.encode(raw).image))

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, CaptionBatch]]:
        """Yield batches in the order of the inputs."""
        for index, batch in self.images.batches(raw, batch_size):
            yield index, CaptionBatch(features(batch.image))

    def spell(self, words: list[int]) -> str:
        """Join the words of a caption by spaces."""
        return " ".join(self.words[word] for word in words)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the words."""
        return {"words": self.words}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"words": self.words, "side": self.side}

    def inputs(self, options: Any) -> Iterator[Path]:
        """Find image files."""
        return ImageProcessor([], 1, self.side, self.side).inputs(options)


def features(image: Tensor) -> Tensor:
    """Scale pixels to 0 to 1, (B, F)."""
    return image.flatten(1) / 255


class CaptionSource:
    """Features of images with one or two equal captions each."""

    lengths: Index | None = None

    def __init__(self, count: int, seed: int) -> None:
        self.shapes = draw_shapes(count, seed)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: Index) -> CaptionBatch:
        shapes = [self.shapes[i] for i in index]
        captions = [(place, self.ids(shape)) for place, shape in enumerate(shapes) for _ in range(1 + index[place] % 2)]
        return CaptionBatch(
            features(torch.from_numpy(np.stack([shape.image for shape in shapes]))),
            torch.tensor([place for place, _ in captions]),
            torch.tensor([len(words) for _, words in captions]),
            torch.tensor([word for _, words in captions for word in words]),
        )

    def ids(self, shape: Shape) -> list[int]:
        """Return the ids of the words of a caption."""
        return [WORDS.index(word) for word in shape.words]

    def fingerprints(self) -> Fingerprints:
        """Return a hash of each image, which determines its captions."""
        return np.array([fingerprint_image(shape.image) for shape in self.shapes], np.uint64)


class TinyCaptions(DataModule):
    """Images of one rectangle each, described in two or three words.

    Args:
        batch_size: images in a batch of one process.
        samples: images in train; val and test have a quarter as many each.
    """

    describes = ("features", "vocabulary_size")

    def __init__(self, batch_size: BatchSize = 8, samples: int = 40) -> None:
        super().__init__(batch_size)
        self.save_hyperparameters(logger=False)
        self.samples = samples

    def prepare(self) -> None:
        """Draw the splits."""
        sizes = {"train": self.samples, "val": self.samples // 4, "test": self.samples // 4}
        self.sources = {split: CaptionSource(size, seed) for seed, (split, size) in enumerate(sizes.items())}
        self.processor, self.notes = CaptionProcessor(WORDS, SIDE), []
        self.summary = [("split", "images"), *((split, str(size)) for split, size in sizes.items())]

    def describe(self) -> dict[str, Any]:
        """Return the numbers of features and of words."""
        return {"features": SIDE * SIDE, "vocabulary_size": len(WORDS)}


class PictureSource(CaptionSource):
    """The images themselves, with their captions."""

    def __getitem__(self, index: Index) -> CaptionBatch:
        batch = super().__getitem__(index)
        images = np.stack([self.shapes[i].image for i in index])
        return batch._replace(image=torch.from_numpy(images), index=torch.from_numpy(index))


def picture(shapes: Sequence[Shape], index: int) -> np.ndarray:
    """Return an image in three equal colours, uint8 (H, W, 3)."""
    return shapes[index].image[0][:, :, None].repeat(3, 2)


class TinyPictures(TinyCaptions):
    """Images of one rectangle each, uint8, described in two or three words.

    Args:
        batch_size: images in a batch of one process.
        samples: images in train; val and test have a quarter as many each.
    """

    describes = ("channels", "height", "width", "vocabulary_size")

    def prepare(self) -> None:
        """Draw the splits."""
        super().prepare()
        self.sources = {split: PictureSource(len(source), i) for i, (split, source) in enumerate(self.sources.items())}
        self.processor = processor = caption_processor.CaptionProcessor(WORDS, 1, SIDE, SIDE)
        for split, source in self.sources.items():
            processor.pictures[split] = partial(picture, source.shapes)

    def describe(self) -> dict[str, Any]:
        """Return the form of the images and the number of words."""
        return {"channels": 1, "height": SIDE, "width": SIDE, "vocabulary_size": len(WORDS)}
