"""Review of the labels of a data set: suspect labels, duplicates, samples whose words are unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.data.batches import Index
from lightning_nn.data.processor import SampleOrigin, Samples
from lightning_nn.metrics.confident_learning import NONE, confident_classes, confident_joint, self_confidence
from lightning_nn.tasks.artifacts import Mistake, Table
from lightning_nn.tasks.outcomes import origins_of, place_of

MOSTLY = 0.5  # share of unknown words above which a sample is listed


class CheckedSplit(NamedTuple):
    """N samples of a split with the probabilities of models that were not trained on them.

    Attributes:
        name: of the split.
        samples: the samples; None if nothing is known of where they come from.
        label: int64 (N,), their classes.
        probability: float (N, K), of each class, out of sample.
        copies: for each sample the number of a group of samples with equal contents, int64 (N,), -1 for single ones;
            groups are numbered over all splits.
        unknown: share of unknown words of each sample, float (N,), 0 to 1; zeros if they are no texts.
    """

    name: str
    samples: Samples | None
    label: Tensor
    probability: Tensor
    copies: Index
    unknown: NDArray[np.float64]


class LabelReview:
    """Labels of a data set, the most suspect first.

    Args:
        splits: all splits.
        categories: names of the K classes.

    Attributes:
        order: int64 (N,), samples of all splits, suspect ones first, each part by the probability of its label.
        suspect: bool (N,), whether a sample is in another class with confidence.
    """

    def __init__(self, splits: Sequence[CheckedSplit], categories: Sequence[str]) -> None:
        self.splits, self.categories = splits, categories
        self.label = torch.cat([split.label for split in splits])
        self.probability = torch.cat([split.probability for split in splits])
        self.copies = np.concatenate([split.copies for split in splits])
        self.unknown = np.concatenate([split.unknown for split in splits])
        confident = confident_classes(self.probability, self.label)
        self.suspect = (confident != NONE) & (confident != self.label)
        likeliest = self.probability.argmax(1)
        self.suggestion = torch.where(self.suspect, confident, likeliest)
        self.confidence = self_confidence(self.probability, self.label)
        self.order = torch.from_numpy(np.lexsort((self.confidence.numpy(), ~self.suspect.numpy())))

    def __len__(self) -> int:
        return len(self.label)

    @property
    def pairs(self) -> list[tuple[str, str, int]]:
        """Label, suggested label and number of suspect samples of each pair of classes, the most frequent first."""
        joint = confident_joint(self.probability, self.label).fill_diagonal_(0)
        counts = [(int(joint[i, j]), i, j) for i, j in joint.nonzero().tolist()]
        ordered = sorted(counts, key=lambda count: (-count[0], *count[1:]))
        return [(self.categories[i], self.categories[j], count) for count, i, j in ordered]

    @property
    def groups(self) -> list[Index]:
        """Samples of equal contents, int64 each: groups whose labels differ first, then those in several splits."""
        order = np.argsort(self.copies, kind="stable")
        order = order[self.copies[order] >= 0]
        groups = np.split(order, np.flatnonzero(np.diff(self.copies[order])) + 1) if len(order) else []
        return sorted(groups, key=lambda group: (not self.differs(group), not self.crosses(group), int(group[0])))

    def differs(self, group: Index) -> bool:
        """Return whether the labels of some samples differ."""
        return len(set(self.label[torch.from_numpy(group)].tolist())) > 1

    def crosses(self, group: Index) -> bool:
        """Return whether some samples are in different splits."""
        return len({self._split(number)[0].name for number in group.tolist()}) > 1

    @property
    def unreadable(self) -> Index:
        """Samples most of whose words are unknown, int64, those with the largest share first."""
        order = np.argsort(-self.unknown, kind="stable")
        return order[self.unknown[order] > MOSTLY]

    def tables(self) -> list[Table]:
        """Make the tables: all labels by rank, the duplicates by group, the samples with unknown words."""
        origins, label, category = self._origins(), self.label.tolist(), self.categories
        suggested = self.suggestion.tolist()
        columns = ("split", "file", "line", "text", "label")

        def sample(number: int) -> tuple[Any, ...]:
            origin = origins[number]
            line = "" if origin.line is None else origin.line
            return self._split(number)[0].name, origin.file, line, origin.text, category[label[number]]

        ranked: list[Sequence[Any]] = [
            (
                rank,
                int(self.suspect[i]),
                *sample(i),
                category[suggested[i]] if suggested[i] != label[i] else "",
                float(self.confidence[i]),
                float(self.probability[i, suggested[i]]),
            )
            for rank, i in enumerate(self.order.tolist(), 1)
        ]
        doubles: list[Sequence[Any]] = [
            (number, int(self.differs(group)), *sample(i))
            for number, group in enumerate(self.groups, 1)
            for i in group.tolist()
        ]
        unknown: list[Sequence[Any]] = [(float(self.unknown[i]), *sample(i)) for i in self.unreadable.tolist()]
        probabilities = ("suggested_label", "probability", "suggested_probability")
        return [
            Table("labels", ("rank", "suspect", *columns, *probabilities), ranked),
            Table("duplicates", ("group", "labels_differ", *columns), doubles),
            Table("unknown_words", ("unknown", *columns), unknown),
        ]

    def suspects(self, most: int, look: Callable[[Any], Any]) -> list[Mistake]:
        """Return the most suspect samples as mistakes, whose category is the suggested label.

        Args:
            most: how many, at most.
            look: returns what can be shown of a batch of one sample.
        """
        return [self._shown(number, look) for number in self.order[: min(most, int(self.suspect.sum()))].tolist()]

    def shown(self, numbers: Index) -> list[Mistake]:
        """Return some samples as mistakes, without pictures."""
        return [self._shown(number, lambda batch: None) for number in numbers.tolist()]

    def _shown(self, number: int, look: Callable[[Any], Any]) -> Mistake:
        split, index = self._split(number)
        (origin,) = origins_of(split.samples, torch.tensor([index]))
        suggested = int(self.suggestion[number])
        return Mistake(
            f"{split.name}  {place_of(origin, index)}",
            origin.text,
            self.categories[int(self.label[number])],
            self.categories[suggested],
            float(self.probability[number, suggested]),
            float(self.confidence[number]),
            None if split.samples is None else look(split.samples[np.array([index])]),
        )

    def _split(self, number: int) -> tuple[CheckedSplit, int]:
        """Return the split of a sample, and its index in it."""
        for split in self.splits:
            if number < len(split.label):
                return split, number
            number -= len(split.label)
        raise IndexError(number)

    def _origins(self) -> list[SampleOrigin]:
        return [origin for split in self.splits for origin in origins_of(split.samples, torch.arange(len(split.label)))]
