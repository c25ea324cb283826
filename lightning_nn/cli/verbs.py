"""The verbs of the command line: what each does, and its help; without torch."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from lightning_nn import catalog
from lightning_nn.cli.option_names import option_hint
from lightning_nn.cli.verb_options import (
    add_clean_options,
    add_compare_options,
    add_compress_options,
    add_export_options,
    add_labels_options,
    add_lesson_options,
    add_predict_options,
    check_compress,
    check_export,
    gather_arguments,
)
from lightning_nn.errors import UserError


class Verb(NamedTuple):
    """A verb of the command line.

    Attributes:
        line: what it does, for the general help.
        function: "module:function" that runs a request and returns the exit code.
        usage: what a command line with it needs, and what it may have.
        about: what it does, for its own help.
        options: help of the options that each verb parses alike, by option and metavar.
        ending: end of its help; {name} stands for the command.
        add_options: adds the verb's own options to a parser; None if it takes options of a model, data and trainer.
        check: checks and completes its own options.
        needs_model: whether it works on a model, so that torch and Lightning are imported before it runs.
        tunes: whether it trains new models, which may start from weights (--finetune).
    """

    line: str
    function: str
    usage: tuple[str, str]
    about: str
    options: dict[str, str]
    ending: str = ""
    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    check: Callable[[argparse.Namespace], None] = lambda options: None
    needs_model: bool = True
    tunes: bool = False

    def run(self, request: Any) -> int:
        """Import and call its function."""
        module, name = self.function.split(":")
        return int(getattr(import_module(module), name)(request))


_CHECKPOINT = "--ckpt_path last|best|FILE"
_TRAINED = {
    _CHECKPOINT: "of the newest run, or a file",
    "--model NAME": "the newest run of this model",
    "--folder DIR": "folder of all runs (logs)",
}
_OR_BEST = {**_TRAINED, _CHECKPOINT: "of the newest run, or a file (best)"}


def _evaluation(verb: str, split: str, short: str) -> Verb:
    return Verb(
        line=f"metrics of a checkpoint on the {split} split",
        function="lightning_nn.cli.evaluate:evaluate",
        usage=(_CHECKPOINT, "[--data.NAME VALUE ...]"),
        about=f"Prints the metrics of a checkpoint on the {split} split, as JSON.",
        options={**_TRAINED, "--data NAME": "data other than the run's"},
        ending=f"options of the data (--data.NAME VALUE) are listed by\n"
        f"  {{name}} {verb} --model NAME --help\n"
        f"and --trainer.accelerator, --trainer.devices, --trainer.limit_{short}_batches by\n"
        f"  {{name}} {verb} --model NAME --help trainer",
    )


VERBS = {
    "fit": Verb(
        line="train, without a test at the end",
        function="lightning_nn.cli.train:train",
        usage=("--model NAME", "[--data NAME] [--GROUP.NAME VALUE ...]"),
        about="Trains a model, without a test at the end.",
        options={
            "--model NAME": "model to train",
            "--data NAME": "data to train it on",
            _CHECKPOINT: "resume a run instead",
            "--finetune imagenet|embedded|FILE": "start from weights",
            "--folder DIR": "folder of all runs (logs)",
            "--name NAME": "folder of this run (its time)",
            "-c FILE": "settings from a file, such as a run's config.yaml",
            "--print_config": "show all settings and stop",
            "--seed_everything N": "seed of the random numbers (0)",
        },
        ending="all others (--GROUP.NAME VALUE) are listed by\n  {name} fit --model NAME --help",
    ),
    "validate": _evaluation("validate", "validation", "val"),
    "test": _evaluation("test", "test", "test"),
    "predict": Verb(
        line="predictions for your own text or pictures",
        function="lightning_nn.cli.predict:predict",
        usage=(f"{_CHECKPOINT} [--model NAME]", "--data.text TEXT"),
        about="Predicts with a trained model. Without --ckpt_path, the best checkpoint of the newest run.",
        options=_OR_BEST,
        add_options=add_predict_options,
        check=gather_arguments,
    ),
    "export": Verb(
        line="a trained model as a folder, as ONNX, or for torch",
        function="lightning_nn.cli.export:export",
        usage=(_CHECKPOINT, "--out FOLDER|model.onnx|model.pt2|model.safetensors"),
        about="Writes a trained model for others: a folder of model.safetensors, config.json, processor.json and a "
        "model card, which HAN.from_pretrained(FOLDER) or --ckpt_path FOLDER loads without running code in it, and "
        "which names no path of this machine. Or its network for other programs: an ONNX file, or a program of "
        "torch.export. Images are a batch of uint8, as the model was trained on, with normalisation inside; texts "
        "are padded ids of words, with lengths. Names of classes, and the vocabulary, are in the metadata. The "
        "file is compared with the model before it is written.",
        options=_OR_BEST,
        add_options=add_export_options,
        check=check_export,
    ),
    "compress": Verb(
        line="a text model made small: fewer words, vectors as codes",
        function="lightning_nn.cli.compress:compress",
        usage=(_CHECKPOINT, "--size 1MB | --times 16"),
        about="Makes a trained text model small: words that matter least are left out, vectors of the others become "
        "codes (product quantisation), and the model is trained a little further as a new run. Shows words, bytes and "
        "accuracy before and after. The result is model.safetensors in the folder of the new run, at most that large, "
        "which predicts by itself; the checkpoints beside it resume.",
        options=_OR_BEST,
        add_options=add_compress_options,
        check=check_compress,
    ),
    "compare": Verb(
        line="runs side by side: metrics, settings that differ, cost",
        function="lightning_nn.cli.compare:compare",
        usage=("[RUN ...]", "[--model NAME] [--out FILE]"),
        about="Shows the finished runs of a folder by data set, the best on validation first, with the settings in "
        "which each differs from the best. Two runs with the same test samples are compared sample by sample.",
        options={"--model NAME": "the runs of this model", "--folder DIR": "folder of all runs (logs)"},
        add_options=add_compare_options,
        needs_model=False,
    ),
    "clean": Verb(
        line="what runs and caches take on the disk; removes some",
        function="lightning_nn.cli.clean:clean",
        usage=("[RUN ...]", "[--cache KIND] [--older DAYS]"),
        about="Lists runs and what is cached of data, with size and age, and removes those that are named. What is "
        "cached is built again, or downloaded, when it is needed; a run is gone.",
        options={"--model NAME": "list the runs of this model", "--folder DIR": "folder of all runs (logs)"},
        add_options=add_clean_options,
        needs_model=False,
    ),
    "tune": Verb(
        line="a learning rate by short runs, or a study of options",
        function="lightning_nn.cli.tune:tune",
        usage=("--model NAME", "[--data NAME] [--GROUP.NAME VALUE ...]"),
        about="Looks for the learning rate of a training: Lightning's Tuner suggests one, which competes with the "
        "present one and with a tenth of that with the lowest loss; then come a third and three times the best, until "
        "the best has both beside it. Each is trained for a fifth of the epochs. Shows a table, a picture and the "
        "command that uses the best; on a GPU also the largest batch that fits. With --search "
        'Optuna (pip install -e ".[tune]") chooses values of options, trial after trial; poor ones are pruned at a '
        "validation, Ctrl-C stops, and the same command continues. Nothing else of these trainings is kept.",
        options={
            "--model NAME": "model to train",
            "--data NAME": "data to train it on",
            "--finetune imagenet|embedded|FILE": "start from weights",
            "--folder DIR": "folder of all runs (logs), whose folder tune gets the results",
            "--name NAME": "folder of the results (MODEL-DATA)",
            "--search NAME=LOW:HIGH[:log],NAME=A|B": "options to vary in a study, in place of the rate alone",
            "--trials N": "trainings of the study, those of earlier calls included (20)",
            "-c FILE": "settings from a file, such as a run's config.yaml",
            "--seed_everything N": "seed of the random numbers (0)",
        },
        ending="all others (--GROUP.NAME VALUE) are listed by\n  {name} tune --model NAME --help",
    ),
    "labels": Verb(
        line="labels that are probably wrong, duplicates",
        function="lightning_nn.cli.labels:labels",
        usage=("[--ckpt_path best|last|FILE]", "[--folds K] [--out FOLDER]"),
        about="Checks the labels of the data that a run was trained on, texts or images with one class each. A sample "
        "of train is judged by a model that was trained on the other folds, with the settings of the run; those of val "
        "and test by the model of the run. Lists suspect labels, duplicates, and texts whose words are unknown. The "
        "data itself is not changed.",
        options={**_OR_BEST, "--finetune FILE": "weights that the run started from (by its command)"},
        add_options=add_labels_options,
        tunes=True,
    ),
    "lesson": Verb(
        line="the course: its lessons, listed or run",
        function="lightning_nn.cli.lesson:lesson",
        usage=("[NAME]", "[--language zh] [--set KNOB=VALUE]"),
        about="Lists the lessons of the course, or runs one: a table, a figure, and claims with their numbers.",
        options={"--folder DIR": "folder of all runs (logs), whose folder lessons gets figures and tables"},
        add_options=add_lesson_options,
        needs_model=False,
    ),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def has_own_options(verb: str) -> bool:
    """Return whether a verb has options of its own, in place of those of a model, its data and the trainer."""
    return verb in VERBS and VERBS[verb].add_options is not None


def own_options(verb: str, rest: list[str]) -> argparse.Namespace | None:
    """Parse the options of a verb that has its own; None for other verbs.

    Args:
        verb: a key of VERBS, or empty.
        rest: arguments that are left when the options that all verbs parse alike are taken.

    Raises:
        UserError: an unknown option, a wrong value, or something that the verb lacks.
    """
    row = VERBS.get(verb)
    if row is None or row.add_options is None:
        return None
    parser = _Parser(allow_abbrev=False, add_help=False)
    row.add_options(parser)
    options, unknown = parser.parse_known_args(rest)
    if unknown:
        hint = option_hint(unknown[0].partition("=")[0], re.findall(r"--[a-z._]+", verb_help(verb)))
        remedy = f"did you mean {hint!r}?" if hint else f"this lists the options: {program()} {verb} --help"
        raise UserError(f"unknown option {unknown[0]} of {verb}; {remedy}")
    row.check(options)
    return options


def verb_help(verb: str) -> str:
    """Return the help of a verb that needs no model."""
    row, name = VERBS[verb], short_program()
    parser = _Parser(
        usage=_usage(f"{name} {verb} {row.usage[0]}", row.usage[1]),
        description=row.about,
        epilog=row.ending.format(name=name),
        formatter_class=_Formatter,
        add_help=False,
    )
    for option, text in row.options.items():
        flag, _, value = option.partition(" ")
        settings: dict[str, Any] = {"metavar": value} if value else {"action": "store_true"}
        parser.add_argument(flag, help=text, **settings)
    if row.add_options is not None:
        row.add_options(parser)
    return parser.format_help().rstrip()


class _Formatter(argparse.HelpFormatter):
    """Help in at most 80 columns, whose end keeps its lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=80)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


def overview() -> str:
    """Return the general help: at most 45 lines of 80 columns."""
    name = short_program()
    models = [f"  {model:<14} {row.line:<42} {row.data}" for model, row in catalog.MODELS.items()]
    data = [f"  {data_set:<14} {row.line}" for data_set, row in catalog.DATA.items()]
    verbs = [f"  {verb:<14} {row.line}" for verb, row in VERBS.items()]
    return "\n".join(
        [
            f"usage: {_usage(f'{name} [command] --model NAME', '[--data NAME] [--GROUP.NAME VALUE ...]')}",
            f"models         {'what it is':<42} default data",
            *models,
            "data",
            *data,
            "commands       without one: fit, then test the best checkpoint",
            *verbs,
            "options",
            "  --model NAME --help (options), --ckpt_path last|best|FILE (resume, predict)",
            "  --finetune imagenet|embedded|FILE (weights), --import MODULE (your own models)",
            "  -c FILE, --print_config, --seed_everything N, --folder DIR, --name NAME",
            "",
            "examples",
            f"  {name} --model han",
            f"  {name} --model han --data text --data.path reviews.csv",
            f'  {name} predict --ckpt_path last --data.text "……"',
        ]
    )


def _usage(start: str, options: str) -> str:
    """Return a usage line, or two if one would be wider than a terminal."""
    return f"{start} {options}" if len(f"usage: {start} {options}") <= 80 else f"{start}\n       {options}"


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
