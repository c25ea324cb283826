"""`predict`: answers for a person's own text or pictures, from a checkpoint alone."""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from pytorch_lightning import Trainer
from rich.cells import set_cell_size
from rich.console import Console

from lightning_nn import catalog
from lightning_nn.cli.request import Request, refuse_training_options
from lightning_nn.cli.saved import open_checkpoint, saved_model, saved_settings, say_left_out
from lightning_nn.errors import UserError, nearest
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.classification import Classifier, ClassPrediction
from lightning_nn.visualization.attention import page, terminal

CHUNK = 1024  # inputs held in memory at once
CHARACTERS = 4_000_000  # of them together, but for a single one


def predict(request: Request) -> int:
    """Runs `predict`.

    Returns:
        The exit code.

    Raises:
        UserError: no checkpoint, no input, or one that can't be read.
    """
    refuse_training_options(request)
    options = _options(request.rest)
    checkpoint = open_checkpoint(request, request.ckpt_path or "best")
    path, name = checkpoint.path, saved_model(request, checkpoint)
    say_left_out(saved_settings(checkpoint).left_out, path)
    model: Classifier = catalog.MODELS[name].load().from_checkpoint(checkpoint)
    model.to(_device(options.accelerator))
    print(f"answered by {path} ({name})", file=sys.stderr)
    inputs = model.require_processor().inputs(options)
    if options.out and options.out.is_dir():
        raise UserError(f"--out {options.out} is a folder; name a file")
    if options.out and options.file and options.out.exists() and options.out.samefile(options.file):
        raise UserError(f"--out {options.out} is the file that is read; name another one")
    if options.explain:
        texts = list(itertools.islice(inputs, CHUNK))
        if next(inputs, None) is not None:
            print(f"only the first {CHUNK:,} texts are explained", file=sys.stderr)
        inputs = iter(texts)
        _explain(model, texts)
        if not options.out:
            return 0
    count = 0
    with _writer(options.out) as write:
        for chunk in _chunks(inputs):
            for raw, answer in zip(chunk, model.predict(chunk), strict=True):
                write(str(raw), answer)
            count += len(chunk)
    if options.out:
        print(f"{count:,} answer{'s' * (count != 1)} in {options.out}", file=sys.stderr)
    return 0


def _chunks(inputs: Iterator[Any]) -> Iterator[list[Any]]:
    """Inputs a bounded part at a time."""
    chunk: list[Any] = []
    size = 0
    for raw in inputs:
        chunk.append(raw)
        size += len(str(raw))
        if len(chunk) == CHUNK or size >= CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parser() -> argparse.ArgumentParser:
    """The arguments of `predict`."""
    out = _Parser(
        "train.py predict",
        "train.py predict --ckpt_path last|best|FILE [--model NAME] --data.text TEXT",
        allow_abbrev=False,
        description="Asks a trained model. Without --ckpt_path, the best checkpoint of the newest run.",
        add_help=False,
    )
    out.add_argument("--data.text", dest="text", action="append", help="a text; can be given several times")
    out.add_argument(
        "--data.file",
        dest="file",
        help="a file with a text a line, - for standard input; for a picture model, a picture or a folder of them",
    )
    out.add_argument("--data.encoding", dest="encoding", default="utf-8", help="of the file (default: utf-8)")
    out.add_argument(
        "--out",
        type=Path,
        help="write a CSV file: input, category, probability; an input that a spreadsheet would take for a formula "
        "gets a ' before it",
    )
    out.add_argument("--explain", action="store_true", help="show what the model looked at, here and in attention.html")
    out.add_argument(
        "--trainer.accelerator", dest="accelerator", default="auto", help="cpu, gpu, mps, ... (default: auto)"
    )
    return out


def _options(rest: list[str]) -> argparse.Namespace:
    known = parser()
    options, unknown = known.parse_known_args(rest)
    if unknown:
        names = [o for action in known._actions for o in action.option_strings]
        raise UserError(f"unknown option {unknown[0]} of predict{nearest(unknown[0].partition('=')[0], names)}")
    if options.text is None and options.file is None:
        raise UserError('say what to predict: --data.text "……" or --data.file FILE (- for standard input)')
    return options


@contextmanager
def _writer(out: Path | None) -> Iterator[Any]:
    """A function that takes an input and its answer: to a CSV file, a pipe (CSV as well) or the terminal."""
    if out is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns

        def show(raw: str, answer: ClassPrediction) -> None:
            head = f"{sanitize(answer.category)}  {answer.probability:.3f}  "
            print(set_cell_size(head + sanitize(raw), width).rstrip())

        yield show
        return
    if out is None:
        with _rows(sys.stdout) as write:
            yield write
        return
    part = out.with_name(f".{out.name}.part")  # the file appears when all answers are in it
    try:
        with part.open("w", encoding="utf-8", newline="") as stream, _rows(stream) as write:
            yield write
        part.replace(out)
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _rows(stream: TextIO) -> Iterator[Any]:
    rows = csv.writer(stream, lineterminator="\n")
    head = iter([["input", "category", "probability"]])  # written with the first answer, so not before an error

    def write(raw: str, answer: ClassPrediction) -> None:
        rows.writerows(head)
        rows.writerow([cell(raw), cell(answer.category), f"{answer.probability:.4f}"])

    yield write
    rows.writerows(head)
    stream.flush()


def cell(text: str) -> str:
    """Text that neither a terminal takes for a command nor a spreadsheet for a formula."""
    text = sanitize(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _explain(model: Classifier, texts: list[str]) -> None:
    """Shows where the model looked, in the terminal and on a page."""
    explain = getattr(model, "explain", None)
    if explain is None:
        raise UserError(f"--explain needs a model with attention maps: --model han (this is {model.name})")
    explanations = explain(texts)
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for explanation in explanations:
        console.print(terminal(explanation, width=console.width))
        console.print()
    file = Path("attention.html")
    try:
        file.write_text(page(explanations, "Attention"), encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write {file}: {error.strerror}") from None
    print(f"written to {file}")


def _device(accelerator: str) -> Any:
    """The device that Lightning selects."""
    try:
        trainer = Trainer(accelerator=accelerator, devices=1, logger=False, enable_checkpointing=False)
    except Exception as error:
        raise UserError(f"--trainer.accelerator {accelerator}: {error}") from None
    return trainer.strategy.root_device
