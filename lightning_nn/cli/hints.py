"""The option that a user may have meant by a name of another program or by a misspelling."""

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


def option_hint(name: str, options: Iterable[str]) -> str | None:
    """Return the option that an unknown name may mean; None if no option is similar.

    Args:
        name: the name as given, "--group.name" or "--name".
        options: the known options, in the same form.
    """
    known = list(options)
    group, _, last = name.lstrip("-").replace("-", "_").lower().rpartition(".")
    meant = {last, ELSEWHERE.get(last, last)}
    by_last: dict[str, list[str]] = {}
    for option in known:
        by_last.setdefault(option.lstrip("-").rpartition(".")[2].lower(), []).append(option)
    found = [option for each in meant for option in by_last.get(each, [])]
    if not found:
        of_group = [option for option in known if option.lstrip("-").rpartition(".")[0] == group]
        found = _alike(last, of_group) or _alike(last, known)
    same = [option for option in found if option.lstrip("-").rpartition(".")[0] == group]
    return next(iter(same or found), None)


def _alike(last: str, options: list[str]) -> list[str]:
    ends = {option.lstrip("-").rpartition(".")[2].lower(): option for option in reversed(options)}
    return [ends[end] for end in difflib.get_close_matches(last, ends, n=1, cutoff=_LIKE)]
