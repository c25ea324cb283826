"""Options that verbs have of their own: how each is parsed, its help, and what is checked before torch is imported."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from lightning_nn.cli.hub import check_push
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


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `predict` to a parser."""
    from lightning_nn.data.images.conversion import MAX_PIXELS

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


def gather_arguments(options: argparse.Namespace) -> None:
    """Gather the arguments of the model that are given in `arguments`."""
    values = {name.removeprefix("search."): vars(options).pop(name) for name, _, _ in SEARCH}
    search = {name: value for name, value in values.items() if value is not None}
    options.arguments = {"search": search} if search else {}


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `export` to a parser."""
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
    add(
        "--push",
        metavar="OWNER/NAME",
        help="push the folder to this repository of the Hugging Face Hub, which is made, private, if it is not there "
        '(after: pip install -e ".[hub]" and hf auth login)',
    )


def _add_bits(parser: argparse.ArgumentParser, meaning: str, choices: Sequence[int], default: int | None) -> None:
    parser.add_argument(
        "--bits", type=int, choices=choices, default=default, metavar="|".join(map(str, choices)), help=meaning
    )


def check_export(options: argparse.Namespace) -> None:
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
    if options.push is not None:
        if not options.to_folder:
            raise UserError(f"--push {options.push} is for --out FOLDER, not for a file: leave it out")
        check_push(options.push)
    options.bits = options.bits or (32 if options.to_folder else 16)
    onnx = options.format == "onnx" if options.to_folder else out.suffix == ".onnx"
    for package in ("onnx", "onnxscript") if onnx else ():
        if importlib.util.find_spec(package) is None:
            wanted, other = (
                ("--format onnx", "--format torch") if options.to_folder else ("--out FILE.onnx", "--out FILE.pt2")
            )
            raise UserError(f'{wanted} needs {package}: pip install -e ".[onnx]", or {other}')


def add_lesson_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lesson` to a parser."""
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


def add_clean_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `clean` to a parser."""
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="remove these runs: folders such as logs/han/20260101-120000")
    add("--cache", metavar="KIND", help="remove what is cached of a kind, as the list calls it, or all")
    add("--older", type=_days, default=0.0, metavar="DAYS", help="only what was last changed so many days ago, or more")


def _days(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"expected a number of days, got {text!r}")
    return float(text)


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `compare` to a parser."""
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="folders of runs, or folders of them (default: logs)")
    add("--out", type=Path, metavar="FILE", help="write all metrics, costs and settings that differ: .csv or .html")


def add_labels_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `labels` to a parser."""
    add = parser.add_argument
    add("--folds", type=_folds, default=5, metavar="K", help="parts of train, each checked by a new model (default: 5)")
    add("--out", type=Path, metavar="FOLDER", help="where the results go (default: folder labels of the run)")


def _folds(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a whole number of 2 to 100, got {text!r}")
    return int(text)


def add_compress_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `compress` to a parser."""
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


def check_compress(options: argparse.Namespace) -> None:
    """Check that one size is given, and that there is something to train."""
    if (options.size is None) == (options.times is None):
        raise UserError("compress needs a size: --size 1MB, or --times 16 for a sixteenth; one of the two")
    if options.times is not None and not options.times > 1:
        raise UserError(f"--times is {options.times:g}; it must be above 1")
    if options.epochs < 1:
        raise UserError(f"--epochs is {options.epochs}; it must be 1 or above")
