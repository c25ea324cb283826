"""Samples to evaluate on that the model was trained on: found by their contents, counted, refused where many are."""

from __future__ import annotations

from lightning_nn import catalog
from lightning_nn.cli.factory import make_data
from lightning_nn.cli.parser import CommandLine
from lightning_nn.data.cache import cache_folder
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import DataModule
from lightning_nn.data.overlap import matches
from lightning_nn.data.trained_samples import recall
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint

ALLOWED = 0.05  # share of the samples evaluated on that may stand in train


def compare_with_training(data: DataModule, split: str, cli: CommandLine, checkpoint: Checkpoint) -> DataModule:
    """Count the samples to evaluate on that the model was trained on, in a note of the data.

    Args:
        data: to evaluate on, prepared.
        split: to evaluate on.
        cli: the command line, which made the data.
        checkpoint: of the model.

    Returns:
        The data; where it holds what the model was trained on under another path, the same with the splits of the
        training.

    Raises:
        UserError: too many samples were trained on.
    """
    path, trained = checkpoint.path, _state(data, checkpoint)
    if data.split_digest == trained.get("split_digest"):
        return data
    known = _training_hashes(data, trained.get("train_digest"))
    samples = data.fingerprints(split)
    seen = 0 if known is None else int((matches(samples, known) >= 0).sum())
    many = seen > ALLOWED * len(samples)
    if (many or known is None) and data.evaluation_split is not None and not cli.allow_seen:
        same = _split_as_trained(data, cli, trained)
        if same is not None:
            same.notes.append(
                f"this is the data that {path} was trained on: its {split} split is used, as without --data.path; "
                "all samples are with --data.allow_seen true"
            )
            return same
    if known is None:
        data.notes.append(
            f"not checked whether {split} samples stand in what {path} was trained on: the hashes of its training "
            f"samples are not in the cache of this machine, {cache_folder()}"
        )
        return data
    count = f"{seen:,} of {len(samples):,} {split} samples ({seen / len(samples):.1%})"
    share = f"{count} stand in what {path} was trained on"
    if many and not cli.allow_seen:
        raise UserError(
            f"{share}: a model knows these by heart, so figures on them say nothing of new ones. Take them out, or, "
            "for the figures all the same: --data.allow_seen true"
        )
    data.notes.append(share)
    return data


def _state(data: DataModule, checkpoint: Checkpoint) -> dict[str, object]:
    """What the data module that the model was trained with added to its checkpoint."""
    row = catalog.DATA.get(checkpoint.data or "")
    return checkpoint.data_state(type(data) if row is None else row.load())


def _training_hashes(data: DataModule, digest: object) -> Fingerprints | None:
    """Hashes of the training samples, from the data if its train split is still the one trained on, or the cache."""
    if "train" in data.sources and data.digest(["train"]) == digest:
        return data.fingerprints("train")
    return recall(digest)


def _split_as_trained(data: DataModule, cli: CommandLine, trained: dict[str, object]) -> DataModule | None:
    """The data with all its splits, if they are those of the training."""
    whole = make_data(cli)
    whole.use_processor(data.fixed_processor)
    try:
        whole.prepare_once()
    except UserError:  # such as a file of tests alone: other data
        return None
    return whole if whole.split_digest == trained.get("split_digest") else None
