"""`compress`: a trained text model made small enough for a size, trained a little further, tested before and after.

The new run has its checkpoints, in full precision and with the state of training, and model.safetensors, the compressed
model itself: the file that is tested, and whose size counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import cast

import torch

from lightning_nn.cli.checkpoint import as_saved, open_checkpoint, print_checkpoint, run_settings
from lightning_nn.cli.console import show_data, show_table
from lightning_nn.cli.factory import make_data, make_model, make_trainer
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request
from lightning_nn.cli.train import TrainingSetup, fit, new_run
from lightning_nn.data.batches import TextBatch
from lightning_nn.data.module import DataModule
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run
from lightning_nn.runs.weights_file import open_model, save_weights
from lightning_nn.tasks.compression import Plan, compress_into, deployed_bytes, effects, plan
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.text_classification import TextClassifier

_FRAME = 128  # bytes of the name, type and place of a tensor in a file of weights, at most
RATE = 0.1  # of the run's learning rate, for the training behind the compression


def compress(request: Request) -> int:
    """Run `compress`.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint, it holds no text model, or it can't become so small.
    """
    assert request.options is not None
    options, which = request.options, request.ckpt_path or "best"
    checkpoint = open_checkpoint(request, which)
    print_checkpoint(checkpoint, which, "compressing")
    request = as_saved(request, checkpoint)
    processor = checkpoint.processor()
    cli = _command_line(request, checkpoint, [])
    if not issubclass(cli.task, TextClassifier) or not isinstance(processor, TextProcessor):
        raise UserError(f"{checkpoint.path} holds {checkpoint.model}, which has no table of word vectors to compress")
    cli.seed()
    data, model = _prepared(cli, processor), cli.task.from_checkpoint(checkpoint)
    assert isinstance(model, TextClassifier)
    words, split = processor.vocabulary.words, "test" if "test" in data.sources else "val"
    before = deployed_bytes(model, words)
    size = options.size or int(before / options.times)
    if size >= before:
        raise UserError(f"{checkpoint.path} has {before:,} bytes already, no more than {size:,}: choose a smaller size")
    frame = _frame_bytes(checkpoint, len(model.state_dict()))
    documents = cast(Iterable[TextBatch], data.train_dataloader())
    kept = plan(model, words, effects(model, documents), size - frame, options.bits)
    accuracy = _accuracy(cli, model, data, split)

    cli = _command_line(request._replace(verb=""), checkpoint, _options(cli, kept, options.epochs))
    chosen = TextProcessor(**{**processor.state_dict(), "words": [words[i] for i in kept.words]})
    data = _prepared(cli, chosen)
    show_data(data, sys.stdout)
    small = make_model(cli, data)
    assert isinstance(small, TextClassifier)
    small.processor = data.processor
    place = {character: i for i, character in enumerate(processor.vocabulary.characters)}
    compress_into(small, model, kept, torch.tensor([place[each] for each in chosen.vocabulary.characters]))
    with ExitStack() as held:
        run = new_run(request, held)
        if code := fit(TrainingSetup(cli, data, small, run, None)):
            return code
    file = run.folder / "model.safetensors"
    trained = Checkpoint.open(run.best if run.best.is_file() else run.last)
    save_weights(trained, file, {"command": cli.request.command}, options.bits, small.derived_buffers, type(data))
    after, saved = file.stat().st_size, cli.task.from_checkpoint(open_model(file))
    rows: list[tuple[str, ...]] = [
        ("", "words", "bytes", f"{split}/acc"),
        ("before", f"{len(words):,}", f"{before:,}", f"{accuracy:.4f}"),
        ("after", f"{len(kept.words):,}", f"{after:,}", f"{_accuracy(cli, saved, data, split):.4f}"),
    ]
    print()
    show_table(rows, sys.stdout)
    print(f"{before / after:.1f} times smaller: {file}")
    return 0


def _accuracy(cli: CommandLine, model: Task, data: DataModule, split: str) -> float:
    """Measure the accuracy of a model on a split, test or val."""
    trainer = make_trainer(cli, None)
    (metrics,) = (trainer.test if split == "test" else trainer.validate)(model, datamodule=data, verbose=False)
    return float(metrics[f"{split}/acc"])


def _frame_bytes(checkpoint: Checkpoint, tensors: int) -> int:
    """Estimate the bytes of a file of weights beside weights and words: settings, and names of tensors."""
    kept = {**checkpoint.content["lightning_nn"]["processor"]["state"], "words": []}
    settings = [kept, checkpoint.arguments, checkpoint.data_arguments, checkpoint.settings]
    return len(json.dumps(json.dumps(settings, ensure_ascii=False))) + _FRAME * (tensors + 8)


def _command_line(request: Request, checkpoint: Checkpoint, options: list[str]) -> CommandLine:
    assert request.model and request.data
    saved = run_settings(checkpoint, request.data, Run.of(checkpoint.path))
    return CommandLine(request._replace(rest=options), request.model, request.data, [], saved.taken)


def _prepared(cli: CommandLine, processor: TextProcessor) -> DataModule:
    data = make_data(cli)
    data.use_processor(processor)
    data.prepare_once()
    data.require_split("train")
    return data


def _options(cli: CommandLine, kept: Plan, epochs: int) -> list[str]:
    """Return the options of the training that follows: coded vectors, a lower and constant rate."""
    table = {"kind": "coded", "parts": kept.parts, "centroids": kept.centroids, "norms": "true"}
    options = {f"model.embedding.{name}": value for name, value in table.items()}
    options |= {"optimizer.lr": RATE * cli.config.optimizer.lr, "lr_scheduler.name": "constant"}
    options |= {"lr_scheduler.warmup": 0, "trainer.max_epochs": epochs}
    return [f"--{name}={value}" for name, value in options.items()]
