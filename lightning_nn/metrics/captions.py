"""Metrics of captions over word ids: BLEU-1 to -4, ROUGE-L and CIDEr-D, as pycocoevalcap computes them.

METEOR and SPICE are left out: they need Java and, for their dictionaries and models, downloads.

BLEU (Papineni et al. 2002) is that of the corpus, with the closest reference length, the shorter of two. ROUGE-L (Lin
2004) and CIDEr-D (Vedantam, Zitnick and Parikh 2015, arXiv:1411.5726) are means over images. BLEU and ROUGE-L go from 0
to 1; CIDEr-D from 0 to 10, about 0.5 for a fair model of Flickr8k. All depend on what counts as a word: state it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

ORDERS = 4  # longest n-grams
_TINY, _SMALL = 1e-15, 1e-9  # against divisions by zero, as in pycocoevalcap
_BETA = 1.2  # weight of recall in ROUGE-L
_SIGMA = 6.0  # of the penalty on lengths in CIDEr-D


class CaptionCorpus(NamedTuple):
    """Generated captions and references of N images, flat; of each image the generated caption comes first.

    Attributes:
        captions: (N,), number of captions of each image, at least 2.
        length: (M,), words of each caption.
        words: (W,), ids of all words, 0 or above.
    """

    captions: Ids
    length: Ids
    words: Ids

    @classmethod
    def of(cls, candidates: Sequence[Sequence[int]], references: Sequence[Sequence[Sequence[int]]]) -> CaptionCorpus:
        """Make a corpus.

        Args:
            candidates: word ids of the generated caption of each image.
            references: word ids of one or more references of each image.

        Raises:
            ValueError: their numbers differ, or an image has no reference.
        """
        if len(candidates) != len(references) or not all(references):
            raise ValueError(
                f"{len(candidates)} captions need as many lists of references, none empty: {references!r:.80}"
            )
        captions = [c for one, some in zip(candidates, references, strict=True) for c in (one, *some)]
        return cls(
            np.array([1 + len(some) for some in references], np.int64),
            np.array([len(caption) for caption in captions], np.int64),
            np.array(list(chain.from_iterable(captions)), np.int64),
        )

    @property
    def image(self) -> Ids:
        """Index of the image of each caption, (M,)."""
        return np.repeat(np.arange(len(self.captions)), self.captions)

    @property
    def is_candidate(self) -> NDArray[np.bool_]:
        """True for each generated caption, (M,)."""
        first = np.zeros(len(self.length), bool)
        first[np.cumsum(self.captions) - self.captions] = True
        return first


class _Grams(NamedTuple):
    """Distinct n-grams of each caption, by caption, then by n-gram.

    Attributes:
        caption: (G,), index of the caption.
        gram: (G,), number of the n-gram, 0 to `distinct` - 1.
        times: (G,), how often it occurs there.
        place: (`distinct`,), index of the first word of each n-gram where it occurs first.
    """

    caption: Ids
    gram: Ids
    times: Ids
    place: Ids

    @property
    def distinct(self) -> int:
        """Number of different n-grams in the corpus."""
        return len(self.place)


def _grams(corpus: CaptionCorpus) -> list[_Grams]:
    """Count the n-grams of each caption for n = 1 to 4."""
    caption = np.repeat(np.arange(len(corpus.length)), corpus.length)
    _, first, words = np.unique(corpus.words, return_index=True, return_inverse=True)
    start, gram = np.arange(len(words)), words
    orders: list[_Grams] = []
    for order in range(ORDERS):
        if order:
            inside = start + order < len(words)
            inside[inside] = caption[start[inside] + order] == caption[start[inside]]
            start, gram = start[inside], gram[inside]
            pair = gram * len(orders[0].place) + words[start + order]
            _, first, gram = np.unique(pair, return_index=True, return_inverse=True)
        distinct = max(len(first), 1)
        keys, times = np.unique(caption[start] * distinct + gram, return_counts=True)
        orders.append(_Grams(keys // distinct, keys % distinct, times, start[first]))
    return orders


class DocumentFrequencies:
    """Number of images in whose references an n-gram occurs, for n = 1 to 4.

    Args:
        references: word ids of the references of each image.
    """

    def __init__(self, references: Iterable[Sequence[Sequence[int]]]) -> None:
        self._documents: Counter[tuple[int, ...]] = Counter()
        self.images = 0
        for captions in references:
            self.images += 1
            self._documents.update(
                {
                    tuple(caption[i : i + order])
                    for caption in captions
                    for order in range(1, ORDERS + 1)
                    for i in range(len(caption) + 1 - order)
                }
            )

    def of(self, words: Ids, place: Ids, order: int) -> Ids:
        """Look up the n-grams (G,) of `order` words that begin at each `place` of `words`."""
        grams = map(tuple, words[place[:, None] + np.arange(order)].tolist())
        return np.array([self._documents[gram] for gram in grams], np.int64)


def brevity_penalty(corpus: CaptionCorpus) -> float:
    """Compute the factor on BLEU of a corpus whose generated captions are shorter than their references, 0 to 1."""
    generated = corpus.is_candidate
    length = corpus.length[generated]
    apart = np.abs(corpus.length - np.repeat(length, corpus.captions))
    order = np.lexsort((corpus.length, apart, generated, corpus.image))
    closest = corpus.length[order][np.cumsum(corpus.captions) - corpus.captions]
    ratio = (length.sum() + _TINY) / (closest.sum() + _SMALL)
    return math.exp(1 - 1 / ratio) if ratio < 1 else 1.0


def bleu(corpus: CaptionCorpus) -> Floats:
    """Compute BLEU-1 to -4 of a corpus, (4,), 0 to 1; above 0 even where no n-gram is right, as in pycocoevalcap."""
    return _bleu(corpus, _right_grams(corpus))


def _bleu(corpus: CaptionCorpus, right: list[int]) -> Floats:
    length, precision, scores = corpus.length[corpus.is_candidate], 1.0, []
    for order, correct in enumerate(right):
        precision *= float(correct + _TINY) / (np.maximum(length - order, 0).sum() + _SMALL)
        scores.append(precision ** (1 / (order + 1)))
    return np.array(scores) * brevity_penalty(corpus)


def _right_grams(corpus: CaptionCorpus) -> list[int]:
    """Count the n-grams of all generated captions that a reference of their image has, for n = 1 to 4."""
    image, generated, right = corpus.image, corpus.is_candidate, []
    for grams in _grams(corpus):
        key, is_generated = image[grams.caption] * grams.distinct + grams.gram, generated[grams.caption]
        keys, place = np.unique(key, return_inverse=True)
        most = np.zeros(len(keys), np.int64)  # in a single reference
        np.maximum.at(most, place[~is_generated], grams.times[~is_generated])
        right.append(int(np.minimum(most[place[is_generated]], grams.times[is_generated]).sum()))
    return right


def rouge_l(corpus: CaptionCorpus) -> Floats:
    """Compute ROUGE-L of each image, (N,), 0 to 1: best precision and best recall over its references."""
    captions = [words.tolist() for words in np.split(corpus.words, np.cumsum(corpus.length)[:-1])]
    scores, start = [], 0
    for count in corpus.captions.tolist():
        candidate, *references = captions[start : start + count]
        start += count
        common = _common_lengths(candidate, references)
        precision = max(common) / max(len(candidate), 1)
        recall = max(shared / max(len(some), 1) for shared, some in zip(common, references, strict=True))
        both = recall + _BETA**2 * precision
        scores.append((1 + _BETA**2) * precision * recall / both if both else 0.0)
    return np.array(scores)


def _common_lengths(one: list[int], others: list[list[int]]) -> list[int]:
    """Compute the lengths of longest common subsequences, a row of the table a word in the bits of an integer.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    where: dict[int, int] = {}
    for place, word in enumerate(one):
        where[word] = where.get(word, 0) | 1 << place
    all_bits, lengths = (1 << len(one)) - 1, []
    for other in others:
        row = all_bits
        for word in other:
            matched = row & where.get(word, 0)
            row = (row + matched) | (row - matched)
        lengths.append(len(one) - (row & all_bits).bit_count())
    return lengths


def cider_d(corpus: CaptionCorpus, frequencies: DocumentFrequencies | None = None) -> Floats:
    """Compute CIDEr-D of each image, (N,), 0 to 10.

    Args:
        corpus: the captions.
        frequencies: document frequencies; None for those of the references of the corpus.
    """
    image, generated = corpus.image, corpus.is_candidate
    images, bigrams = len(corpus.captions), np.maximum(corpus.length - 1, 0)
    of_candidate = np.flatnonzero(generated)[image]  # of the image of each caption
    penalty = np.exp(-np.square(bigrams - bigrams[of_candidate]) / (2 * _SIGMA**2))
    total = np.zeros(len(corpus.length))
    documents_in_all = images if frequencies is None else frequencies.images
    for order, grams in enumerate(_grams(corpus), 1):
        is_generated = generated[grams.caption]
        key = image[grams.caption] * grams.distinct + grams.gram
        if frequencies is None:
            documents = np.bincount(np.unique(key[~is_generated]) % max(grams.distinct, 1), minlength=grams.distinct)
        else:
            documents = frequencies.of(corpus.words, grams.place, order)
        weight = grams.times * (math.log(max(documents_in_all, 1)) - np.log(np.maximum(documents, 1)))[grams.gram]
        norm = np.sqrt(np.bincount(grams.caption, np.square(weight), len(total)))
        in_candidate = _look_up(key[is_generated], weight[is_generated], key)
        shared = np.bincount(grams.caption, np.minimum(in_candidate, weight) * weight, len(total))
        norms = norm * norm[of_candidate]
        total += np.divide(shared, norms, out=np.zeros(len(total)), where=norms != 0) * penalty
    total[generated] = 0
    return 10 / ORDERS * np.bincount(image, total, images) / (corpus.captions - 1)


def _look_up(keys: Ids, values: Floats, wanted: Ids) -> Floats:
    """Return the value of each wanted key, 0 for those that are not there; keys ascend."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


class CaptionScores(Metric):
    """BLEU-1 to -4, ROUGE-L and CIDEr-D of generated captions; several processes give those of one.

    Attributes:
        captions, length, words: as in `CaptionCorpus`, in the order of the updates.
    """

    full_state_update = False
    lists = dict.fromkeys(CaptionCorpus._fields, torch.int64)  # states, by name, and their types
    captions: list[Tensor]
    length: list[Tensor]
    words: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in self.lists:
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forget all images; a process that gets none takes part with empty tensors."""
        super().reset()
        for name, dtype in self.lists.items():
            getattr(self, name).append(torch.zeros(0, dtype=dtype, device=self.device))

    def update(self, candidates: Sequence[Sequence[int]], references: Sequence[Sequence[Sequence[int]]]) -> None:
        """Add images.

        Args:
            candidates: word ids of the generated caption of each image.
            references: word ids of one or more references of each image.
        """
        for name, values in CaptionCorpus.of(candidates, references)._asdict().items():
            getattr(self, name).append(torch.from_numpy(values).to(self.device))

    def corpus(self) -> CaptionCorpus:
        """Return what was added so far."""
        return CaptionCorpus(*(dim_zero_cat(getattr(self, name)).cpu().numpy() for name in CaptionCorpus._fields))

    def compute(self) -> dict[str, Tensor]:
        """Compute bleu1 to bleu4, bp (their brevity penalty), rouge_l and cider (CIDEr-D), float32 scalars.

        BLEU-n is 0 if no n-gram is right.
        """
        corpus = self.corpus()
        right = _right_grams(corpus)
        scores = {f"bleu{n}": score * (right[n - 1] > 0) for n, score in enumerate(_bleu(corpus, right), 1)}
        scores |= {"bp": np.float64(brevity_penalty(corpus))}
        scores |= {"rouge_l": rouge_l(corpus).mean(), "cider": cider_d(corpus).mean()}
        return {name: torch.tensor(score, dtype=torch.float32, device=self.device) for name, score in scores.items()}

    def cider_each(self) -> Tensor:
        """Compute CIDEr-D of each image in the order of the updates, float32 (N,)."""
        return torch.from_numpy(cider_d(self.corpus())).to(self.device, torch.float32)


class CaptionRecord(NamedTuple):
    """A generated caption.

    Attributes:
        index: of the image in its split.
        words: ids of the caption.
        references: ids of the captions by people.
        log_probability: of the caption by the model.
        cider: CIDEr-D of the caption.
    """

    index: int  # type: ignore[assignment]
    words: list[int]
    references: list[list[int]]
    log_probability: float
    cider: float


class CaptionRecords(CaptionScores):
    """`CaptionScores` that keeps what it has measured, of all processes.

    Attributes:
        records: of the images at the last `compute`, ordered by their index.
    """

    lists = CaptionScores.lists | {"index": torch.int64, "log_probability": torch.float32}
    index: list[Tensor]
    log_probability: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.records: list[CaptionRecord] = []

    def update(  # type: ignore[override]
        self,
        candidates: Sequence[Sequence[int]],
        references: Sequence[Sequence[Sequence[int]]],
        log_probability: Tensor,
        index: Tensor | None,
    ) -> None:
        """Add images.

        Args:
            candidates: word ids of the generated caption of each image.
            references: word ids of one or more references of each image.
            log_probability: float (B,), of the generated captions by the model.
            index: int64 (B,), of the images in their split; None to count them.
        """
        super().update(candidates, references)
        first = sum(map(len, self.index))
        counted = torch.arange(first, first + len(candidates), device=log_probability.device)
        self.index.append(counted if index is None else index)
        self.log_probability.append(log_probability.float())

    def compute(self) -> dict[str, Tensor]:
        """Compute the metrics, and set `records`; see `CaptionScores`."""
        corpus = self.corpus()
        groups = pieces(pieces(corpus.words.tolist(), corpus.length.tolist()), corpus.captions.tolist())
        numbers = [dim_zero_cat(values).tolist() for values in (self.index, self.log_probability)]
        rows = zip(groups, *numbers, self.cider_each().tolist(), strict=True)
        records = [CaptionRecord(i, words, references, logp, cider) for (words, *references), i, logp, cider in rows]
        self.records = sorted(records, key=lambda record: record.index)
        return super().compute()


def pieces(values: list[Any], lengths: list[int]) -> list[list[Any]]:
    """Cut a list into pieces of these lengths."""
    rest = iter(values)
    return [list(islice(rest, length)) for length in lengths]
