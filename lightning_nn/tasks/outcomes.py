"""Predictions of a classifier for every sample of a split: as a table, and the most confident of its mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from lightning_nn.data.batches import Index
from lightning_nn.data.processor import SampleOrigin, Samples
from lightning_nn.metrics.calibration import expected_calibration_error, reliability
from lightning_nn.tasks.artifacts import Calibration, Mistake, Mistakes, Table

SHOWN_MISTAKES = 40
MOST_COLUMNS = 100  # classes up to which the table has the probability of each


class Outcomes(NamedTuple):
    """Predictions for N samples of a split, ordered by their index.

    Attributes:
        index: int64 (N,), of the samples in their split.
        label: int64 (N,), their classes.
        loss: float32 (N,), whose mean is the loss of the split.
        probability: float32 (N, K), of each class, as predict gives it: calibrated.
        raw: float32 (N, K), of each class at temperature 1.
    """

    index: Tensor  # type: ignore[assignment]
    label: Tensor
    loss: Tensor
    probability: Tensor
    raw: Tensor

    @property
    def predicted(self) -> Tensor:
        """The most probable class of each sample, int64 (N,)."""
        return self.probability.argmax(1)

    def calibration(self, temperature: float) -> Calibration:
        """Measure how well calibrated and raw probabilities say how many predictions are right.

        Args:
            temperature: of the calibrated ones.
        """
        is_right, shares = self.predicted == self.label, [p.amax(1) for p in (self.probability, self.raw)]
        bins, raw_bins = (reliability(share, is_right) for share in shares)
        error, raw_error = (expected_calibration_error(share, is_right) for share in shares)
        return Calibration(bins, raw_bins, error, raw_error, temperature)

    def mistakes(self, most: int) -> Index:
        """Return the positions of the mistakes with the largest probability, at most so many, the largest first."""
        wrong = (self.predicted != self.label).nonzero().flatten()
        order = self.probability[wrong].amax(1).argsort(descending=True, stable=True)
        return wrong[order[:most]].numpy()


def origins_of(samples: Samples | None, index: Tensor) -> list[SampleOrigin]:
    """Return where samples come from; nothing is known of those of a loader of one's own.

    Args:
        samples: of the split; None for another loader.
        index: int64 (N,), of the samples.
    """
    return [SampleOrigin()] * len(index) if samples is None else samples.origins(index.numpy())


def place_of(origin: SampleOrigin, number: int) -> str:
    """Return file and line of a sample, or its number in the split, from 1, if it has neither."""
    return f"{origin.file}:{origin.line}" if origin.line else origin.file or f"sample {number + 1:,}"


def sample_table(split: str, index: Tensor, samples: Samples | None, values: Mapping[str, Sequence[Any]]) -> Table:
    """Make the table predictions.csv, a row for each sample.

    Args:
        split: name of the split.
        index: int64 (N,), of the samples in it.
        samples: the split; None for a loader of one's own.
        values: of each sample, by the name of the column.
    """
    origins = origins_of(samples, index)
    columns: dict[str, Sequence[Any]] = {"split": [split] * len(index), "sample": (index + 1).tolist()}
    for name in SampleOrigin._fields:
        cells = [getattr(origin, name) for origin in origins]
        if any(cells):
            columns[name] = ["" if cell is None else cell for cell in cells]
    columns |= values
    return Table("predictions", [*columns], [*zip(*columns.values(), strict=True)])


def outcome_table(outcomes: Outcomes, categories: list[str], split: str, samples: Samples | None) -> Table:
    """Make the table of a classifier: truth, prediction and their probabilities, loss, the probability of each class.

    Args:
        outcomes: of the split.
        categories: names of the K classes.
        split: its name.
        samples: the split; None for a loader of one's own.
    """
    probability, label = outcomes.probability, outcomes.label
    values: dict[str, Sequence[Any]] = {
        "truth": [categories[k] for k in label.tolist()],
        "prediction": [categories[k] for k in outcomes.predicted.tolist()],
        "right": [int(is_right) for is_right in (outcomes.predicted == label).tolist()],
        "probability": probability.amax(1).tolist(),
        "truth_probability": probability.gather(1, label[:, None]).squeeze(1).tolist(),
        "loss": outcomes.loss.tolist(),
    }
    if len(categories) <= MOST_COLUMNS:
        values |= {f"p({name})": column for name, column in zip(categories, probability.T.tolist(), strict=True)}
    return sample_table(split, outcomes.index, samples, values)


def confident_mistakes(
    outcomes: Outcomes, categories: list[str], samples: Samples | None, look: Callable[[Any], Any]
) -> Mistakes:
    """Return the most confident mistakes, at most `SHOWN_MISTAKES`.

    Args:
        outcomes: of a split.
        categories: names of the K classes.
        samples: the split; None for a loader of one's own, of which nothing is shown.
        look: returns what can be shown of a batch of one sample.
    """
    chosen, mistakes = outcomes.mistakes(SHOWN_MISTAKES), []
    index, label, predicted = outcomes.index[chosen], outcomes.label, outcomes.predicted
    for i, origin, number in zip(chosen, origins_of(samples, index), index, strict=True):
        place = place_of(origin, int(number))
        mistakes.append(
            Mistake(
                place,
                origin.text,
                categories[int(label[i])],
                categories[int(predicted[i])],
                float(outcomes.probability[i].max()),
                float(outcomes.probability[i, label[i]]),
                None if samples is None else look(samples[number[None].numpy()]),
            )
        )
    return Mistakes(mistakes, int((predicted != label).sum()), len(label))
