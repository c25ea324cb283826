"""Style transfer against a plain PyTorch script with the same features, weights and start.

    python benchmarks/style.py evaluation --features PATH --size 256 --evaluations 120 --rounds 3
    python benchmarks/style.py pyramid --features PATH --size 512 --evaluations 80
    python benchmarks/style.py memory --features PATH --size 512
    python benchmarks/style.py alone --features PATH --size 128 --evaluations 800

evaluation  `train.py fit --model style_transfer` as it is, with TensorBoard, checkpoints and progress pictures, against
            the script, which keeps NCHW and has no tricks; alternating, in one process. Both pictures are judged by the
            script's loss. The goal is a loss within 1% and a time of at most 0.85.
pyramid     the time in which two scales reach the loss of one, at most 0.6; if they don't, the time in which one scale
            reaches theirs counts.
memory      peak memory of a process of each, less what it held before the first step, at most 1.05.
alone       content alone from noise: structural similarity of the picture and the content, at least 0.75. Style alone
            from noise: relative distance of the Gram matrix of each layer, at most 2%.

PATH is a file of VGG's weights, which evaluation and memory need: the script knows no other network. Without it,
pyramid and alone take the network of the package.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from plain_style import PlainStyle
from report import Report, Spread, at_least, environment, parser, run_main
from torchmetrics.functional.image import structural_similarity_index_measure

from lightning_nn import Photos, StyleTransfer
from lightning_nn.backbones.feature_network import feature_network
from lightning_nn.callbacks.statistics import peak_memory
from lightning_nn.cli import main as cli
from lightning_nn.layers.features import activations
from lightning_nn.layers.images import resize
from lightning_nn.layers.style import gram
from lightning_nn.models.style_transfer import StyleLoss
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import open_weights


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("what", choices=["evaluation", "pyramid", "memory", "alone", "one"])
    made.add_argument("--features", default="embedded", help="file of VGG's weights; default: the package's network")
    made.add_argument("--content_weight", type=float, default=0.03, help="default %(default)s, as in the model")
    made.add_argument("--size", type=at_least(16), default=256)
    made.add_argument("--evaluations", type=at_least(2), default=120)
    made.add_argument("--rounds", type=at_least(1), default=1, help="n: measurements of each side; default 1")
    made.add_argument("--side", choices=["ours", "plain"], help=argparse.SUPPRESS)
    args = made.parse_args(argv)
    if args.what in ("evaluation", "memory") and args.features == "embedded":
        made.error(
            f"{args.what} needs --features PATH, a file of VGG's weights: the plain script knows no other network"
        )
    if args.what == "one":
        print(json.dumps(_peak(args)))
        return
    measure: dict[str, Callable[[Any], Report]] = {
        "evaluation": evaluation,
        "pyramid": pyramid,
        "memory": memory,
        "alone": alone,
    }
    measure[args.what](args).show(args.json)


def evaluation(args: argparse.Namespace) -> Report:
    """Compare loss and time."""
    ours, theirs, losses, starts = [], [], [], []
    for _ in range(args.rounds):
        script = _script(args)
        begin = time.perf_counter()
        last = script.run(args.evaluations)
        theirs.append((time.perf_counter() - begin) / args.evaluations)
        picture, seconds = _command(args)
        ours.append(seconds / args.evaluations)
        with torch.no_grad():
            losses.append((float(script.loss(picture)), last))
            starts.append(float(script.loss(script.content)))
    ratio = Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
    our_loss, their_loss = losses[-1]
    figures = {
        "loss_ratio": our_loss / their_loss,
        "below_start": starts[-1] / our_loss,
        "time_ratio": ratio.median,
        "seconds": Spread.of(ours).median,
        "plain_seconds": Spread.of(theirs).median,
    }
    rows = [
        ["seconds an evaluation", Spread.of(ours).text(".3f"), Spread.of(theirs).text(".3f"), ratio.text()],
        ["final loss", f"{our_loss:.5f}", f"{their_loss:.5f}", f"{our_loss / their_loss:.3f}"],
        ["start over final loss", f"{starts[-1] / our_loss:.0f}", f"{starts[-1] / their_loss:.0f}", ""],
    ]
    title = f"Style transfer, {args.evaluations} evaluations of L-BFGS at {args.size} pixels"
    title += f", content x {args.content_weight:g}"
    return Report(title, ["", "command", "plain script", "ratio"], rows, n=args.rounds, figures=figures)


def pyramid(args: argparse.Namespace) -> Report:
    """Compare the time in which one scale and two reach the least loss of one, or of two if that is larger."""
    seconds: tuple[list[float], list[float]] = ([], [])
    ratios, losses = [], []
    for _ in range(args.rounds):
        one, two = (_progress(args, scales) for scales in (1, 2))
        goal, least = (min(loss for loss, _ in each) for each in (one, two))
        losses.append(least / goal)
        for found, progress in zip(seconds, (one, two), strict=True):
            found.append(next(at for loss, at in progress if loss <= max(goal, least)))
        ratios.append(seconds[1][-1] / seconds[0][-1])
    ratio = Spread.of(ratios)
    rows = [
        ["seconds to the same loss", *(Spread.of(each).text(".1f") for each in seconds), ratio.text()],
        ["least loss, relative", "1", f"{max(losses):.3f}", ""],
    ]
    title = f"Two scales, {args.size} pixels, {args.evaluations} evaluations"
    figures = {"time_ratio": ratio.median, "loss_ratio": max(losses)}
    return Report(title, ["", "one scale", "two scales", "ratio"], rows, n=args.rounds, figures=figures)


def _progress(args: argparse.Namespace, scales: int) -> list[tuple[float, float]]:
    """Return the loss of each step at the finest scale, and the processor's seconds when it was known."""
    batch, begin = _photographs(), time.process_time()
    arguments = {
        "size": args.size,
        "scales": scales,
        "features": args.features,
        "loss": {"content_weight": args.content_weight},
    }
    return [
        (step.loss, time.process_time() - begin)
        for step in StyleTransfer.stylize(batch.content[0], batch.style, args.evaluations, **arguments)
        if max(step.image.shape) == args.size
    ]


def memory(args: argparse.Namespace) -> Report:
    """Compare the peak memory of two processes."""
    found = {}
    for side in ("ours", "plain"):
        options = ["one", "--side", side, "--features", args.features, "--size", str(args.size), "--evaluations", "4"]
        done = subprocess.run(
            [sys.executable, __file__, *options], env=environment(), capture_output=True, text=True, check=True
        )
        found[side] = float(done.stdout.splitlines()[-1])
    ratio = found["ours"] / found["plain"]
    rows = [["peak memory, MB", *(f"{found[side] / 1e6:.0f}" for side in found), f"{ratio:.2f}"]]
    title, figures = f"Memory at {args.size} pixels", {"memory_ratio": ratio}
    return Report(title, ["", "ours", "plain script", "ratio"], rows, figures=figures)


def _peak(args: argparse.Namespace) -> float:
    """Return the peak memory of this process after some evaluations, less that before them, in bytes."""
    batch, before = _photographs(), peak_memory()
    if args.side == "plain":
        _script(args).run(args.evaluations)
    else:
        arguments = {"size": args.size, "features": args.features, "loss": {"content_weight": args.content_weight}}
        list(StyleTransfer.stylize(batch.content[0], batch.style, args.evaluations, **arguments))
    return float(peak_memory() - before)


def alone(args: argparse.Namespace) -> Report:
    """Measure what content alone and style alone reproduce, from noise."""
    batch, chain = _photographs(), feature_network(args.features)
    first = next(iter(activations(chain)))
    content, style = batch.content[0], batch.style[0]
    common = {"size": args.size, "features": args.features, "init": "noise"}
    torch.manual_seed(0)
    *_, step = StyleTransfer.stylize(content, (), args.evaluations, loss={"content_layers": {first: 1.0}}, **common)
    small = resize(content[None].float(), (step.image.shape[1], step.image.shape[2]))
    similarity = float(structural_similarity_index_measure(step.image[None], small, data_range=255.0))
    *_, step = StyleTransfer.stylize(None, style, args.evaluations, loss={"content_weight": 0.0}, scales=3, **common)
    model = StyleTransfer(*style.shape[1:], size=args.size, features=args.features, loss={"content_weight": 0.0})
    network = model.network(step.image)
    loss = StyleLoss(model.options, *model.layer_weights())
    goal = loss.targets(network, None, model.style_images(batch, model.sizes[0], step.image)).style[0]
    found = network(step.image[None])
    distance = {name: float((gram(found[name]) - a).norm() / a.norm()) for name, a in goal.items()}
    rows = [[f"content alone, {first}: structural similarity", f"{similarity:.3f}"]]
    rows += [[f"style alone, {name}: distance of Gram matrices", f"{each:.2%}"] for name, each in distance.items()]
    title = f"One of both, from noise, {args.evaluations} evaluations at {args.size} pixels"
    return Report(title, ["", "value"], rows, figures={"similarity": similarity, **distance})


def _photographs() -> Any:
    data = Photos()
    data.prepare_once()
    return data.sources["train"].batch  # type: ignore[attr-defined]


def _script(args: argparse.Namespace) -> PlainStyle:
    batch = _photographs()
    weights = open_weights(Path(args.features)).state_dict
    return PlainStyle(weights, batch.content, batch.style[0], args.size, args.content_weight)


def _command(args: argparse.Namespace) -> tuple[torch.Tensor, float]:
    """Train as the command does; return the picture and the seconds of the fit."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"features": args.features, "size": args.size, "loss.content_weight": args.content_weight}
        options = [word for name, value in settings.items() for word in (f"--model.{name}", str(value))]
        limits = ["--trainer.max_steps", str(args.evaluations), "--trainer.max_epochs", "-1"]
        with contextlib.redirect_stdout(sys.stderr):
            code = cli.main(
                ["fit", "--model", "style_transfer", "--folder", folder, "--name", "one", *options, *limits]
            )
        assert code == 0
        run = Path(folder, "style_transfer", "one")
        checkpoint = Checkpoint.open(run / "checkpoints" / "last.ckpt")
        seconds = json.loads((run / "results.json").read_text(encoding="utf-8"))["seconds"]
        return checkpoint.state_dict["picture"].clamp(0, 255), float(seconds)


if __name__ == "__main__":
    run_main(main)
