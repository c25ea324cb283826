"""`predict`: predictions for the user's own text or images, from a checkpoint alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console

from lightning_nn import catalog
from lightning_nn.cli.checkpoint import open_trained
from lightning_nn.cli.overwriting import InputFiles, check_out
from lightning_nn.cli.request import Request
from lightning_nn.cli.streams import PromptInput
from lightning_nn.cli.writers import Form, Write, choose_form, writer
from lightning_nn.data.images.image_files import named_images
from lightning_nn.data.processor import NO_INPUT, Record
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Prediction
from lightning_nn.tasks.task import Task
from lightning_nn.visualization import attention, gates, gradients

CHUNK = 1024  # inputs in memory at once
CHARACTERS = 4_000_000  # characters in memory at once, except in a single longer input
IMAGES = 64  # images in memory at once
ENOUGH = 20  # texts after which it is said that most of them have unknown words, and not only at the end
_SHOWN = 3  # reasons named of inputs that can't be read
_WORDS = 5  # unknown words named


def predict(request: Request) -> int:
    """Run `predict`.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint or no input, or none of the inputs can be read.
    """
    assert request.options is not None
    options = request.options
    options.say, options.stdin = _say, PromptInput(sys.stdin.buffer)
    checkpoint = _open(request)
    model = _load(request, checkpoint)
    records: Iterator[Record] = map(_record, model.require_processor().inputs(options))
    form = choose_form(options.out, options.format)
    is_page = bool(form == "html" and options.out)
    shown = model.explains if options.explain is True else options.explain
    if options.explain and shown is None:
        raise UserError(
            "--explain needs attention or gates: --model han, or --model lstm with --model.cell lstm or gru "
            f"(this is {model.name}); --explain gradients takes any classifier of texts"
        )
    page_file = Path(f"{shown}.html") if options.explain and not is_page else None
    inputs = InputFiles.of(checkpoint, request.imports, _files(options.files))
    _check_outputs(model, options.out, form, page_file, inputs)
    if shown:
        explained = _explain(model, shown, records, page_file or options.out)
        if is_page or not options.out:
            _warn(model, checkpoint)
            _Tally.of(explained).say()
            return 0
        if tally := model.unknown_words():
            tally.clear()  # the same inputs follow, to be written
        records = iter(explained)
    waits = options.stdin.waits if options.files == ["-"] else lambda: False
    title = f"Predictions: {type(model).__name__}"
    with writer(options.out, form, title, guard=options.guard, say=_say, inputs=inputs) as write:
        inputs_read = _write_predictions(write, model, checkpoint, _chunks(records, waits))
    inputs_read.say()
    if options.out:
        done = inputs_read.count - inputs_read.unreadable
        _say(f"{done:,} prediction{'s' * (done != 1)} in {options.out}")
    return 0


def _write_predictions(write: Write, model: Task, checkpoint: Checkpoint, chunks: Iterable[list[Record]]) -> _Tally:
    """Predict and write, and warn of unknown words as soon as there are enough.

    Raises:
        UserError: none of the inputs can be read.
    """
    tally, warned_at = _Tally(), 0
    for chunk in chunks:
        for record, prediction in _predicted(model, chunk):
            write(record, prediction)
            tally.add(record)
        if not warned_at and _are_mostly_unknown(model):
            _warn(model, checkpoint)
            warned_at = tally.count
    if tally.count and tally.unreadable == tally.count:
        raise UserError(f"none of {tally.count:,} inputs can be read: {tally.reasons[0]}")
    if not warned_at:
        _warn(model, checkpoint)
    elif tally.count > warned_at and (unknown := model.unknown_words()):
        _say(f"most content words are unknown in {unknown.unfamiliar:,} of all {unknown.texts:,} texts")
    return tally


def _open(request: Request) -> Checkpoint:
    """Open the checkpoint: the best of the newest run by default, or the last of a model that is not validated."""
    validates = request.model is None or catalog.find(catalog.MODELS, request.model, "model").load().monitor is not None
    which = request.ckpt_path or ("best" if validates else "last")
    try:
        return open_trained(request, which, "predicted by")
    except UserError:
        if request.options is None or (request.options.text is None and not request.options.files):
            raise UserError(NO_INPUT) from None
        raise


def _load(request: Request, checkpoint: Checkpoint) -> Task:
    """Load the model, with the arguments of the command line that have a part in predictions, on the device asked for.

    Raises:
        UserError: the model has no part that an option is for.
    """
    assert request.options is not None
    name, options = checkpoint.model, request.options
    task: type[Task] = catalog.MODELS[name].load()
    if foreign := options.arguments.keys() - task.prediction_arguments:
        raise UserError(
            f"--model.{min(foreign)} needs a model that writes captions, which {name} does not: leave it out"
        )
    model = task.from_checkpoint(checkpoint, **options.arguments)
    model.to(_device(options.accelerator))
    if options.all_classes and not model.predicts_classes:
        raise UserError(f"--all_classes needs a model that predicts classes, which {name} does not: leave it out")
    if options.calibrated is not None and not model.predicts_classes:
        raise UserError(f"--calibrated needs a model that predicts classes, which {name} does not: leave it out")
    model.all_classes, model.calibrated = options.all_classes, options.calibrated is not False
    return model


def _check_outputs(model: Task, out: Path | None, form: Form, page_file: Path | None, inputs: InputFiles) -> None:
    """Refuse files to write that can't be written or are inputs, before anything is computed."""
    if out:
        check_out(out, inputs)
    elif model.predicts_images and form != "html":
        raise UserError(
            f"{model.name} makes pictures: name a file, --out picture.png for one, or --out pictures.csv for several, "
            "which go into a folder beside it"
        )
    if page_file:
        inputs.refuse(page_file, "--explain")
        if out and os.path.realpath(out) == os.path.realpath(page_file):
            raise UserError(f"--explain writes {page_file}, which is --out too; name another file")


class _Tally:
    """Count of the inputs, and of those that can't be read, with the first reasons."""

    def __init__(self) -> None:
        self.count = self.unreadable = 0
        self.reasons: list[str] = []

    @classmethod
    def of(cls, records: Iterable[Record]) -> _Tally:
        """Count inputs."""
        tally = cls()
        for record in records:
            tally.add(record)
        return tally

    def add(self, record: Record) -> None:
        """Count an input."""
        self.count += 1
        if record.error:
            self.unreadable += 1
            self.reasons += [record.error] * (len(self.reasons) < _SHOWN)

    def say(self) -> None:
        """Print how many of the inputs can't be read, and why the first of them."""
        if self.unreadable:
            more = "; ..." if self.unreadable > _SHOWN else ""
            _say(f"{self.unreadable:,} of {self.count:,} inputs can't be read: {'; '.join(self.reasons)}{more}")


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


def _say(remark: str) -> None:
    print(sanitize(remark), file=sys.stderr, flush=True)


def _record(raw: Any) -> Record:
    return raw if isinstance(raw, Record) else Record(raw, {"input": raw})


def _warn(model: Task, checkpoint: Checkpoint) -> None:
    """Warn of inputs most of whose content words are unknown, if there are any."""
    tally = model.unknown_words()
    if tally is None or not tally.unfamiliar:
        return
    trained = checkpoint.data_arguments.get("path") or checkpoint.data or "other texts"
    words = ", ".join([*tally.words[:_WORDS], *["..."] * (len(tally.words) > _WORDS)])
    counts = f"in {tally.unfamiliar:,} of {tally.texts:,} texts most content words"
    if tally.texts == 1:
        counts = f"{len(tally.words)} of {tally.counted} content words"
    _say(
        f"warning: {counts} are unknown to this model, which was trained on {trained} ({words}): its predictions mean "
        "little for such texts"
    )


def _are_mostly_unknown(model: Task) -> bool:
    """Return whether so many inputs so far have unknown words that it should be said before the last input."""
    tally = model.unknown_words()
    return tally is not None and tally.texts >= ENOUGH and 2 * tally.unfamiliar > tally.texts


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


def _explain(model: Task, shown: str, records: Iterator[Record], file: Path) -> list[Record]:
    """Show what the model explains, in the terminal and on a page, and return the records that are explained.

    Raises:
        UserError: none of the records can be read.
    """
    explained = list(itertools.islice(records, CHUNK))
    if next(records, None) is not None:
        _say(f"only the first {CHUNK:,} texts are explained")
    texts = [record.raw for record in explained if not record.error]
    if explained and not texts:
        raise UserError(f"none of {len(explained):,} inputs can be read: {explained[0].error}")
    view: Any = {"attention": attention, "gates": gates, "gradients": gradients}[shown]
    explanations: list[Any] = model.explain_by_gradients(texts) if shown == "gradients" else [*model.explain(texts)]
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for explanation in explanations:
        console.print(view.terminal(explanation, width=console.width))
        console.print()
    replaced = ", which is replaced" * file.is_file()
    write_text(file, view.page(explanations, shown.capitalize()))
    print(f"written to {file}{replaced}")
    return explained


def _device(accelerator: str) -> torch.device:
    """Return the device that Lightning selects."""
    try:
        return Fabric(accelerator=accelerator, devices=1).device
    except Exception as error:
        raise UserError(f"--trainer.accelerator {accelerator}: {error}") from None
