"""Training speed: an epoch of the command against a plain loop, and HAN's flat step against the usual ones.

    python benchmarks/speed.py epoch --rounds 5 --model han          # and any other options of train.py
    python benchmarks/speed.py epoch --rounds 3 --model convnet --data cifar10 -c conf/convnet-cifar10-record.yaml
    python benchmarks/speed.py epoch --rounds 3 --model show_and_tell --data.train_size 2000
    python benchmarks/speed.py step --rounds 5

epoch   `train.py fit` as it is, with TensorBoard, checkpoints and bar, against a plain PyTorch loop over the same
        model, weights, augmented batches, optimizer and validation, with the same weights at its end. Alternating, in
        one process. The goal is a ratio of 1.10 for a HAN, of 1.03 for a ConvNet and of 1.05 for a captioner.
step    forward and backward of one batch after another, on the bulletins and on documents as long as a news archive's,
        against a loop over sentences and against padding. Logits are first checked to agree.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning.utilities import move_data_to_device
from report import Report, Spread, at_least, parser, run_main
from ways import WAYS, describe, padded_words

from lightning_nn import HAN, TextBatch, catalog
from lightning_nn.cli import main as cli
from lightning_nn.cli.request import parse
from lightning_nn.data.batches import Index
from lightning_nn.data.loader import BatchSampler
from lightning_nn.errors import UserError
from lightning_nn.tasks.captioning import Captioning
from lightning_nn.tasks.classification import Classifier


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=5, help="n: measurements of each side; default 5")
    kinds = made.add_subparsers(dest="what", required=True)
    epoch = kinds.add_parser("epoch", help="the command against a plain loop; further options are train.py's")
    step = kinds.add_parser("step", help="the flat step against padding and a loop over sentences")
    for one in (epoch, step):
        one.add_argument("--rounds", type=at_least(1), default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        one.add_argument("--json", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    epoch.add_argument("--epochs", type=at_least(1), default=1, help="epochs in a round; default 1")
    step.add_argument("--batches", type=at_least(1), default=4, help="batches of each kind of documents; default 4")
    step.add_argument("--vocabulary", type=at_least(2), default=20_000, help="size in words; default %(default)s")
    step.add_argument("--hidden_size", type=at_least(1), default=50)
    step.add_argument("--embedding_size", type=at_least(1), default=200)
    args, rest = made.parse_known_args(argv)
    if args.what == "step":
        if rest:
            raise UserError(f"unknown option {rest[0]}; see: python benchmarks/speed.py step --help")
        report = measure_steps(args)
    else:
        report = measure_epochs(args.rounds, args.epochs, rest)
    report.show(args.json)


# ---------------------------------------------------------------------- an epoch


class Setup(NamedTuple):
    """The state from which both sides start, and how many batches an epoch has; None: all."""

    data: Any
    model: Any
    weights: dict[str, torch.Tensor]
    clip: float | None
    device: torch.device
    train_batches: int | None
    val_batches: int | None


def measure_epochs(rounds: int, epochs: int, options: list[str]) -> Report:
    """Measure the seconds of an epoch on both sides."""
    options = [*options] if "--model" in options else ["--model", "han", *options]
    options += ["--trainer.max_epochs", str(epochs), "--checkpoint.minutes", "3"]
    setup = prepare(options)
    sides: dict[str, list[float]] = {"train.py": [], "plain loop": []}
    with tempfile.TemporaryDirectory() as logs:
        few = setup._replace(train_batches=3, val_batches=1)
        run_plain(few, 1)  # warm-up: first allocations and reads count for neither side
        for number in range(rounds):
            for side in sorted(sides, reverse=number % 2 == 0):
                if side == "train.py":
                    seconds = run_command(options, Path(logs), f"round{number}") / epochs
                else:
                    seconds = run_plain(setup, epochs) / epochs
                sides[side].append(seconds)
                print(f"round {number + 1} of {rounds}, {side}: {seconds:.2f} s an epoch", file=sys.stderr)
    spreads = {side: Spread.of(values) for side, values in sides.items()}
    ratio = spreads["train.py"].median / spreads["plain loop"].median
    ratios = Spread.of([a / b for a, b in zip(sides["train.py"], sides["plain loop"], strict=True)])
    loader = setup.data.train_dataloader()
    steps = len(range(len(loader))[: setup.train_batches])
    samples = len(setup.data.sources["train"]) * steps // len(loader)
    rows = [[side, spread.text(), f"{samples / spread.median:,.0f}"] for side, spread in spreads.items()]
    return Report(
        f"An epoch of {type(setup.model).__name__} with its validation: the command against a plain loop",
        ["side", "seconds an epoch, median (range)", "samples/s"],
        rows,
        notes=[
            f"Ratio of the medians {ratio:.3f}; of single rounds {ratios.text('.3f')}. {samples:,} training samples in "
            f"{steps} batches, {sum(p.numel() for p in setup.model.parameters()):,} parameters."
        ],
        n=rounds,
        figures={"seconds": sides, "ratio": ratio},
    )


def prepare(options: list[str]) -> Setup:
    """Build data and model as the command does, on its device.

    Raises:
        UserError: a setting that the plain loop doesn't know.
    """
    from lightning_nn.cli.train import start_run

    with tempfile.TemporaryDirectory() as logs, contextlib.ExitStack() as held:
        held.enter_context(contextlib.redirect_stdout(sys.stderr))
        request = parse(["fit", *options, "--folder", logs])
        if not request.model:
            raise UserError("no model: give --model NAME")
        line, data, model, *_ = start_run(request, held)
    settings = line.config.trainer
    if settings.precision not in (None, 32, "32", "32-true") or settings.accumulate_grad_batches != 1:
        raise UserError("the plain loop has float32 and a step a batch: leave precision and accumulation out")
    limits = settings.limit_train_batches, settings.limit_val_batches
    if any(isinstance(limit, float) for limit in limits):
        raise UserError("the plain loop counts batches: limit them by a whole number")
    if isinstance(model, Captioning) and model.caption_training.scheduled_sampling:
        raise UserError("the plain loop draws no words: leave scheduled sampling out")
    if request.finetune and getattr(data, "encoder", None) is None:
        raise UserError("the plain loop freezes nothing: leave --finetune out, or train on cached features")
    model.begin(data.facts())
    device = torch.device("cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu")
    weights = {name: tensor.clone() for name, tensor in model.to(device).state_dict().items()}
    return Setup(data, model, weights, settings.gradient_clip_val, device, *limits)


def run_command(options: list[str], logs: Path, name: str) -> float:
    """Run the command and return its own record of training seconds."""
    with contextlib.redirect_stdout(sys.stderr):
        code = cli.main(["fit", *options, "--folder", str(logs), "--name", name])
    if code:
        raise SystemExit(code)
    (file,) = logs.glob(f"*/{name}/results.json")
    return float(json.loads(file.read_text(encoding="utf-8"))["seconds"])


def run_plain(setup: Setup, epochs: int) -> float:
    """Measure the seconds of the same training in a plain loop."""
    data, model, weights, clip, device, train_batches, val_batches = setup
    model.load_state_dict(weights)
    batches, checks = data.train_dataloader(), data.val_dataloader()
    optimizer = model.optimizer.build([group for group in model.parameter_groups() if group["params"]])
    factor = model.lr_scheduler.factor(epochs * len(range(len(batches))[:train_batches]))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    start = time.perf_counter()
    for epoch in range(epochs):
        batches.batch_sampler.set_epoch(epoch)
        model.train()
        for batch in itertools.islice(batches, train_batches):
            batch = data.augmented(move_data_to_device(batch, device))
            loss = mean_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            validate(model, itertools.islice(checks, val_batches), device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def mean_loss(model: Any, batch: Any) -> torch.Tensor:
    if isinstance(model, Classifier):
        return model.training_losses(batch)[0].mean()
    means = model.training_means(batch)
    return means.sums["loss"] / means.weight  # type: ignore[no-any-return]


def validate(model: Any, batches: Any, device: torch.device) -> None:
    if not isinstance(model, Classifier):
        metrics = model.split_metrics("val")
        for metric in metrics.values():
            metric.reset()
        for batch in batches:
            model.update(metrics, move_data_to_device(batch, device))
        model.compute_metrics(metrics)
        return
    correct, total = torch.zeros((), dtype=torch.int64, device=device), torch.zeros((), device=device)
    for batch in batches:
        batch = move_data_to_device(batch, device)
        logits = model.logits(batch)
        total += model.sample_losses(logits, batch.label).sum()
        correct += (logits.argmax(1) == batch.label).sum()


# ---------------------------------------------------------------------- a step


def measure_steps(args: argparse.Namespace) -> Report:
    """Measure the words per second of each way on each kind of documents."""
    torch.manual_seed(0)
    rows, notes, figures = [], [], {}
    for kind, batches in {
        "bulletins": bulletins(args.batches, args.vocabulary),
        "long documents": long_documents(args.batches, args.vocabulary),
    }.items():
        model = HAN(args.vocabulary, 10, args.embedding_size, args.hidden_size)
        worst = disagreement(model, batches)
        seconds = time_ways(model, batches, args.rounds)
        words = sum(len(batch.words) for batch in batches)
        figures[kind] = {"seconds": seconds, "words": words, "disagreement": worst}
        first = Spread.of(seconds[next(iter(WAYS))]).median
        for way, values in seconds.items():
            rate = Spread.of([words / value / 1000 for value in values])
            rows.append([f"{kind}: {way}", rate.text(".1f"), f"{Spread.of(values).median / first:.2f}"])
        share = words / sum(map(padded_words, batches))
        notes.append(
            f"{kind[0].upper()}{kind[1:]}: {describe(batches)}; {100 * share:.0f}% of a padded batch is words; logits "
            f"differ by {worst:.0e} at most."
        )
    return Report(
        "HAN forward and backward, the same batches and weights",
        ["documents: way", "thousand words/s, median (range)", "time of the default"],
        rows,
        notes,
        args.rounds,
        figures,
    )


def disagreement(model: HAN, batches: list[TextBatch]) -> float:
    """Compute the largest difference between the logits of any way and the default's.

    Raises:
        UserError: they differ by more than 1e-5, so are not the same network.
    """
    model.eval()
    worst = 0.0
    with torch.inference_mode():
        for batch in batches:
            expected = model(batch)
            for name, way in WAYS.items():
                difference = float((way(model, batch) - expected).abs().max())
                if not difference <= 1e-5:
                    raise UserError(f"{name}: logits differ by {difference:g}, expected at most 1e-5")
                worst = max(worst, difference)
    return worst


def time_ways(model: HAN, batches: list[TextBatch], rounds: int) -> dict[str, list[float]]:
    """Measure the seconds of forward and backward over all batches, alternating between the ways."""
    model.train()
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}

    def step(way: Callable[[HAN, TextBatch], torch.Tensor], batch: TextBatch) -> None:
        model.zero_grad()
        loss: torch.Tensor = model.sample_losses(way(model, batch), batch.label)  # type: ignore[arg-type]
        loss.mean().backward()  # type: ignore[no-untyped-call]

    for number in range(rounds):
        for name, way in WAYS.items():
            for batch in batches[:1] * 2:  # warm-up: memory fragmented by the previous way counts for none
                step(way, batch)
            start = time.perf_counter()
            for batch in batches:
                step(way, batch)
            seconds[name].append(time.perf_counter() - start)
            print(f"round {number + 1} of {rounds}, {name}: {seconds[name][-1]:.2f} s", file=sys.stderr)
    return seconds


def bulletins(count: int, vocabulary_size: int) -> list[TextBatch]:
    """Load batches of the default data, with words beyond the vocabulary unknown."""
    data = catalog.DATA["bulletins"].load()()
    data.prepare_once()
    return [
        batch._replace(words=batch.words * (batch.words < vocabulary_size))
        for _, batch in zip(range(count), data.train_dataloader(), strict=False)
    ]


def long_documents(count: int, vocabulary_size: int) -> list[TextBatch]:
    """Build batches of random documents as long as those of a news archive, grouped as by the loader.

    Half have at most 19 sentences and 820 characters, about 500 words; the longest has dozens of times as many and is
    truncated to the default numbers of sentences and words.
    """
    random = np.random.default_rng(0)
    documents = np.clip(np.rint(19 * np.exp(0.95 * random.standard_normal(2048))), 1, 60).astype(np.int64)
    sentences = np.clip(np.rint(23 * np.exp(0.7 * random.standard_normal(documents.sum()))), 1, 60).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(documents)])
    lengths = np.add.reduceat(sentences, starts[:-1])
    order = BatchSampler(len(documents), 64, shuffle=True, lengths=lengths, max_length=30_000)
    return [
        _random_batch([sentences[starts[i] : starts[i + 1]] for i in members], vocabulary_size, random)
        for _, members in zip(range(count), order, strict=False)
    ]


def _random_batch(documents: list[Index], vocabulary_size: int, random: np.random.Generator) -> TextBatch:
    sentences = np.concatenate(documents)
    words = np.minimum(random.zipf(1.2, sentences.sum()), vocabulary_size) - 1
    arrays = (np.array([len(d) for d in documents]), sentences, words, random.integers(0, 10, len(documents)))
    return TextBatch(*(torch.from_numpy(np.asarray(array, np.int64)) for array in arrays))


if __name__ == "__main__":
    run_main(main)
