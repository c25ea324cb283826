"""The verb `labels`: labels of a data set that are probably wrong, duplicates, and samples that a model can't read.

The labels of train are checked by cross-validation: each fold by a model that was trained on all others with the
settings of the run. Those of val and test are checked by the run's own model, which was not trained on them.
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from lightning_nn.cli.checkpoint import NEWEST, as_saved, open_checkpoint, print_checkpoint, run_settings
from lightning_nn.cli.console import console_of, show_data, show_table, show_text
from lightning_nn.cli.factory import make_data, make_trainer
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request, refuse_options
from lightning_nn.cli.resume import refuse_left_out, refuse_other_splits
from lightning_nn.cli.train import weights_to_tune
from lightning_nn.cli.trial import ALONE, trial
from lightning_nn.data.batches import Index
from lightning_nn.data.duplicates import copies, normalized_fingerprints
from lightning_nn.data.folds import fold_numbers, held_out
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.processor import Samples
from lightning_nn.data.text.corpus import TextSource
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run, load_results
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.label_review import CheckedSplit, LabelReview
from lightning_nn.tasks.outcomes import Outcomes
from lightning_nn.visualization.draw import csv_text
from lightning_nn.visualization.labels import page
from lightning_nn.visualization.mistakes import line

_ALL_SAMPLES = ("--trainer.limit_val_batches=1.0", "--trainer.limit_test_batches=1.0")
_PAIRS, _LINES = 5, 5  # of suspect labels on the terminal


def labels(request: Request) -> int:
    """Check the labels of the data that a run was trained on; the data itself is not changed.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint, its samples have no single class each, or the data has changed.
    """
    assert request.options is not None
    refuse_options(request, "data", "name")
    which = request.ckpt_path or "best"
    checkpoint = open_checkpoint(request, which)
    print_checkpoint(checkpoint, which, "checking the labels of")
    run, folds = Run.of(checkpoint.path), request.options.folds
    if run is None and request.options.out is None:
        raise UserError(f"{checkpoint.path} is in no folder of a run: name one for the results, --out FOLDER")
    folder = request.options.out or cast(Run, run).folder / "labels"
    cli = _command_line(request, checkpoint, run)
    data = _prepared(cli, checkpoint)
    contents = {split: normalized_fingerprints(source) for split, source in data.sources.items()}
    numbers = fold_numbers(data.labels("train"), contents["train"], folds, cli.config.seed_everything)
    print(f"{folds} trainings on {1 - 1 / folds:.0%} of train each{_cost(run, folds)}\n", flush=True)
    outcomes = {"train": _cross_validate(cli, data, numbers)}
    outcomes |= _validate(cli, data, checkpoint)
    groups = _groups([contents[split] for split in outcomes])
    splits = [
        CheckedSplit(
            split,
            source if isinstance(source := data.sources[split], Samples) else None,
            *outcomes[split],
            group,
            source.unknown_shares() if isinstance(source, TextSource) else np.zeros(len(source)),
        )
        for split, group in zip(outcomes, groups, strict=True)
    ]
    review = LabelReview(splits, data.categories)
    _show(review)
    _write(review, folder, cli.task.from_checkpoint(checkpoint))
    return 0


def _command_line(request: Request, checkpoint: Checkpoint, run: Run | None) -> CommandLine:
    """Return the settings of the run, for one process and without a logger.

    Raises:
        UserError: it is no classifier, or settings that affect training are not loaded.
    """
    request = as_saved(request, checkpoint)
    request = request._replace(verb="", rest=[*ALONE, *_ALL_SAMPLES], finetune=request.finetune or _tuned_from(run))
    model, data = request.model, request.data
    assert model is not None and data is not None
    settings = run_settings(checkpoint, data, run)
    cli = CommandLine(request, model, data, [], settings.taken)
    if not issubclass(cli.task, Classifier):
        raise UserError(f"{checkpoint.path} holds {checkpoint.model}: only samples with one class each can be checked")
    refuse_left_out(cli, settings.left_out, checkpoint.path)
    cli.seed()
    return cli


def _tuned_from(run: Run | None) -> str | None:
    """Return what the run was fine-tuned from, by its first command; None if it began at random.

    Raises:
        UserError: it was the newest checkpoint of its time.
    """
    commands = load_results(run.results).get("commands") if run is not None else None
    words = shlex.split(str(commands[0])) if isinstance(commands, list) and commands else []
    words = [part for word in words for part in word.split("=", 1)]
    source = words[words.index("--finetune") + 1] if "--finetune" in words[:-1] else None
    if source in NEWEST:
        raise UserError(f"the run was fine-tuned from {source}, the newest checkpoint then: name it, --finetune FILE")
    return source


def _prepared(cli: CommandLine, checkpoint: Checkpoint) -> LabeledDataModule:
    """Prepare the data of the run, and show its table.

    Raises:
        UserError: it has changed since.
    """
    data = make_data(cli)
    if not isinstance(data, LabeledDataModule):
        raise UserError(f"--data {cli.data_name} has no labels to check")
    data.prepare_once()
    data.require_split("train")
    refuse_other_splits(data, checkpoint)
    show_data(data, sys.stdout)
    return data


def _cost(run: Run | None, folds: int) -> str:
    """Say how long it will take, by the time that the run took; nothing without a run."""
    seconds = load_results(run.results).get("seconds") if run is not None else None
    if not isinstance(seconds, int | float):
        return ""
    return f": about {seconds * (folds - 1):,.0f} s, as the run took {seconds:,.0f} s"


def _cross_validate(cli: CommandLine, data: LabeledDataModule, numbers: Index) -> tuple[Any, Any]:
    """Return labels (N,) and probabilities (N, K) of train, each by a model that was not trained on the sample."""
    import torch

    weights, folds = weights_to_tune(cli), int(numbers.max()) + 1
    label = torch.from_numpy(np.array(data.labels("train")))
    probability = torch.empty(len(label), len(data.categories))
    for number, (inside, fold) in enumerate(held_out(data, numbers), 1):
        with trial(cli, fold, weights) as trained:
            trained.trainer.test(trained.model, datamodule=fold, ckpt_path=str(trained.result), verbose=False)
            outcomes = _outcomes(trained.model, "test")
        probability[torch.from_numpy(inside)] = outcomes.probability
        right = float((outcomes.predicted == outcomes.label).float().mean())
        print(f"fold {number} of {folds}: {right:.1%} of {len(inside):,} held-out samples as labelled", flush=True)
    return label, probability


def _validate(cli: CommandLine, data: LabeledDataModule, checkpoint: Checkpoint) -> dict[str, tuple[Any, Any]]:
    """Return labels and probabilities of val and test, if there are such splits, by the model of the run."""
    checked: dict[str, tuple[Any, Any]] = {}
    for split in [split for split in ("val", "test") if split in data.sources]:
        model, trainer = cli.task.from_checkpoint(checkpoint), make_trainer(cli, None)
        (trainer.validate if split == "val" else trainer.test)(model, datamodule=data, verbose=False)
        outcomes = _outcomes(model, split)
        checked[split] = outcomes.label, outcomes.probability
    return checked


def _outcomes(model: Any, split: str) -> Outcomes:
    outcomes = cast(Classifier, model).outcomes(split)
    assert outcomes is not None  # just evaluated
    return outcomes


def _groups(contents: list[Any]) -> list[Index]:
    """Assign numbers to the groups of equal contents over all splits; -1 for a sample without a copy."""
    groups = np.full(sum(map(len, contents)), -1)
    for number, group in enumerate(copies(np.concatenate(contents))):
        groups[group] = number
    return np.split(groups, np.cumsum([len(hashes) for hashes in contents])[:-1])


def _show(review: LabelReview) -> None:
    """Print what was found: suspect labels, duplicates, samples whose words are unknown."""
    count = int(review.suspect.sum())
    print(f"\n{count:,} of {len(review):,} labels are suspect ({count / len(review):.1%})")
    if pairs := review.pairs[:_PAIRS]:
        rows = [(label, suggested, f"{count:,}") for label, suggested, count in pairs]
        show_table([("label", "perhaps", "samples"), *rows], sys.stdout)
        for sample in review.suspects(_LINES, lambda batch: None):
            print(line(sample, console_of(sys.stdout).width, "labelled"))
    groups = review.groups
    if groups:
        differing, crossing = (sum(map(test, groups)) for test in (review.differs, review.crosses))
        copied = sum(len(group) - 1 for group in groups)
        show_text(
            f"{copied:,} samples are copies of others, whatever their case, punctuation and spaces: "
            f"{_groups_of(differing)} with differing labels, {_groups_of(crossing)} in several splits",
            sys.stdout,
        )
    if len(review.unreadable):
        print(f"most words of {len(review.unreadable):,} samples are unknown")


def _groups_of(count: int) -> str:
    return f"{count:,} group{'s' * (count != 1)}"


def _write(review: LabelReview, folder: Path, model: Any) -> None:
    """Write the tables and the page, and print where they are."""
    files = {f"{table.name}.csv": csv_text(table) for table in review.tables() if table.rows}
    files["labels.html"] = page(review, partial(Classifier.look, model))  # the image alone
    print()
    for name, text in files.items():
        write_text(folder / name, text)
        kind = "page" if name.endswith(".html") else Path(name).stem.replace("_", " ")
        print(f"{kind:<14} {folder / name}")
