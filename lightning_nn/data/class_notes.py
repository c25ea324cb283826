"""Notes on the classes of a data set, shown at the start of a run."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH = 120  # of the list of classes


def note_on_pixels(names: Sequence[str], counts: Sequence[int], split: str) -> str:
    """Name the classes with their shares: `3 categories, of the pixels of train: sky 40.0%, road 35.0%, car 25.0%`.

    Args:
        names: of the K classes.
        counts: number of pixels of each class.
        split: that they are counted in.
    """
    listed = [f"{_short(name)} {n / max(sum(counts), 1):.1%}" for name, n in zip(names, counts, strict=True)]
    return f"{len(names):,} categories, of the pixels of {split}: {_list(listed)}"


def note_on_classes(names: Sequence[str], counts: Sequence[int], split: str) -> str:
    """Name the classes with their counts: `3 categories: neg (30 in train), pos (30), unsup (60)`.

    Args:
        names: of the K classes.
        counts: number of samples of each class.
        split: that they are counted in.
    """
    if len(set(counts)) == 1:
        listed, each = [_short(name) for name in names], f" ({counts[0]:,} each in {split})"
    else:
        where = [f" in {split}"] + [""] * len(names)
        listed, each = [f"{_short(name)} ({n:,}{w})" for name, n, w in zip(names, counts, where, strict=False)], ""
    return f"{len(names):,} categories: {_list(listed, f', of {min(counts):,} to {max(counts):,}' * (not each))}{each}"


def warning_of_missing(
    names: Sequence[str], trained: Sequence[int], counts: Sequence[int], split: str, what: str = "samples"
) -> list[str]:
    """Warn of classes of train that another split never shows; an empty list if there are none.

    Args:
        names: of the K classes.
        trained: number of samples of each class in train.
        counts: number of samples of each class in the other split.
        split: name of the other split.
        what: what is counted, "samples" or "pixels".
    """
    whole = sum(trained)
    missing = [
        f"{_short(name)} ({n:,} of {whole:,} {what} of train, {n / whole:.1%})"
        for name, n, m in zip(names, trained, counts, strict=True)
        if n and not m
    ]
    if not missing:
        return []
    classes = "a class" if len(missing) == 1 else f"{len(missing):,} classes"
    return [
        f"warning: {split} never shows {classes} of train: {_list(missing)}; take what is no class out of train, or "
        f"add such {what} to {split}"
    ]


def _list(items: list[str], about: str = "") -> str:
    """Join as many items as fit, and count the others."""
    shown, width = 0, 0
    while shown < len(items) and (width := width + len(items[shown]) + 2) <= _WIDTH:
        shown += 1
    more = [f"... ({len(items) - shown:,} more{about})"] if shown < len(items) else []
    return ", ".join([*items[:shown], *more])


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:37] + "..."
