"""Name and general help of the command, without torch."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from lightning_nn import catalog
from lightning_nn.cli.request import VERBS


def program() -> str:
    """Return the command as it was called: `lightning-nn`, `python -m lightning_nn` or `python train.py`."""
    called = Path(sys.argv[0])
    if called.name.startswith("lightning-nn"):
        return called.name
    if called.name == "__main__.py" and called.parent.name == "lightning_nn":
        return "python -m lightning_nn"
    elsewhere = called.name == "train.py" and called.absolute().parent != Path.cwd()
    return f"python {shlex.quote(str(called) if elsewhere else 'train.py')}"


def short_program() -> str:
    """Return the command for usage lines, where a script is shown by its name."""
    return program() if "train.py" not in program() else "train.py"


def overview() -> str:
    """Return the general help: at most 45 lines of 80 columns."""
    name = short_program()
    models = [f"  {model:<14} {row.line:<42} {row.data}" for model, row in catalog.MODELS.items()]
    data = [f"  {each:<14} {row.line}" for each, row in catalog.DATA.items()]
    verbs = [f"  {verb:<14} {line}" for verb, line in VERBS.items()]
    return "\n".join(
        [
            *_usage(f"{name} [command] --model NAME", "[--data NAME] [--GROUP.NAME VALUE ...]"),
            "",
            f"models         {'what it is':<42} default data",
            *models,
            "",
            "data",
            *data,
            "",
            "commands       without one: fit, then test the best checkpoint",
            *verbs,
            "",
            "options",
            "  --model NAME --help     the arguments of a model and its data",
            "  --ckpt_path last|best|FILE   resume a run; test a checkpoint, predict with it",
            "  --finetune imagenet|embedded|FILE  start a new run from weights",
            "  --folder DIR, --name NAME  folder of the run (logs/MODEL/TIME)",
            "  -c FILE, --print_config, --seed_everything N, --import MODULE (your own)",
            "",
            "examples",
            f"  {name} --model han",
            f"  {name} --model han --data text --data.path reviews.csv",
            f'  {name} predict --ckpt_path last --data.text "……"',
        ]
    )


def verb_help(verb: str) -> str:
    """Return the help of a verb without a model: the options that it uses.

    Args:
        verb: fit, validate, test or export.
    """
    name = short_program()
    if verb == "fit":
        return "\n".join(
            [
                *_usage(f"{name} fit --model NAME", "[--data NAME] [--GROUP.NAME VALUE ...]"),
                "",
                "Trains a model, without a test at the end.",
                "",
                "options",
                "  --model NAME --data NAME    model, and data to train it on",
                f"  --GROUP.NAME VALUE          listed by: {name} fit --model NAME --help",
                "  --ckpt_path last|best|FILE  resume a run instead",
                "  --finetune imagenet|embedded|FILE  start from weights",
                "  --folder DIR, --name NAME   folder of the run (logs/MODEL/TIME)",
                "  -c FILE                     settings from a file, also a run's config.yaml",
                "  --print_config              show all settings and stop",
                "  --seed_everything N         seed of the random numbers (0)",
            ]
        )
    if verb == "export":
        return "\n".join(
            [
                *_usage(f"{name} export --ckpt_path last|best|FILE", "--out model.onnx|model.pt2"),
                "",
                "Writes the network of a checkpoint for other programs: an ONNX file, or a",
                "program of torch.export. Input is a batch of uint8 images as the model was",
                "trained on; normalisation is inside, the names of the classes in the metadata.",
                "",
                "options",
                "  --ckpt_path last|best|FILE  of the newest run, or a file (best)",
                "  --model NAME                the newest run of this model",
                "  --folder DIR                folder of all runs (logs)",
                '  --out FILE                  .onnx (after: pip install -e ".[onnx]") or .pt2',
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
            "  --folder DIR                folder of all runs (logs)",
            "  --data NAME, --data.NAME VALUE  data other than the run's; listed by",
            f"      {name} {verb} --model NAME --help",
            f"  --trainer.accelerator, --trainer.devices, --trainer.limit_{short}_batches; by",
            f"      {name} {verb} --model NAME --help trainer",
        ]
    )


def _usage(start: str, options: str) -> list[str]:
    """Return a usage line, or two if one would be wider than a terminal."""
    line = f"usage: {start} {options}"
    return [line] if len(line) <= 80 else [f"usage: {start}", f"       {options}"]
