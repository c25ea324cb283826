"""Training samples in an evaluation: found by their contents, counted, and refused if there are many."""

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

ALLOWED = 0.05  # share of the samples to evaluate on that may be training samples


def compare_with_training(data: DataModule, split: str, cli: CommandLine, checkpoint: Checkpoint) -> DataModule:
    """Count the samples to evaluate on that are training samples of the model, and add a note to the data.

    Args:
        data: the prepared data to evaluate on.
        split: the split to evaluate on.
        cli: the command line that made the data.
        checkpoint: checkpoint of the model.

    Returns:
        The data; if it is the training data under another path, the same data with the splits of the training.

    Raises:
        UserError: there are too many training samples.
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
                "--data.allow_seen true uses all samples"
            )
            return same
    if known is None:
        data.notes.append(
            f"not checked whether {split} samples are training samples of {path}: the hashes of those are "
            f"not in the cache of this machine, {cache_folder()}"
        )
        return data
    count = f"{seen:,} of {len(samples):,} {split} samples ({seen / len(samples):.1%})"
    share = f"{count} are training samples of {path}"
    if many and not cli.allow_seen:
        raise UserError(
            f"{share}: the model may have memorized these, so metrics on them say nothing about new samples. "
            "Remove them, or evaluate anyway: --data.allow_seen true"
        )
    data.notes.append(share)
    return data


def _state(data: DataModule, checkpoint: Checkpoint) -> dict[str, object]:
    """Return the state that the data module of the training saved in the checkpoint."""
    row = catalog.DATA.get(checkpoint.data or "")
    return checkpoint.data_state(type(data) if row is None else row.load())


def _training_hashes(data: DataModule, digest: object) -> Fingerprints | None:
    """Return hashes of the training samples: of the data if its train split has not changed, else from the cache."""
    if "train" in data.sources and data.digest(["train"]) == digest:
        return data.fingerprints("train")
    return recall(digest)


def _split_as_trained(data: DataModule, cli: CommandLine, trained: dict[str, object]) -> DataModule | None:
    """Return the data with all its splits, if they are those of the training; else None."""
    whole = make_data(cli)
    whole.use_processor(data.fixed_processor)
    try:
        whole.prepare_once()
    except UserError:  # such as a test file alone: other data
        return None
    return whole if whole.split_digest == trained.get("split_digest") else None
