"""Table and remarks on a corpus, shown at the start of a run."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.text.corpus import Corpus, Sizes

_MANY_UNKNOWN = 0.05


def summary_table(indices: Mapping[str, Index], sizes: Sizes, unknown: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Build a header and a row for each split; sizes of documents are median / 95th percentile, before truncation.

    Args:
        indices: numbers of the documents of each split.
        sizes: of all documents.
        unknown: share of unknown words in each split.
    """
    header = ("split", "documents", "sentences (median / 95%)", "words (median / 95%)", "unknown words")
    rows = [
        (
            split,
            f"{len(index):,}",
            _spread(sizes.sentences[index]),
            _spread(sizes.words[index]),
            f"{unknown[split]:.1%}",
        )
        for split, index in indices.items()
    ]
    return [header, *rows]


def _spread(counts: Index) -> str:
    median, high = np.percentile(counts, (50, 95))
    return f"{median:,.0f} / {high:,.0f}"


def remarks(
    corpus: Corpus,
    sizes: Sizes,
    unknown: Mapping[str, float],
    max_sentences: int,
    max_words: int,
    *,
    fixed_processor: bool = False,
    spaced: bool = False,
) -> Iterator[str]:
    """Yield remarks on what happened while reading and what is truncated, and a warning if many words are unknown.

    Args:
        corpus: the opened corpus.
        sizes: of all documents under these limits.
        unknown: share of unknown words in each split.
        max_sentences: sentences to which a document is truncated.
        max_words: words to which a sentence is truncated.
        fixed_processor: whether the vocabulary is that of a trained model.
        spaced: whether the words stand between spaces.
    """
    yield from corpus.report.notes()
    for names in _alike(corpus.categories):
        yield f"labels that differ only in case, width, spaces or zeros in front: {', '.join(names)}"
    if single := _single(corpus):
        yield f"categories with a single document: {shorten(', '.join(single))}"
    many, long = int((sizes.sentences > max_sentences).sum()), int(sizes.long.sum())
    if many or long:
        lost = 1 - sizes.kept.sum() / sizes.words.sum()
        truncated = []
        if many:
            truncated.append(f"{_number(many, 'document')} to {_number(max_sentences, 'sentence')} (max_sentences)")
        if long:
            truncated.append(f"{_number(long, 'sentence')} to {_number(max_words, 'word')} (max_words)")
        yield f"truncated: {' and '.join(truncated)}; {_share(lost)} of all words are not read"
    remedy = "lower --data.min_count or raise --data.max_size"
    if not spaced:
        remedy = "lower --data.min_count, raise --data.max_size, or use --data.segmenter chars"
    yield from many_unknown(unknown, "the model was not trained on them" if fixed_processor else remedy)


def many_unknown(unknown: Mapping[str, float], remedy: str) -> Iterator[str]:
    """Yield a warning if many words are unknown.

    Args:
        unknown: share of unknown words in each split.
        remedy: what to do about it.
    """
    if many := [f"{share:.1%} in {split}" for split, share in unknown.items() if share > _MANY_UNKNOWN]:
        yield f"warning: many words are unknown, {', '.join(many)}; {remedy}"


def _alike(names: list[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        key = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(key.lstrip("0") if key.isdigit() else key, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _single(corpus: Corpus) -> list[str]:
    """Return each category with a single document, and the place of that."""
    counts = np.bincount(corpus.labels, minlength=len(corpus.categories))
    documents = np.flatnonzero((counts == 1)[corpus.labels])
    return [f"{corpus.categories[corpus.labels[number]]} ({corpus.place(int(number))})" for number in documents]


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _share(share: float) -> str:
    """Format a share strictly between 0 and 1 without rounding it to 0% or 100%."""
    if share < 0.001:
        return "less than 0.1%"
    return f"{share:.1%}" if share < 0.999 else "more than 99.9%"


def shorten(text: str, width: int = 120) -> str:
    """Truncate a text to at most `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."
