"""Remarks at the start of a training on rare classes: how rare they are, and the options for that."""

from __future__ import annotations

from collections.abc import Iterator

from lightning_nn.cli.parser import F1, CommandLine
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.module import DataModule
from lightning_nn.sanitize import shorten

RARE = 5  # times as many samples of the largest class from which on a class is rare


def remarks_on_classes(cli: CommandLine, data: DataModule) -> Iterator[str]:
    """Yield what a new training of a classifier should know of its classes.

    Args:
        cli: the settings.
        data: the prepared data.
    """
    if cli.monitors_f1:
        yield (
            "classes are weighted or balanced, so the best checkpoint is that of the highest val/f1 "
            f"(else: --checkpoint.monitor {cli.task.monitor})"
        )
    if not cli.task.predicts_classes or cli.weighs_classes or not isinstance(data, LabeledDataModule):
        return
    counts = dict(zip(data.categories, data.class_counts, strict=True))
    present = {name: count for name, count in counts.items() if count}
    if len(present) < 2:
        return
    rare, common = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
    ratio = present[common] / present[rare]
    if ratio <= RARE:
        return
    balance = "--data.balanced true" if "data.balanced" in cli.options else "--loss.class_weights balanced"
    options = [f"--checkpoint.monitor {F1}"] * (cli.config.checkpoint.monitor != F1) + [balance]
    yield (
        f"classes are imbalanced, 1 to {ratio:,.0f}: {shorten(rare, 40)} has {present[rare]:,} samples in train, "
        f"{shorten(common, 40)} {present[common]:,}; for rare classes: {' '.join(options)}"
    )
