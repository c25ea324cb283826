"""Base of the classifiers of texts: word vectors, and explanations by attention or by the gates of recurrent layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, cast

import torch
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from lightning_nn.data.batches import TextBatch
from lightning_nn.data.processor import Described, Processor, UnknownWords
from lightning_nn.errors import UserError
from lightning_nn.layers.attribution import integrated_gradients
from lightning_nn.layers.embedding import WordEmbedding, initialise_rows
from lightning_nn.layers.small_embedding import FLOAT_BYTES, LABELLED, SmallTable
from lightning_nn.tasks.artifacts import Artifact, Attention, Explanation, GateExplanation, Gates, GradientExplanation
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.padded_text import PaddedClassifier

if TYPE_CHECKING:
    from typing_extensions import Self


AnyExplanation = TypeVar("AnyExplanation", Explanation, GateExplanation, GradientExplanation)


class AttentiveOutput(NamedTuple):
    """Output of `forward(batch, return_attention=True)`.

    Attributes:
        logits: (D, K).
        word_attention: (W,), weight of each word, summing to 1 within a sentence.
        sentence_attention: (S,), weight of each sentence, summing to 1 within a document.
    """

    logits: Tensor
    word_attention: Tensor
    sentence_attention: Tensor


class _Document(NamedTuple):
    """Fields that every explanation of a document has; see `Explanation`."""

    sentences: list[list[str]]
    category: str
    probability: float
    truth: str | None


class Tokenizer(Protocol):
    """The part of a text processor that explanations need."""

    def tokens(self, text: str) -> list[list[str]]:
        """Split a text into the words of each sentence."""
        ...


class TextClassifier(Classifier):
    """A classifier over word vectors; a subclass creates `embedding`.

    Attributes:
        embedding: the word embedding.
        attends: True if `forward(batch, return_attention=True)` returns an `AttentiveOutput`.
        gate: name of the gate that `kept` computes; empty if there is none.
        short_recipe: recipe for texts of one sentence, such as titles; None if the model has none.
    """

    batch_type = TextBatch
    exportable = False  # the number of steps is that of the longest sequence
    inputs_hint = '--data.text "……"'
    row_labels: Mapping[str, str] = {
        "embedding.table.weight": "words",
        **dict.fromkeys((f"embedding.table.{name}" for name in LABELLED), "words"),
        "embedding.characters.weight": "characters",
        "output.weight": "categories",
        "output.bias": "categories",
    }
    processor_buffers: ClassVar[frozenset[str]] = frozenset({"embedding.word_characters", "embedding.ngrams.codes"})
    derived_buffers: ClassVar[frozenset[str]] = processor_buffers
    embedding: WordEmbedding
    attends: bool = False
    gate: str = ""

    def padded(self) -> PaddedClassifier | None:
        """Return the network over padded documents, for other programs; None if this model has no such form."""
        return None

    def kept(self, batch: TextBatch) -> dict[str, Tensor]:
        """Compute the share of its state that each recurrent layer keeps at each word, (W,) each, by its name."""
        return {}

    @property
    def explains(self) -> Literal["attention", "gates"] | None:
        """Kind of explanation that `explain` gives: attention, or without it the gate that keeps the state."""
        return "attention" if self.attends else "gates" if self.gate else None

    @classmethod
    def for_data(cls, data: Described, **arguments: Any) -> Self:
        """Make a model for a data set, with the word vectors that its data begins with; see `Task.for_data`.

        Raises:
            UserError: there are such vectors, but no plain table for them, or one of another width.
        """
        model = super().for_data(data, **arguments)
        vectors: Any = getattr(data, "word_vectors", None)
        if vectors is not None:
            table = model.embedding.table
            if not isinstance(table, nn.Embedding):
                raise UserError(f"{vectors.option} needs a row for each word: --model.embedding.kind plain")
            rows = torch.from_numpy(vectors.vectors(table.embedding_dim))
            initialise_rows(table, rows, torch.from_numpy(vectors.covered))
        return model

    def summary(self) -> list[tuple[str, ...]]:
        """Return a table of what a small form of the word vectors saves; an empty list for the plain table."""
        table, characters = self.embedding.table, self.embedding.characters
        if not isinstance(table, SmallTable):
            return []
        deployed = table.deployed_bytes + (0 if characters is None else FLOAT_BYTES * characters.weight.numel())
        parameters = [*table.parameters(), *([] if characters is None else characters.parameters())]
        plain = table.num_embeddings * table.embedding_dim
        return [
            ("word vectors", "parameters", "bytes in predictions", "times smaller"),
            ("plain", f"{plain:,}", f"{FLOAT_BYTES * plain:,}", "1.0"),
            (
                table.kind if characters is None else f"{table.kind}, with characters",
                f"{sum(parameter.numel() for parameter in parameters):,}",
                f"{deployed:,}",
                f"{FLOAT_BYTES * plain / deployed:.1f}",
            ),
        ]

    def tables(self) -> list[nn.Embedding]:
        """List the tables of word vectors; see `Task`."""
        return [module for module in self.embedding.modules() if isinstance(module, nn.Embedding)]

    def on_processor(self, processor: Processor) -> None:
        """Set how the words are spelled in the embedding.

        Raises:
            UserError: the embedding was made for another vocabulary.
        """
        rows = processor.row_labels()
        if "words" not in rows:
            return
        try:
            self.embedding.set_words(rows["words"], rows["characters"])
        except ValueError as error:
            remedy = f"make it with {type(self).__name__}.for_data(data)"
            raise UserError(f"this {type(self).__name__} belongs to other data: {error}; {remedy}") from None

    def unknown_words(self) -> UnknownWords | None:
        """Return the count of unknown words in the inputs of predict so far; see `Task`."""
        return getattr(self.require_processor(), "unknown_words", None)

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the confusion matrix, and the attention or the gates over a few documents of the split."""
        yield from super().artifacts(split)
        if self.explains and self._runs_alone:
            artifact = Attention([]) if self.attends else Gates([])
            with self.trainer.precision_plugin.forward_context():
                for batch in self.shown.get(split, []):
                    if isinstance(artifact, Attention):
                        artifact.documents.append(self._of_split(self.explanations(batch)[0], batch, split))
                    else:
                        artifact.documents.append(self._of_split(self.gate_explanations(batch)[0], batch, split))
            yield artifact

    @property
    def _runs_alone(self) -> bool:
        # A strategy that shards the weights can't run the model on one process.
        return isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy)

    def look(self, batch: TextBatch) -> Explanation | None:
        """Return the words of a test document with their weights; None without attention; see `Classifier`."""
        if not (self.attends and self._runs_alone):
            return None
        batch = self.transfer_batch_to_device(batch, self.device, 0)
        with self.trainer.precision_plugin.forward_context():
            return self._of_split(self.explanations(batch)[0], batch, "test")

    def _of_split(self, explanation: AnyExplanation, batch: TextBatch, split: str) -> AnyExplanation:
        """Put an explanation of a batch of one into the words of the document, if the data has kept them."""
        words_of = getattr(self.require_processor(), "documents", {}).get(split)
        if words_of is None or batch.index is None:
            return explanation
        return self._in_own_words(explanation, words_of(int(batch.index)))

    @torch.inference_mode()
    def explain(self, texts: list[str]) -> list[Explanation] | list[GateExplanation]:
        """Predict classes of texts, with the weight of every word and sentence, or what is kept at every word.

        Args:
            texts: any number of texts; each is a batch of its own.

        Raises:
            UserError: the model has neither attention nor gates, or was never trained, or an input is not a text.
        """
        if self.attends or not self.gate:
            return [self._in_own_words(self.explanations(batch)[0], words) for batch, words in self._read(texts)]
        return [self._in_own_words(self.gate_explanations(batch)[0], words) for batch, words in self._read(texts)]

    def explain_by_gradients(self, texts: list[str]) -> list[GradientExplanation]:
        """Predict classes of texts, with what each word contributes to the predicted class; see `contributions`.

        Args:
            texts: any number of texts; each is a batch of its own.

        Raises:
            UserError: the model was never trained, or an input is not a text.
        """
        return [self._in_own_words(self.gradient_explanations(batch)[0], words) for batch, words in self._read(texts)]

    def _read(self, texts: list[str]) -> Iterator[tuple[TextBatch, list[list[str]]]]:
        """Yield each text as a batch of its own, with the words of its sentences."""
        processor = self.require_processor()
        for text in texts:
            batch = self.transfer_batch_to_device(processor.encode([text]), self.device, 0)
            yield batch, cast(Tokenizer, processor).tokens(text)

    def _in_own_words(self, explanation: AnyExplanation, sentences: list[list[str]]) -> AnyExplanation:
        """Replace the words of the vocabulary by those of the text, and name the unknown ones."""
        unknown = self.require_processor().row_labels()["words"][0]
        pairs = zip(itertools.chain(*explanation.sentences), itertools.chain(*sentences), strict=False)
        strange = frozenset(word for known, word in pairs if known == unknown)
        return explanation._replace(sentences=sentences, unknown=strange)

    def contributions(self, batch: TextBatch, category: Tensor, steps: int = 32) -> Tensor:
        """Attribute the log probability of a class to the words of each document, by integrated gradients.

        The baseline is a document of the same length in which every word is unknown. The contributions of a document
        sum to the difference of the log probabilities of both; negative ones speak against the class.

        Args:
            batch: documents, on the model's device.
            category: int64 (D,), the class of each document.
            steps: see `integrated_gradients`.

        Returns:
            The contribution of each word, (W,).
        """
        with self.evaluating(), torch.no_grad():
            x = self.embedding(batch.words, batch.sentences)
            baseline = self.embedding(torch.zeros_like(batch.words), batch.sentences)

            def score(vectors: Tensor) -> Tensor:
                with self.embedding.replaced(vectors):
                    logits = self(batch)
                return cast(Tensor, logits.log_softmax(1).gather(1, category[:, None]))

            with torch.backends.cudnn.flags(enabled=False):  # whose recurrent layers have no gradient in evaluation
                return integrated_gradients(score, x, baseline, steps).sum(1)

    @torch.inference_mode()
    def explanations(self, batch: TextBatch) -> list[Explanation]:
        """Predict classes of an encoded batch, with the weight of every word and sentence.

        Words are shown as the vocabulary has them, unknown words as the unknown word.

        Args:
            batch: documents, on the model's device.

        Raises:
            UserError: the model has no attention or was never trained.
        """
        if not self.attends:
            raise UserError(f"this {type(self).__name__} has no attention to show")
        with self.evaluating():
            logits, word_weights, sentence_weights = self(batch, return_attention=True)
        weights = iter([w.tolist() for w in word_weights.float().split(batch.sentences.tolist())])
        return [
            Explanation(
                word_weights=list(itertools.islice(weights, len(shares))),
                sentence_weights=shares.tolist(),
                **document._asdict(),
            )
            for shares, document in zip(
                sentence_weights.float().split(batch.documents.tolist()), self._documents(batch, logits), strict=True
            )
        ]

    @torch.inference_mode()
    def gate_explanations(self, batch: TextBatch) -> list[GateExplanation]:
        """Predict classes of an encoded batch, with the share of its state that each layer keeps at every word.

        Args:
            batch: documents, on the model's device.

        Raises:
            UserError: the model has no gates or was never trained.
        """
        if not self.gate:
            raise UserError(f"this {type(self).__name__} has neither attention nor gates to show")
        with self.evaluating():
            logits, kept = self(batch), self.kept(batch)
        documents = self._documents(batch, logits)
        lengths = [sum(map(len, document.sentences)) for document in documents]
        of_documents = {name: iter(torch.split(values.float(), lengths)) for name, values in kept.items()}
        return [
            GateExplanation(
                kept={name: next(values).tolist() for name, values in of_documents.items()},
                gate=self.gate,
                **document._asdict(),
            )
            for document in documents
        ]

    @torch.no_grad()
    def gradient_explanations(self, batch: TextBatch) -> list[GradientExplanation]:
        """Predict classes of an encoded batch, with the contribution of every word, and its attention if there is any.

        Args:
            batch: documents, on the model's device.

        Raises:
            UserError: the model was never trained.
        """
        with self.evaluating():
            logits, weights = self(batch), batch.words.new_empty(0, dtype=torch.float32)
            if self.attends:
                logits, of_words, of_sentences = self(batch, return_attention=True)
                weights = of_words.float() * of_sentences.float().repeat_interleave(batch.sentences)
        documents = self._documents(batch, logits)
        lengths = [sum(map(len, document.sentences)) for document in documents]
        contributions = torch.split(self.contributions(batch, logits.argmax(1)).float(), lengths)
        attention = torch.split(weights, lengths) if self.attends else [weights] * len(lengths)
        return [
            GradientExplanation(contributions=values.tolist(), attention=seen.tolist(), **document._asdict())
            for document, values, seen in zip(documents, contributions, attention, strict=True)
        ]

    def _documents(self, batch: TextBatch, logits: Tensor) -> list[_Document]:
        """Return the words of each document and its predicted class."""
        processor = self.require_processor()
        best = self.calibrated_probabilities(logits).max(1)
        vocabulary = processor.row_labels()["words"]
        counts, lengths = batch.documents.tolist(), batch.sentences.tolist()
        words = iter([[vocabulary[i] for i in ids.tolist()] for ids in torch.split(batch.words, lengths)])
        labels = [None] * len(counts) if batch.label is None else batch.label.tolist()
        return [
            _Document(
                sentences=list(itertools.islice(words, count)),
                category=processor.categories[int(category)],
                probability=float(probability),
                truth=None if label is None else processor.categories[label],
            )
            for count, probability, category, label in zip(counts, best.values, best.indices, labels, strict=True)
        ]
