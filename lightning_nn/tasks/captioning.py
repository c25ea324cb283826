"""Base of the models that describe an image in a sentence: decoder, losses, writing and metrics."""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric

from lightning_nn.backbones.encoder import OPTION, Encoder
from lightning_nn.data.batches import END, START, UNKNOWN, CaptionBatch, FrozenEncoder
from lightning_nn.data.processor import CaptionWriter, Processor
from lightning_nn.errors import UserError
from lightning_nn.layers.beam_search import Sentences, Vocabulary, beam_search, draw, sample
from lightning_nn.layers.convolution import measure_images
from lightning_nn.layers.ragged import at_least_float32, segment_ids, segment_starts
from lightning_nn.layers.recurrent import State, select_state
from lightning_nn.metrics.captions import CaptionRecord, CaptionRecords, DocumentFrequencies
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.settings import Group
from lightning_nn.tasks.artifacts import Artifact, Captions, Table
from lightning_nn.tasks.fine_tuning import FineTune, FineTuning
from lightning_nn.tasks.self_critical import draw_captions, with_end
from lightning_nn.tasks.training import Means

VOCABULARY = Vocabulary(START, END, [UNKNOWN])
SHOWN_EXTREMES = 12  # images with the best captions, and with the worst


class Decoder(nn.Module):
    """Network that predicts the next word from the features of an image and the words before.

    Single steps and whole sequences give the same logits.
    """

    @abstractmethod
    def look(self, features: Tensor) -> Tensor:
        """Compute what the decoder sees of pictures, (B, P), from features (B, F)."""

    @abstractmethod
    def begin(self, picture: Tensor) -> State:
        """Compute the state before the first word, (B, ...), from what `look` returned, (B, P)."""

    def start(self, features: Tensor) -> State:
        """Compute the state before the first word, (B, ...), from features (B, F)."""
        return self.begin(self.look(features))

    @abstractmethod
    def step(self, state: State, words: Tensor) -> tuple[Tensor, State]:
        """Compute the logits of the next word, (N, V), and the state, after the words (N,)."""

    def log_probabilities(self, state: State, words: Tensor) -> tuple[Tensor, State]:
        """Compute the log-probabilities of the next word, (N, V), and the state, after the words (N,)."""
        logits, state = self.step(state, words)
        return at_least_float32(logits).log_softmax(1), state

    @abstractmethod
    def forward(self, state: State, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute the logits of the word after each word.

        Args:
            state: before the first word of each of N sequences, from `start`.
            words: int64 (W,), of all sequences, one after another.
            lengths: int64 (N,), words of each.

        Returns:
            (W, V).
        """


class CaptionRows(NamedTuple):
    """Captions as sequences of words to read and words to predict.

    Attributes:
        inputs: int64 (W + N,), the start and the words of each caption.
        targets: int64 (W + N,), the words and the end of each caption.
        lengths: int64 (N,), number of rows of each caption.
        image_index: int64 (N,), index of each caption's image.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
    image_index: Tensor


class CaptionPrediction(NamedTuple):
    """A caption.

    Attributes:
        caption: the sentence.
        log_probability: of all its words and its end, by the model.
    """

    caption: str
    log_probability: float


class CaptionRow(NamedTuple):
    """A row of the table of test captions.

    Attributes:
        file: name of the image, or its number in the split.
        truths: captions by people.
        caption: the model's.
        log_probability: of the caption by the model.
        cider: CIDEr-D of the caption, 0 to 10.
    """

    file: str
    truths: list[str]
    caption: str
    log_probability: float
    cider: float


@dataclass(frozen=True)
class Search(Group):
    """The search for a caption.

    Args:
        beam: beginnings that beam search keeps; 1 is greedy search if length_norm is 0.
        longest: maximum number of words of a generated caption.
        length_norm: exponent of the length by which log-probabilities are divided when captions are compared, 0 to 10;
            0 prefers the most probable, which are short.

    Raises:
        UserError: a value is out of its range.
    """

    beam: int = 3
    longest: int = 30
    length_norm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("beam", "longest"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"--model.search.{name} is {value}; it must be at least 1")
        if not 0 <= self.length_norm <= 10:
            raise UserError(f"--model.search.length_norm is {self.length_norm}; it must be 0 to 10")


@dataclass(frozen=True)
class CaptionTraining(Group):
    """The words that a captioner is trained on.

    Args:
        label_smoothing: share of a target that is spread over all words, 0 or above and below 1.
        scheduled_sampling: share of the words given in training that the model's own draws replace at its end, 0 to 1;
            it grows linearly from 0 (Bengio et al. 2015), in two passes (Mihaylova and Martins 2019).
        self_critical: captions that the model draws of each image in training, rewarded by their CIDEr-D, in place of
            those of the data; 0: none, else 2 or more. For trained models (--finetune); at a small rate, no dropout.
        captions_each: captions of an image that a training step reads, chosen at random; null: all.

    Raises:
        UserError: a value is out of its range, or they contradict each other.
    """

    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0
    self_critical: int = 0
    captions_each: int | None = None

    def __post_init__(self) -> None:
        option = "--model.training"
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"{option}.label_smoothing is {self.label_smoothing}; it must be 0 or above and below 1")
        if not 0 <= self.scheduled_sampling <= 1:
            raise UserError(f"{option}.scheduled_sampling is {self.scheduled_sampling}; it must be 0 to 1")
        if self.self_critical < 0 or self.self_critical == 1:
            raise UserError(
                f"{option}.self_critical is {self.self_critical}; it must be 0, or 2 or more, to compare them"
            )
        if self.captions_each is not None and self.captions_each < 1:
            raise UserError(f"{option}.captions_each is {self.captions_each}; it must be at least 1, or null for all")
        if self.self_critical and (self.label_smoothing or self.scheduled_sampling or self.captions_each):
            raise UserError(
                f"{option}.self_critical reads no words of the data: leave label_smoothing, scheduled_sampling and "
                "captions_each out"
            )


class Captioning(FineTuning):
    """A task that writes a sentence about an image: an encoder, to features, and a decoder, word by word.

    A subclass makes `decoder`. Words of the data beyond the vocabulary are the unknown word to it.

    Args:
        encoder: images, uint8 or float (B, C, H, W), to features (B, F).
        vocabulary_size: number of words, V.
        training: what it is trained on.
        search: how captions are searched.
        finetune: what is trained after --finetune; the head is the decoder.

    Attributes:
        decoder: features and the words before to the next word.
        search: how captions are searched.
    """

    batch_type = CaptionBatch
    training_arguments = FineTuning.training_arguments | {"training"}
    prediction_arguments = frozenset({"search"})
    exportable = False  # the number of steps is that of the longest caption
    monitor = "val/cider"
    embedded_model = "convnet"
    network_option = OPTION
    decoder: Decoder

    def __init__(
        self,
        encoder: Encoder,
        vocabulary_size: int,
        training: CaptionTraining | dict[str, Any],
        search: Search | dict[str, Any],
        finetune: FineTune | dict[str, Any],
    ) -> None:
        super().__init__()
        if vocabulary_size < 4:
            raise UserError(f"vocabulary_size is {vocabulary_size}; it must be at least 4")
        self.encoder, self.vocabulary_size = encoder, vocabulary_size
        self.caption_training, self.search = CaptionTraining.of(training), Search.of(search)
        layers = [*(f"encoder.{name}" for name in encoder.layers), "decoder"]
        self.plan(layers, f"encoder.{encoder.last_stage}", finetune)
        self.first_samples = sys.maxsize if self.caption_training.self_critical else 500  # n-grams of all captions
        self._sampled = 0.0
        self._frequencies: DocumentFrequencies | None = None

    def check_batch(self, batch: Any) -> None:
        """Refuse a batch that the model can't read, also features of another encoder; see `Task`."""
        super().check_batch(batch)
        if batch.image.dim() == 2 and batch.image.shape[1] != self.encoder.features:
            raise UserError(f"{batch.image.shape[1]} features; this model was made for {self.encoder.features}")

    def on_processor(self, processor: Processor) -> None:
        """Refuse a processor with another number of words; see `Task`."""
        if (count := len(processor.row_labels()["words"])) != self.vocabulary_size:
            raise UserError(f"this model was made for {self.vocabulary_size:,} words, and the data has {count:,}")

    def require_processor(self) -> CaptionWriter:
        """Return the processor, which knows the words; see `Task`."""
        return cast(CaptionWriter, super().require_processor())

    def frozen_encoder(self) -> FrozenEncoder | None:
        """Return the encoder if it is not trained, so that features can be computed once; None if it is."""
        trains = self.finetune.trainable != "head" or self.finetune.unfreeze_at is not None
        return None if trains or not self.pretrained else self.encoder.frozen()

    def measure(self, batches: Iterable[CaptionBatch]) -> None:
        """Measure training images for the encoder before the first step, and count n-grams if captions are rewarded."""
        if self.caption_training.self_critical:
            captions = (group for batch in batches for group in references(batch))
            self._frequencies = DocumentFrequencies(map(with_end, captions))
        if next(iter(batches)).image.dim() == 4:
            measure_images(self.encoder.normalize, self.encoder.net, batches)

    def features(self, image: Tensor) -> Tensor:
        """Compute the features of images, (B, F); features stay as they are."""
        if image.dim() == 2:
            return image.to(next(self.decoder.parameters()).dtype)
        return cast(Tensor, self.encoder(image))

    def forward(self, batch: CaptionBatch) -> Tensor:
        """Compute the logits of each word and of each caption's end, (W + N, V), given the true words before."""
        return self._decoded(self.decoder.look(self.features(batch.image)), self.rows(batch))

    def _decoded(self, picture: Tensor, rows: CaptionRows) -> Tensor:
        state, inputs = select_state(self.decoder.begin(picture), rows.image_index), rows.inputs
        if self.training and self._sampled > 0:
            with torch.no_grad():
                inputs = self._partly_drawn(inputs, self.decoder(state, inputs, rows.lengths), rows.lengths)
        return at_least_float32(self.decoder(state, inputs, rows.lengths))

    def rows(self, batch: CaptionBatch) -> CaptionRows:
        """Return inputs and targets of the captions of a batch.

        Raises:
            UserError: it has no captions.
        """
        if batch.words is None or batch.length is None or batch.image_index is None:
            raise UserError("a batch has no captions: training and evaluating need them")
        words, length = batch.words.where(batch.words < self.vocabulary_size, UNKNOWN), batch.length
        place = torch.arange(len(words), device=words.device) + segment_ids(length, len(words))
        inputs = words.new_full((len(words) + len(length),), START).index_copy(0, place + 1, words)
        targets = torch.full_like(inputs, END).index_copy(0, place, words)
        return CaptionRows(inputs, targets, length + 1, batch.image_index)

    def _partly_drawn(self, inputs: Tensor, logits: Tensor, lengths: Tensor) -> Tensor:
        """Replace a share of the input words by words drawn from the model's predictions of them."""
        drawn = draw(at_least_float32(logits)).roll(1)
        replaced = torch.rand(inputs.shape, device=inputs.device) < self._sampled
        replaced[segment_starts(lengths)] = False
        return drawn.where(replaced & (drawn != END), inputs)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the share of words that are drawn in this step."""
        if self.caption_training.scheduled_sampling > 0:
            self._sampled = self.caption_training.scheduled_sampling * min(
                1.0, self.trainer.global_step / self.optimizer_steps()
            )

    def training_means(self, batch: CaptionBatch) -> Means:
        """Sum loss and correct predictions over the words of a batch and the ends of its captions."""
        if self.caption_training.self_critical:
            return self._self_critical_means(batch)
        if self.caption_training.captions_each is not None:
            batch = some_captions(batch, self.caption_training.captions_each)
        picture, rows = self.decoder.look(self.features(batch.image)), self.rows(batch)
        logits, targets = self._decoded(picture, rows), rows.targets
        loss = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.caption_training.label_smoothing)
        loss = loss + self.further_loss(picture, rows)
        correct = (logits.detach().argmax(1) == targets).sum()
        return Means({"loss": loss, "acc": correct}, len(targets))

    def _self_critical_means(self, batch: CaptionBatch) -> Means:
        """Sum the loss and the reward of captions that the model draws; see the head of the file."""
        drawn = draw_captions(
            self.step,
            self.decoder.start(self.features(batch.image)),
            VOCABULARY,
            references(batch),
            self._frequencies,
            count=self.caption_training.self_critical,
            longest=self.search.longest,
        )
        words = sum(len(caption) + 1 for caption in drawn.captions)
        loss = -(drawn.advantage * drawn.log_probability).sum()
        return Means({"loss": loss, "reward": drawn.reward.mean() * words}, words)

    def further_loss(self, picture: Tensor, rows: CaptionRows) -> Tensor | float:
        """Compute a further loss of training, from what the decoder sees of images, (B, P); a hook for subclasses."""
        return 0.0

    def write(self, image: Tensor, search: Search | None = None) -> Sentences:
        """Generate a caption for each image, or for its features, by beam search; by the model's `search` if None."""
        state, search = self.decoder.start(self.features(image)), search or self.search
        return beam_search(self.step, state, VOCABULARY, **asdict(search))

    def draw(self, image: Tensor, **options: Any) -> Sentences:
        """Generate a caption for each image, or for its features, at random; see `sample` of `layers.beam_search`."""
        return sample(
            self.step, self.decoder.start(self.features(image)), VOCABULARY, longest=self.search.longest, **options
        )

    def step(self, state: State, words: Tensor) -> tuple[Tensor, State]:
        """Compute the log-probabilities of the next word, (N, V), and the state, after the words (N,)."""
        return self.decoder.log_probabilities(state, words)

    def caption(self, images: Sequence[Any], beam: int | None = None) -> list[CaptionPrediction]:
        """Describe images.

        Args:
            images: paths, PIL images or uint8 arrays.
            beam: beginnings that beam search keeps; None for the model's.

        Returns:
            A sentence with its log-probability for each image.

        Raises:
            UserError: the model was never trained, an image can't be read, or the beam is below 1.
        """
        search = self.search
        self.search = search if beam is None else replace(search, beam=beam)
        try:
            return self.predict(images)
        finally:
            self.search = search

    def predictions(self, batch: CaptionBatch) -> list[CaptionPrediction]:
        """Predict a caption for each image."""
        processor, sentences = self.require_processor(), self.write(batch.image)
        scores = sentences.log_probability.tolist()
        return [CaptionPrediction(processor.spell(w), s) for w, s in zip(sentences.lists(END), scores, strict=True)]

    def metrics(self) -> dict[str, Metric]:
        """Make the mean loss over true words, and the metrics of generated captions."""
        return {"loss": MeanMetric(nan_strategy=cast(Any, torch.inf)), "captions": CaptionRecords()}

    def update(self, metrics: Mapping[str, Metric], batch: CaptionBatch) -> None:
        """Add a batch to the metrics: the loss given the true words before, and captions written freely."""
        features = batch._replace(image=self.features(batch.image))
        losses = F.cross_entropy(self(features), self.rows(batch).targets, reduction="none")
        metrics["loss"].update(losses)
        sentences = self.write(features.image)
        metrics["captions"].update(sentences.lists(END), references(batch), sentences.log_probability, batch.index)

    def compute_metrics(self, metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
        """Compute loss, BLEU-1 to -4, ROUGE-L and CIDEr-D."""
        return {"loss": metrics["loss"].compute(), **metrics["captions"].compute()}

    def guessing_loss(self) -> float | None:
        """Compute the loss of equal shares for all words; None if training minimises another one; see `Task`."""
        return None if self.caption_training.self_critical else math.log(self.vocabulary_size)

    def monotony(self, split: str) -> str | None:
        """Return a clause that shows the caption if all images get the same; see `Task`."""
        records = cast(CaptionRecords, self.split_metrics(split)["captions"]).records
        captions = {tuple(record.words) for record in records}
        if len(records) < 2 or len(captions) > 1:
            return None
        return f"all images of {split} get the caption {self.require_processor().spell(records[0].words)!r}"

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield captions with their images, and a table of those of the test; see `caption_artifacts`."""
        records = cast(CaptionRecords, self.split_metrics(split)["captions"]).records
        return caption_artifacts(records, self.require_processor(), split)

    def imagenet_weights(self) -> Path:
        """Find torchvision's file for the encoder, downloaded unless there."""
        return self.encoder.imagenet_weights()

    @classmethod
    def form_of(cls, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments that give the encoder the form of a convnet; see `Task`."""
        if model == "convnet":
            return {"encoder": {"network": "convnet", "layers": arguments.get("layers")}}
        return super().form_of(model, arguments)

    def by_our_names(self, weights: Checkpoint | WeightsFile) -> dict[str, Tensor]:
        """Return the weights of a captioner, or of an encoder alone, by the names of this model."""
        tensors = weights.state_dict
        captioner = isinstance(weights, Checkpoint) and any(name.startswith("encoder.net.") for name in tensors)
        if captioner and self.encoder.network == "convnet":
            return tensors
        encoder = {f"encoder.{name}": weight for name, weight in self.encoder.by_our_names(weights).items()}
        return {**tensors, **encoder} if captioner else encoder


def some_captions(batch: CaptionBatch, count: int) -> CaptionBatch:
    """Choose `count` captions of each image at random, or all of an image that has fewer."""
    assert batch.words is not None and batch.length is not None and batch.image_index is not None
    image, length = batch.image_index, batch.length
    order = torch.rand(len(image), device=image.device).argsort()
    order = order[image[order].argsort(stable=True)]  # at random in each image
    captions = image.bincount(minlength=batch.size)
    place = torch.arange(len(image), device=image.device) - segment_starts(captions)[image]
    kept = torch.zeros_like(image, dtype=torch.bool).index_copy(0, order, place < count)
    words = batch.words[kept[segment_ids(length, len(batch.words))]]
    return batch._replace(words=words, length=length[kept], image_index=image[kept])


def references(batch: CaptionBatch) -> list[list[list[int]]]:
    """Group the word ids of the captions of a batch by image."""
    assert batch.words is not None and batch.length is not None and batch.image_index is not None
    captions_of: list[list[list[int]]] = [[] for _ in range(batch.size)]
    captions = torch.split(batch.words.cpu(), batch.length.tolist())
    for image, words in zip(batch.image_index.tolist(), captions, strict=True):
        captions_of[image].append(words.tolist())
    return captions_of


def caption_artifacts(records: list[CaptionRecord], processor: CaptionWriter, split: str) -> Iterator[Artifact]:
    """Yield the captions of a few images; of the test also the best and the worst by CIDEr-D and a table of all.

    Args:
        records: captions of the split.
        processor: spells them, and shows the images if the data has them.
        split: "val" or "test".
    """
    shown = {"captions": [records[i * len(records) // 4] for i in range(min(4, len(records)))]}
    if split == "test":
        ranked = sorted(records, key=lambda record: -record.cider)
        shown |= {"best": ranked[:SHOWN_EXTREMES], "worst": ranked[::-1][:SHOWN_EXTREMES]}
    for name, some in shown.items():
        rows = [_row(record, processor, split) for record in some]
        if rows and (image := processor.pictures.get(split)) is not None:
            yield Captions(
                [image(record.index) for record in some],
                [row.caption for row in rows],
                [row.truths for row in rows],
                name,
                [f"{row.file}: CIDEr-D {row.cider:.2f}" for row in rows],
            )
    if split == "test" and records:
        yield Table("predictions", CaptionRow._fields, [_row(record, processor, split) for record in records])


def _row(record: CaptionRecord, processor: CaptionWriter, split: str) -> CaptionRow:
    names = processor.files.get(split)
    return CaptionRow(
        str(record.index) if names is None else names[record.index],
        [processor.spell(words) for words in record.references],
        processor.spell(record.words),
        record.log_probability,
        record.cider,
    )
