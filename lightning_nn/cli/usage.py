"""How the command is called and what its general help says, without torch."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from lightning_nn import catalog
from lightning_nn.cli.request import VERBS


def program() -> str:
    """The command as it was called, to be typed again: `lightning-nn`, `python -m lightning_nn`, `python train.py`."""
    called = Path(sys.argv[0])
    if called.name.startswith("lightning-nn"):
        return called.name
    if called.name == "__main__.py" and called.parent.name == "lightning_nn":
        return "python -m lightning_nn"
    elsewhere = called.name == "train.py" and called.absolute().parent != Path.cwd()
    return f"python {shlex.quote(str(called) if elsewhere else 'train.py')}"


def short_program() -> str:
    """The same in usage lines, where a script goes by its name."""
    return program() if "train.py" not in program() else "train.py"


def overview() -> str:
    """The general help: at most 45 lines of 80 columns."""
    name = short_program()
    models = [f"  {model:<10} {row.line:<42} {row.data}" for model, row in catalog.MODELS.items()]
    data = [f"  {each:<10} {row.line}" for each, row in catalog.DATA.items()]
    verbs = [f"  {verb:<10} {line}" for verb, line in VERBS.items()]
    return "\n".join(
        [
            *_usage(f"{name} [command] --model NAME", "[--data NAME] [--GROUP.NAME VALUE ...]"),
            "",
            "Neural networks, from one neuron on, as PyTorch Lightning modules.",
            "",
            f"models     {'what it is':<42} data, if none is named",
            *models,
            "",
            "data",
            *data,
            "",
            "commands   without one: fit, then test the best checkpoint",
            *verbs,
            "",
            "options",
            "  --model NAME --help     the arguments of a model and its data",
            "  --ckpt_path last|best|FILE   resume a run; test a checkpoint, predict with it",
            "  --finetune FILE         start a new run from a checkpoint's weights",
            "  --folder DIR, --name NAME  where the run is kept (logs/MODEL/TIME)",
            "  -c FILE, --print_config, --seed_everything N",
            "  --import MODULE         your own models and data (catalog.register)",
            "",
            "examples",
            f"  {name} --model han",
            f"  {name} --model han --data text --data.path reviews.csv",
            f'  {name} predict --ckpt_path last --data.text "……"',
        ]
    )


def verb_help(verb: str) -> str:
    """The help of `fit`, `validate` or `test` where no model is named: the options that it heeds.

    Args:
        verb: which.
    """
    name = short_program()
    if verb == "fit":
        return "\n".join(
            [
                *_usage(f"{name} fit --model NAME", "[--data NAME] [--GROUP.NAME VALUE ...]"),
                "",
                "Trains a model; it is not tested at the end.",
                "",
                "options",
                "  --model NAME --data NAME    what is trained, and on which data",
                f"  --GROUP.NAME VALUE          listed by: {name} fit --model NAME --help",
                "  --ckpt_path last|best|FILE  resume a run instead",
                "  --finetune FILE             start from a checkpoint's weights",
                "  --folder DIR, --name NAME   where the run is kept (logs/MODEL/TIME)",
                "  -c FILE                     settings from a file, also a run's config.yaml",
                "  --print_config              show all settings and stop",
                "  --seed_everything N         what chance starts from (0)",
            ]
        )
    split = {"validate": "validation", "test": "test"}[verb]
    short = {"validate": "val", "test": "test"}[verb]
    return "\n".join(
        [
            *_usage(f"{name} {verb} --ckpt_path last|best|FILE", "[--data.NAME VALUE ...]"),
            "",
            f"Prints the metrics of a checkpoint on the {split} split, as JSON.",
            "",
            "options",
            "  --ckpt_path last|best|FILE  of the newest run, or a file",
            "  --model NAME                the newest run of this model",
            "  --folder DIR                where the runs are kept (logs)",
            "  --data NAME, --data.NAME VALUE  other data than it was trained on; listed by",
            f"      {name} {verb} --model NAME --help",
            f"  --trainer.accelerator, --trainer.devices, --trainer.limit_{short}_batches; by",
            f"      {name} {verb} --model NAME --help trainer",
        ]
    )


def _usage(start: str, options: str) -> list[str]:
    """A usage line, or two where it would be wider than a terminal."""
    line = f"usage: {start} {options}"
    return [line] if len(line) <= 80 else [f"usage: {start}", f"       {options}"]
