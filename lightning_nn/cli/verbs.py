"""The verbs of the command line: what each does, the options that are its own, and its help; without torch."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from lightning_nn import catalog
from lightning_nn.cli.option_names import option_hint
from lightning_nn.errors import UserError
from lightning_nn.lessons.catalogue import LANGUAGES

FORMS = ("text", "csv", "tsv", "jsonl", "json", "parquet", "xlsx")
EXPORTS = (".onnx", ".pt2", ".safetensors")
BITS = (16, 8, 4)
SEARCH: tuple[tuple[str, type, str], ...] = (
    ("search.beam", int, "of captions, beginnings that beam search keeps; 1 is greedy search if length_norm is 0"),
    ("search.longest", int, "maximum number of words of a caption"),
    ("search.length_norm", float, "exponent of the length by which log-probabilities of captions are divided, 0 to 10"),
)


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


def _add_predict_options(parser: argparse.ArgumentParser) -> None:
    from lightning_nn.data.images.reading import MAX_PIXELS

    add = parser.add_argument
    add("--data.text", dest="text", action="append", help="a text; may be given several times")
    add(
        "--data.file",
        dest="files",
        nargs="+",
        action="extend",
        default=[],
        help="a table (.csv, .tsv, .jsonl, .json, .gz of these, .parquet, .xlsx), a file with one text per line, or - "
        "for standard input; for a model of pictures any number of pictures, folders and patterns (photos/*.jpg)",
    )
    add(
        "--data.format",
        dest="form",
        choices=FORMS,
        help="how to read the file or standard input, whatever its name; text is one text per line",
    )
    add(
        "--data.text_column",
        dest="text_column",
        help="name of the table's text column, or its number from 1 if there is no header (default: as in training)",
    )
    add("--data.encoding", dest="encoding", default="utf-8", help="encoding of the file (default: utf-8)")
    add(
        "--data.max_pixels",
        dest="max_pixels",
        type=int,
        default=MAX_PIXELS,
        help=f"refuse a picture with more pixels, each of which takes up to 16 bytes (default: {MAX_PIXELS})",
    )
    add(
        "--out",
        type=Path,
        help="write predictions to a file: .png for one picture; .csv, .jsonl or an .html page, a row for each input: "
        "its own columns, then those of the prediction; for a table or lines also why one can't be read, in the column "
        "error. Images become PNG files in a folder beside it",
    )
    add(
        "--format",
        choices=["csv", "jsonl", "html"],
        help="overrides the file's suffix (default without --out: CSV in a pipe)",
    )
    add("--all_classes", action="store_true", help="write the probability of each class, each in a column")
    add(
        "--calibrated",
        type=_flag,
        metavar="true|false",
        help="divide logits by the temperature that was fitted on validation (default: true)",
    )
    add(
        "--guard_formulas",
        dest="guard",
        type=_flag,
        metavar="true|false",
        default=True,
        help="put a ' before a text that a spreadsheet would read as a formula, in CSV (default: true)",
    )
    for name, kind, text in SEARCH:
        text = f"{text} (default: as in training)"
        add(f"--model.{name}", dest=name, type=kind, metavar=kind.__name__.upper(), help=text)
    add(
        "--explain",
        nargs="?",
        const=True,
        choices=["gradients"],
        help="show what the model attended to, here and in attention.html; of recurrent layers without attention, what "
        "they keep of their state at each word, in gates.html. With gradients, of any classifier of texts: what each "
        "word contributes to the prediction, in gradients.html",
    )
    add("--trainer.accelerator", dest="accelerator", default="auto", help="cpu, gpu, mps, ... (default: auto)")


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {value!r}")
    return value.lower() == "true"


def _gather_arguments(options: argparse.Namespace) -> None:
    """Gather the arguments of the model that are given in `arguments`."""
    values = {name.removeprefix("search."): vars(options).pop(name) for name, _, _ in SEARCH}
    search = {name: value for name, value in values.items() if value is not None}
    options.arguments = {"search": search} if search else {}


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        metavar="FOLDER|FILE",
        help="a folder, of any model: weights, arguments, vocabulary and classes, and a model card, to hand on, to "
        'predict with, test or fine-tune; .onnx (after: pip install -e ".[onnx]") or .pt2, the network for other '
        "programs; .safetensors, of any model: the folder but for the card, in one file",
    )
    _add_bits(
        parser,
        "bits of a weight: 32, as trained (default of a folder), 16, half precision (default of a file), 8 or 4, whole "
        "numbers with a scale for each row or 32 values",
        (32, *BITS),
        None,
    )
    add(
        "--format",
        choices=["onnx", "torch"],
        help="put the network into the folder, too: model.onnx, of a classifier of texts with predict.py, "
        "which predicts by onnxruntime and NumPy alone (and jieba for Chinese words); or model.pt2",
    )
    add("--language", choices=LANGUAGES, default="en", help="of the model card: en or zh (default: en)")


def _add_bits(parser: argparse.ArgumentParser, meaning: str, choices: Sequence[int], default: int | None) -> None:
    parser.add_argument(
        "--bits", type=int, choices=choices, default=default, metavar="|".join(map(str, choices)), help=meaning
    )


def _check_export(options: argparse.Namespace) -> None:
    """Check that a folder or a file of a known kind is named, and that the package that writes it is installed."""
    out: Path | None = options.out
    options.to_folder = out is not None and (not out.suffix or out.is_dir())
    if out is None or not (options.to_folder or out.suffix in EXPORTS):
        raise UserError(
            f"export needs a folder or a file to write: --out FOLDER, model.onnx, model.pt2 or model.safetensors "
            f"(got {out})"
        )
    if options.bits is not None and out.suffix in (".onnx", ".pt2") and not options.to_folder:
        raise UserError(
            f"--bits {options.bits} is for --out FOLDER or FILE.safetensors, not for {out.suffix}: leave it out"
        )
    if options.format is not None and not options.to_folder:
        raise UserError(
            f"--format {options.format} is for --out FOLDER; the name of a file tells its format: leave it out"
        )
    options.bits = options.bits or (32 if options.to_folder else 16)
    onnx = options.format == "onnx" if options.to_folder else out.suffix == ".onnx"
    for package in ("onnx", "onnxscript") if onnx else ():
        if importlib.util.find_spec(package) is None:
            wanted, other = (
                ("--format onnx", "--format torch") if options.to_folder else ("--out FILE.onnx", "--out FILE.pt2")
            )
            raise UserError(f'{wanted} needs {package}: pip install -e ".[onnx]", or {other}')


def _add_lesson_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("lesson", nargs="?", metavar="NAME", help="the lesson to run; without it, all lessons are listed")
    add(
        "--set",
        type=_knob,
        action="append",
        default=[],
        metavar="KNOB=VALUE",
        help="set what the lesson is about, and see whether its claims still hold; may be given several times",
    )
    add("--guess", action="store_true", help="ask first what the lesson will show")
    add("--answer", type=int, metavar="N", help="run the answer of exercise N instead")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of the random numbers (default: 0)")
    add("--language", choices=LANGUAGES, default="en", help="en or zh (default: en)")


def _knob(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not (name and value):
        raise argparse.ArgumentTypeError(f"expected KNOB=VALUE, got {text!r}")
    return name, value


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 to 4,294,967,295, got {text!r}")
    return int(text)


def _add_clean_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="remove these runs: folders such as logs/han/20260101-120000")
    add("--cache", metavar="KIND", help="remove what is cached of a kind, as the list calls it, or all")
    add("--older", type=_days, default=0.0, metavar="DAYS", help="only what was last changed so many days ago, or more")


def _days(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"expected a number of days, got {text!r}")
    return float(text)


def _add_compare_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="folders of runs, or folders of them (default: logs)")
    add("--out", type=Path, metavar="FILE", help="write all metrics, costs and settings that differ: .csv or .html")


def _add_labels_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--folds", type=_folds, default=5, metavar="K", help="parts of train, each checked by a new model (default: 5)")
    add("--out", type=Path, metavar="FOLDER", help="where the results go (default: folder labels of the run)")


def _folds(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a whole number of 2 to 100, got {text!r}")
    return int(text)


def _add_compress_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--size", type=_bytes, metavar="SIZE", help="size of the compressed model, such as 500kB, 1MB or a number")
    add("--times", type=float, metavar="N", help="how many times smaller than now, above 1, in place of --size")
    _add_bits(
        parser,
        "bits of a weight of the network: 16, half precision (default), 8 or 4, whole numbers with a scale for each "
        "row or 32 values",
        BITS,
        16,
    )
    add("--epochs", type=int, default=1, metavar="N", help="epochs of the training that follows (default: 1)")


def _bytes(value: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kM]?)B?", value)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 500kB or 1MB, got {value!r}")
    return int(float(match[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[match[2]])


def _check_compress(options: argparse.Namespace) -> None:
    """Check that one size is given, and that there is something to train."""
    if (options.size is None) == (options.times is None):
        raise UserError("compress needs a size: --size 1MB, or --times 16 for a sixteenth; one of the two")
    if options.times is not None and not options.times > 1:
        raise UserError(f"--times is {options.times:g}; it must be above 1")
    if options.epochs < 1:
        raise UserError(f"--epochs is {options.epochs}; it must be 1 or above")


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
        add_options=_add_predict_options,
        check=_gather_arguments,
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
        add_options=_add_export_options,
        check=_check_export,
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
        add_options=_add_compress_options,
        check=_check_compress,
    ),
    "compare": Verb(
        line="runs side by side: metrics, settings that differ, cost",
        function="lightning_nn.cli.compare:compare",
        usage=("[RUN ...]", "[--model NAME] [--out FILE]"),
        about="Shows the finished runs of a folder by data set, the best on validation first, with the settings in "
        "which each differs from the best. Two runs with the same test samples are compared sample by sample.",
        options={"--model NAME": "the runs of this model", "--folder DIR": "folder of all runs (logs)"},
        add_options=_add_compare_options,
        needs_model=False,
    ),
    "clean": Verb(
        line="what runs and caches take on the disk; removes some",
        function="lightning_nn.cli.clean:clean",
        usage=("[RUN ...]", "[--cache KIND] [--older DAYS]"),
        about="Lists runs and what is cached of data, with size and age, and removes those that are named. What is "
        "cached is built again, or downloaded, when it is needed; a run is gone.",
        options={"--model NAME": "list the runs of this model", "--folder DIR": "folder of all runs (logs)"},
        add_options=_add_clean_options,
        needs_model=False,
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
        add_options=_add_labels_options,
        tunes=True,
    ),
    "lesson": Verb(
        line="the course: its lessons, listed or run",
        function="lightning_nn.cli.lesson:lesson",
        usage=("[NAME]", "[--language zh] [--set KNOB=VALUE]"),
        about="Lists the lessons of the course, or runs one: a table, a figure, and claims with their numbers.",
        options={"--folder DIR": "folder of all runs (logs), whose folder lessons gets figures and tables"},
        add_options=_add_lesson_options,
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
            "",
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
