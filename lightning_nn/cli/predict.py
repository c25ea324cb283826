"""`predict`: predictions for the user's own text or images, from a checkpoint alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from rich.console import Console

from lightning_nn import catalog
from lightning_nn.cli.checkpoint import open_checkpoint, saved_model, saved_settings, say_checkpoint, say_left_out
from lightning_nn.cli.overwriting import InputFiles, check_out
from lightning_nn.cli.request import Request, refuse_training_options
from lightning_nn.cli.streams import PromptInput
from lightning_nn.cli.verbs import parse_options
from lightning_nn.cli.writers import choose_form, writer
from lightning_nn.data.images.image_files import named_images
from lightning_nn.data.processor import NO_INPUT, Processor, Record
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Prediction
from lightning_nn.tasks.classification import Classifier, TextClassifier
from lightning_nn.tasks.stylization import Stylization
from lightning_nn.tasks.task import Task
from lightning_nn.visualization.attention import page, terminal

CHUNK = 1024  # inputs in memory at once
CHARACTERS = 4_000_000  # characters in memory at once, except in a single longer input
IMAGES = 64  # images in memory at once
MOST = 0.5  # share of unknown words above which predictions mean little
ENOUGH = 200  # words after which it is said, and not only at the end
_SHOWN = 3  # reasons named of inputs that can't be read


def predict(request: Request) -> int:
    """Run `predict`.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint or no input, or none of the inputs can be read.
    """
    refuse_training_options(request)
    options = parse_options(request.rest)
    options.say, options.stdin = _say, PromptInput(sys.stdin.buffer)
    which = request.ckpt_path or ("best" if _validates(request.model) else "last")
    try:
        checkpoint = open_checkpoint(request, which)
    except UserError:
        if options.text is None and not options.files:
            raise UserError(NO_INPUT) from None
        raise
    name = saved_model(request, checkpoint)
    say_checkpoint(checkpoint, which, "predicted by")
    say_left_out(saved_settings(checkpoint).left_out, checkpoint.path)
    task: type[Task] = catalog.MODELS[name].load()
    if foreign := options.arguments.keys() - task.prediction_arguments:
        raise UserError(
            f"--model.{min(foreign)} needs a model that writes captions, which {name} does not: leave it out"
        )
    model = task.from_checkpoint(checkpoint, **options.arguments)
    model.to(_device(options.accelerator))
    if options.all_classes:
        if not isinstance(model, Classifier):
            raise UserError(f"--all_classes needs a model that predicts classes, which {name} does not: leave it out")
        model.all_classes = True
    processor = model.require_processor()
    records: Iterator[Record] = map(_record, processor.inputs(options))
    form = choose_form(options.out, options.format)
    is_page = bool(form == "html" and options.out)
    page_file = Path("attention.html") if options.explain and not is_page else None
    inputs = InputFiles.of(checkpoint, request.imports, _files(options.files))
    if options.out:
        check_out(options.out, inputs)
    if page_file:
        inputs.refuse(page_file, "--explain")
        if options.out and os.path.realpath(options.out) == os.path.realpath(page_file):
            raise UserError(f"--explain writes {page_file}, which is --out too; name another file")
    if isinstance(model, Stylization) and not options.out and form != "html":
        raise UserError(
            f"{name} makes pictures: name a file, --out picture.png for one, or --out pictures.csv for several, "
            "which go into a folder beside it"
        )
    if options.explain:
        explained = list(itertools.islice(records, CHUNK))
        if next(records, None) is not None:
            _say(f"only the first {CHUNK:,} texts are explained")
        records = iter(explained)
        texts = [record.raw for record in explained if not record.error]
        if explained and not texts:
            raise _unreadable(explained[0].error, len(explained))
        _explain(model, texts, page_file or options.out)
        if is_page or not options.out:
            _warns_of_unknown_words(processor, checkpoint)
            _say_unreadable([record.error for record in explained if record.error], len(explained))
            return 0
    waits = options.stdin.waits if options.files == ["-"] else lambda: False
    count, warned = 0, False
    reasons: list[str] = []
    title = f"Predictions: {type(model).__name__}"
    with writer(options.out, form, title, guard=options.guard, say=_say, inputs=inputs) as write:
        for chunk in _chunks(records, waits):
            for record, prediction in _predicted(model, chunk):
                write(record, prediction)
                if record.error:
                    reasons.append(record.error if len(reasons) < _SHOWN else "")
            count += len(chunk)
            warned = warned or _warns_of_unknown_words(processor, checkpoint, ENOUGH)
        if count and len(reasons) == count:
            raise _unreadable(reasons[0], count)
    warned or _warns_of_unknown_words(processor, checkpoint)
    _say_unreadable(reasons, count)
    if options.out:
        done = count - len(reasons)
        _say(f"{done:,} prediction{'s' * (done != 1)} in {options.out}")
    return 0


def _validates(model: str | None) -> bool:
    """Return whether a model, by its name, has a best checkpoint; True if it is not known yet."""
    return model is None or catalog.find(catalog.MODELS, model, "model").load().monitor is not None


def _files(names: list[str]) -> Iterator[Path]:
    """Yield the files that names on the command line may stand for."""
    for name in names:
        yield Path(name)
        with contextlib.suppress(UserError):  # each processor says by itself what it can't read
            yield from named_images([name])


def _predicted(model: Task, chunk: list[Record]) -> list[tuple[Record, Prediction]]:
    """Predict on records; if one of them turns out not to be readable, on each by itself."""
    try:
        return list(zip(chunk, model.predict([record.raw for record in chunk]), strict=True))
    except UserError as error:
        if any(record.empty is None for record in chunk):
            raise
        if len(chunk) > 1:
            return [pair for record in chunk for pair in _predicted(model, [record])]
        return [(chunk[0]._replace(error=str(error)), model.predict([chunk[0].empty])[0])]


def _say_unreadable(reasons: list[str], count: int) -> None:
    """Say how many of the inputs can't be read, and why the first of them."""
    if reasons:
        more = "; ..." if len(reasons) > _SHOWN else ""
        _say(f"{len(reasons):,} of {count:,} inputs can't be read: {'; '.join(reasons[:_SHOWN])}{more}")


def _unreadable(reason: str | None, count: int) -> UserError:
    return UserError(f"none of {count:,} inputs can be read: {reason}")


def _say(remark: str) -> None:
    print(sanitize(remark), file=sys.stderr, flush=True)


def _record(raw: Any) -> Record:
    return raw if isinstance(raw, Record) else Record(raw, {"input": raw})


def _warns_of_unknown_words(processor: Processor, checkpoint: Checkpoint, least: int = 1) -> bool:
    """Warn if most words of the inputs so far are unknown, and return whether they are.

    Args:
        processor: that of the model, after its predictions.
        checkpoint: the file of the model.
        least: number of words below which nothing is said yet.
    """
    if not isinstance(processor, TextProcessor) or processor.read < least or processor.unknown_share() <= MOST:
        return False
    trained = checkpoint.data_arguments.get("path") or checkpoint.data or "other texts"
    _say(
        f"warning: {processor.unknown_share():.0%} of the words are unknown to this model, which was trained on "
        f"{trained}: its predictions mean little for such texts"
    )
    return True


def _chunks(records: Iterator[Record], waits: Callable[[], bool]) -> Iterator[list[Record]]:
    """Yield the records in chunks of bounded size; a chunk ends where reading on would wait."""
    chunk: list[Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        texts = [value for value in (record.raw, *record.cells.values()) if isinstance(value, str)]
        size += sum(map(len, texts)) if isinstance(record.raw, str) else CHARACTERS // IMAGES
        if len(chunk) == CHUNK or size >= CHARACTERS or waits():
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


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
    replaced = ", which is replaced" * file.is_file()
    write_text(file, page(explanations, "Attention"))
    print(f"written to {file}{replaced}")


def _device(accelerator: str) -> torch.device:
    """Return the device that Lightning selects."""
    try:
        return Fabric(accelerator=accelerator, devices=1).device
    except Exception as error:
        raise UserError(f"--trainer.accelerator {accelerator}: {error}") from None
