"""`predict`: predictions for the user's own text or images, from a checkpoint alone."""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from lightning_fabric import Fabric
from PIL import Image
from rich.console import Console

from lightning_nn import catalog
from lightning_nn.cli.prediction_writers import choose_form, writer
from lightning_nn.cli.request import Request, refuse_training_options
from lightning_nn.cli.saved import open_checkpoint, saved_model, saved_settings, say_left_out
from lightning_nn.data.images.reading import MAX_PIXELS
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.tasks.base import Task
from lightning_nn.tasks.text_classification import TextClassifier
from lightning_nn.visualization.attention import page, terminal

CHUNK = 1024  # inputs in memory at once
CHARACTERS = 4_000_000  # characters in memory at once, except in a single longer input
IMAGES = 64  # images in memory at once


def predict(request: Request) -> int:
    """Run `predict`.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint or no input, or one can't be read.
    """
    refuse_training_options(request)
    options = _options(request.rest)
    checkpoint = open_checkpoint(request, request.ckpt_path or "best")
    path, name = checkpoint.path, saved_model(request, checkpoint)
    say_left_out(saved_settings(checkpoint).left_out, path)
    model: Task = catalog.MODELS[name].load().from_checkpoint(checkpoint)
    model.to(_device(options.accelerator))
    print(f"predicted by {path} ({name})", file=sys.stderr)
    inputs = model.require_processor().inputs(options)
    if options.out:
        _check_out(options.out, options.file)
    form = choose_form(options.out, options.format)
    if options.explain:
        texts = list(itertools.islice(inputs, CHUNK))
        if next(inputs, None) is not None:
            print(f"only the first {CHUNK:,} texts are explained", file=sys.stderr)
        inputs = iter(texts)
        is_page = form == "html" and options.out
        _explain(model, texts, options.out if is_page else Path("attention.html"))
        if is_page or not options.out:
            return 0
    count = 0
    with writer(options.out, form, f"Predictions: {type(model).__name__}") as write:
        for chunk in _chunks(inputs):
            for raw, prediction in zip(chunk, model.predict(chunk), strict=True):
                write(raw, prediction)
            count += len(chunk)
    if options.out:
        print(f"{count:,} prediction{'s' * (count != 1)} in {options.out}", file=sys.stderr)
    return 0


def _check_out(out: Path, file: str | None) -> None:
    """Refuse an output file that can't be written, before anything is predicted.

    Raises:
        UserError: it is a folder, its folder does not exist, or it is an input file.
    """
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file")
    if not out.parent.is_dir():
        raise UserError(f"can't write --out {out}: no such folder: {out.parent}")
    read = Path(file or "-")
    if not out.exists() or not read.exists():
        return
    is_image = read.is_dir() and out.suffix.lower() in Image.registered_extensions()
    if out.samefile(read) or (is_image and out.resolve().is_relative_to(read.resolve())):
        raise UserError(f"--out {out} is an input file; name another one")


def _chunks(inputs: Iterator[Any]) -> Iterator[list[Any]]:
    """Yield the inputs in chunks of bounded size."""
    chunk: list[Any] = []
    size = 0
    for raw in inputs:
        chunk.append(raw)
        size += len(raw) if isinstance(raw, str) else CHARACTERS // IMAGES
        if len(chunk) == CHUNK or size >= CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options of `predict`."""
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
        dest="file",
        help="a file with one text per line, - for standard input; for a picture model, a picture or a folder of them",
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
        help="write predictions to a file: .csv, .jsonl or an .html page. A table has inputs and predictions; a text "
        "that a spreadsheet would read as a formula gets a ' before it; images become PNG files in a folder beside it",
    )
    out.add_argument(
        "--format",
        choices=["csv", "jsonl", "html"],
        help="overrides the file's suffix (default without --out: CSV in a pipe)",
    )
    out.add_argument(
        "--explain", action="store_true", help="show what the model attended to, here and in attention.html"
    )
    out.add_argument(
        "--trainer.accelerator", dest="accelerator", default="auto", help="cpu, gpu, mps, ... (default: auto)"
    )
    return out


def _options(rest: list[str]) -> argparse.Namespace:
    known = parser()
    options, unknown = known.parse_known_args(rest)
    if unknown:
        names = re.findall(r"--[a-z._]+", known.format_help())
        raise UserError(f"unknown option {unknown[0]} of predict{nearest(unknown[0].partition('=')[0], names)}")
    if options.text is None and options.file is None:
        raise UserError('predict needs an input: --data.text "……" or --data.file FILE (- for standard input)')
    return options


def _explain(model: Task, texts: list[str], file: Path) -> None:
    """Show what the model attended to, in the terminal and on a page."""
    if not model.attends:
        raise UserError(
            f"--explain needs a model with attention: --model han, or --model lstm with --model.pooling attention "
            f"(this is {model.name})"
        )
    explanations = cast(TextClassifier, model).explain(texts)
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for explanation in explanations:
        console.print(terminal(explanation, width=console.width))
        console.print()
    write_text(file, page(explanations, "Attention"))
    print(f"written to {file}")


def _device(accelerator: str) -> torch.device:
    """Return the device that Lightning selects."""
    try:
        return Fabric(accelerator=accelerator, devices=1).device
    except Exception as error:
        raise UserError(f"--trainer.accelerator {accelerator}: {error}") from None
