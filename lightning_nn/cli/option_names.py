"""The option that an unknown name may mean: one spelt like it, or called so in other programs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Names of options in other programs, and ours; of each the last part.
ELSEWHERE = {
    "learning_rate": "lr",
    "epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "n_epochs": "max_epochs",
    "steps": "max_steps",
    "num_steps": "max_steps",
    "bs": "batch_size",
    "gpus": "devices",
    "num_gpus": "devices",
    "num_processes": "devices",
    "nodes": "num_nodes",
    "device": "accelerator",
    "amp": "precision",
    "fp16": "precision",
    "clip": "gradient_clip_val",
    "clip_grad": "gradient_clip_val",
    "max_grad_norm": "gradient_clip_val",
    "seed": "seed_everything",
    "random_seed": "seed_everything",
    "wd": "weight_decay",
    "val_fraction": "val",
    "val_split": "val",
    "validation_split": "val",
    "test_fraction": "test",
    "test_split": "test",
    "split_seed": "seed",
    "resume": "ckpt_path",
    "resume_from": "ckpt_path",
    "resume_from_checkpoint": "ckpt_path",
    "checkpoint": "ckpt_path",
    "checkpoint_path": "ckpt_path",
    "ckpt": "ckpt_path",
    "pretrained": "finetune",
    "dataset": "data",
    "path": "content",
    "content": "path",
    "model_name": "model",
    "data_name": "data",
    "output_dir": "folder",
    "logdir": "folder",
    "log_dir": "folder",
}
_LIKE = 0.67  # share of characters in common from which on two names are similar


def option_hint(name: str, options: Iterable[str], *, spelt: bool = False) -> str | None:
    """Return the option that an unknown name may mean; None if no option is similar.

    Args:
        name: the name as given, "--group.name" or "--name".
        options: the known options, in the same form.
        spelt: only an option of another group whose name is spelt the same, or is called so elsewhere.
    """
    options = list(options)
    group, _, last = name.lstrip("-").replace("-", "_").lower().rpartition(".")
    by_last: dict[str, list[str]] = {}
    for option in options:
        by_last.setdefault(_last(option), []).append(option)
    similar = [option for end in dict.fromkeys([last, ELSEWHERE.get(last, last)]) for option in by_last.get(end, [])]
    if not similar and not spelt:
        of_group = [option for option in options if _group(option) == group]
        similar = _alike(last, of_group) or _alike(last, options)
    return next((option for option in similar if _group(option) == group), similar[0] if similar else None)


def _alike(last: str, options: list[str]) -> list[str]:
    """Return the option whose last part is most similar, if one is similar enough."""
    by_last = {_last(option): option for option in reversed(options)}
    return [by_last[end] for end in difflib.get_close_matches(last, by_last, n=1, cutoff=_LIKE)]


def _last(option: str) -> str:
    return option.lstrip("-").rpartition(".")[2].lower()


def _group(option: str) -> str:
    return option.lstrip("-").rpartition(".")[0]
