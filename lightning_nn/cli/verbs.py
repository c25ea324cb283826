"""The verbs of the command: what each does, its help, and the options of `predict` and `export`, without torch."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from lightning_nn import catalog
from lightning_nn.errors import UserError, nearest

VERBS = {
    "fit": "train, without a test at the end",
    "validate": "metrics of a checkpoint on the validation split",
    "test": "metrics of a checkpoint on the test split",
    "predict": "predictions for your own text or pictures",
    "export": "the network of a checkpoint as ONNX or for torch",
}
ARGUMENTS: tuple[tuple[str, type, str], ...] = (
    ("beam", int, "of captions, beginnings that beam search keeps; 1 is greedy search if length_norm is 0"),
    ("longest", int, "maximum number of words of a caption"),
    ("length_norm", float, "exponent of the length by which log-probabilities of captions are divided, 0 to 10"),
)
FORMS = ("text", "csv", "tsv", "jsonl", "json", "parquet", "xlsx")
EXPORTS = (".onnx", ".pt2")


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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options of `predict`."""
    from lightning_nn.data.images.reading import MAX_PIXELS

    out = _Parser(
        "train.py predict",
        "train.py predict --ckpt_path last|best|FILE [--model NAME] --data.text TEXT",
        allow_abbrev=False,
        description="Predicts with a trained model. Without --ckpt_path, the best checkpoint of the newest run.",
        add_help=False,
    )
    out.add_argument("--data.text", dest="text", action="append", help="a text; may be given several times")
    out.add_argument(
        "--data.file",
        dest="files",
        nargs="+",
        action="extend",
        default=[],
        help="a table (.csv, .tsv, .jsonl, .json, .gz of these, .parquet, .xlsx), a file with one text per line, or - "
        "for standard input; for a model of pictures any number of pictures, folders and patterns (photos/*.jpg)",
    )
    out.add_argument(
        "--data.format",
        dest="form",
        choices=FORMS,
        help="how to read the file or standard input, whatever its name; text is one text per line",
    )
    out.add_argument(
        "--data.text_column",
        dest="text_column",
        help="name of the table's text column, or its number from 1 if there is no header (default: as in training)",
    )
    out.add_argument("--data.encoding", dest="encoding", default="utf-8", help="encoding of the file (default: utf-8)")
    out.add_argument(
        "--data.max_pixels",
        dest="max_pixels",
        type=int,
        default=MAX_PIXELS,
        help=f"refuse a picture with more pixels, each of which takes up to 16 bytes (default: {MAX_PIXELS})",
    )
    out.add_argument(
        "--out",
        type=Path,
        help="write predictions to a file: .png for one picture; .csv, .jsonl or an .html page, a row for each input: "
        "its own columns, then those of the prediction; for a table or lines also why one can't be read, in the column "
        "error. Images become PNG files in a folder beside it",
    )
    out.add_argument(
        "--format",
        choices=["csv", "jsonl", "html"],
        help="overrides the file's suffix (default without --out: CSV in a pipe)",
    )
    out.add_argument(
        "--all_classes", action="store_true", help="also write the probability of each class, in a column of its own"
    )
    out.add_argument(
        "--guard_formulas",
        dest="guard",
        type=_flag,
        metavar="true|false",
        default=True,
        help="put a ' before a text that a spreadsheet would read as a formula, in CSV (default: true)",
    )
    for name, kind, text in ARGUMENTS:
        text = f"{text} (default: as in training)"
        out.add_argument(f"--model.{name}", dest=name, type=kind, metavar=kind.__name__.upper(), help=text)
    out.add_argument(
        "--explain", action="store_true", help="show what the model attended to, here and in attention.html"
    )
    out.add_argument(
        "--trainer.accelerator", dest="accelerator", default="auto", help="cpu, gpu, mps, ... (default: auto)"
    )
    return out


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {value!r}")
    return value.lower() == "true"


def parse_options(rest: list[str]) -> argparse.Namespace:
    """Parse the options of `predict`; those of the model go into `arguments`.

    Raises:
        UserError: an unknown option or value.
    """
    known = parser()
    options, unknown = known.parse_known_args(rest)
    if unknown:
        names = re.findall(r"--[a-z._]+", known.format_help())
        raise UserError(f"unknown option {unknown[0]} of predict{nearest(unknown[0].partition('=')[0], names)}")
    given = {name: vars(options).pop(name) for name, _, _ in ARGUMENTS}
    options.arguments = {name: value for name, value in given.items() if value is not None}
    return options


def parse_export(rest: list[str]) -> Path:
    """Parse the options of `export`, and look whether what it needs is installed.

    Returns:
        The file to write.

    Raises:
        UserError: an unknown option, no file of a known kind, or no package that writes it.
    """
    known = _Parser(allow_abbrev=False, add_help=False)
    known.add_argument("--out", type=Path)
    options, unknown = known.parse_known_args(rest)
    out: Path | None = options.out
    if unknown:
        raise UserError(f"unknown option {unknown[0]} of export{nearest(unknown[0].partition('=')[0], ['--out'])}")
    if out is None or out.suffix not in EXPORTS:
        raise UserError(f"export needs a file to write: --out model.onnx or --out model.pt2 (got {out})")
    for package in ("onnx", "onnxscript") if out.suffix == ".onnx" else ():
        if importlib.util.find_spec(package) is None:
            raise UserError(f'--out FILE.onnx needs {package}: pip install -e ".[onnx]", or --out FILE.pt2')
    return out
