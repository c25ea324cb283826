"""Two processes train and test as one: the same samples, gradients and figures, in one folder.

Once they are started by Lightning, once by torchrun on two nodes, and else by the tests with the environment that
torchrun gives them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from lightning_nn.backbones.mobilenet import MobileNetV1
from tests.commands import command, free_port, process, ranks, results, start, weights, write_reviews
from tests.tiny.register import registered

TWO = ("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp")
COMMON = ("--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false")
SOFTMAX = ("--model", "softmax", "--model.hidden", "[8]")
HAN = shlex.split(
    "--model han --data text --data.path reviews.csv --model.embedding_size 8 --model.hidden_size 4 "
    "--model.attention_size 4 --model.dropout 0 --model.word_dropout 0 --loss.r_drop 0 "
    "--data.vocabulary.segmenter chars --optimizer.name sgd"
)
SGD = ("--model.dropout", "0", "--optimizer.name", "sgd")
SEGMENTER, CAPTIONER = ("--model", "tiny_segmenter", *SGD), ("--model", "tiny_captioner", *SGD)
ACCUMULATED = (*SOFTMAX, "--trainer.accumulate_grad_batches", "7", "--trainer.gradient_clip_val", "0.5")
BACKBONE = shlex.split(
    "--model backbone --data digits --model.multiplier 0.125 --model.finetune.trainable last_stage "
    "--model.finetune.unfreeze_at 1 --model.finetune.body_lr 0.5 --finetune weights.pth "
    "--optimizer.name sgd --optimizer.lr 0.01"
)
CONVNET = shlex.split(
    "--model convnet --model.layers '[conv 4 3, batch_norm, relu, max_pool 2, flatten, linear 8, batch_norm, relu]' "
    "--data digits --optimizer.name sgd --optimizer.lr 0.05 --trainer.sync_batchnorm true"
)
MODELS = {
    "convnet": CONVNET,
    "backbone": BACKBONE,
    "softmax": SOFTMAX,
    "accumulated": ACCUMULATED,
    "han": HAN,
    "tiny_segmenter": SEGMENTER,
    "tiny_captioner": CAPTIONER,
}
METRICS = dict.fromkeys(MODELS, ("acc", "f1")) | {"tiny_segmenter": ("miou",), "tiny_captioner": ("exact",)}
SAMPLES = dict.fromkeys(MODELS, 1079) | {"han": 80, "tiny_segmenter": 40, "tiny_captioner": 40}
# An even number of batches, so that two of them are one of twice the size; accumulated, the last and short ones of an
# epoch make a step with longer ones.
BATCH = {
    "convnet": 32,
    "backbone": 32,
    "softmax": 32,
    "accumulated": 32,
    "han": 8,
    "tiny_segmenter": 5,
    "tiny_captioner": 5,
}

SPY = """
import json, os, sys
from lightning_nn.cli.main import main
from lightning_nn.data.loader import BatchSampler

original = BatchSampler.__iter__

def spied(self):
    for index in original(self):
        if self.shuffle:
            with open(f"seen-{self.rank}.jsonl", "a", encoding="utf-8") as file:
                print(json.dumps([self.epoch, index.tolist()]), file=file)
        yield index

BatchSampler.__iter__ = spied
sys.exit(main())
"""


@pytest.fixture
def _registered() -> Iterator[None]:
    with registered():
        yield


def prepare(cwd: Path) -> Path:
    write_reviews(cwd / "reviews.csv", rows=100)
    (cwd / "spy.py").write_text(SPY, encoding="utf-8")
    torch.manual_seed(0)
    torch.save(MobileNetV1(7, 0.125).state_dict(), cwd / "weights.pth")
    (cwd / "mine.py").write_text("from tests.tiny.register import register\n\nregister()\n", encoding="utf-8")
    return cwd


def two_nodes(argv: list[str], cwd: Path) -> None:
    """torchrun on two nodes of one process, both on loopback."""
    launch = f"--nnodes 2 --nproc_per_node 1 --master_addr 127.0.0.1 --master_port {free_port()}".split()
    torchrun = "from torch.distributed.run import main; main()"
    nodes = [start(*launch, "--node_rank", str(node), "spy.py", *argv, script=torchrun, cwd=cwd) for node in range(2)]
    for node in nodes:
        node.result(240).ok()


@pytest.mark.parametrize(
    ("model", "launcher"),
    [
        ("softmax", "devices"),
        ("accumulated", "ranks"),
        ("convnet", "ranks"),
        ("han", "torchrun"),
        ("tiny_captioner", "ranks"),
        ("backbone", "ranks"),
        pytest.param("tiny_segmenter", "ranks", marks=pytest.mark.slow),
        pytest.param("softmax", "torchrun", marks=pytest.mark.slow),  # four processes start in each of these
        pytest.param("han", "devices", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("_registered")
def test_two_processes_are_one(model: str, launcher: str, tmp_path: Path) -> None:
    cwd, one = prepare(tmp_path), tmp_path / "one"
    one.mkdir()
    prepare(one)
    argv = [*MODELS[model], "--data.batch_size", str(BATCH[model]), *COMMON]
    if launcher == "ranks":
        for done in ranks("--import", "mine.py", *argv, *TWO, cwd=cwd, script=cwd / "spy.py"):
            done.ok()
    elif launcher == "devices":
        process("--import", "mine.py", *argv, *TWO, cwd=cwd, script=cwd / "spy.py", timeout=240).ok()
    else:
        alone = ("--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.num_nodes", "2")
        two_nodes([*argv, *alone, "--trainer.strategy", "ddp"], cwd)
    (run,) = (cwd / "logs" / MODELS[model][1]).iterdir()  # one folder, named by the first process
    each_sample_once_an_epoch(cwd, SAMPLES[model])

    kept = results(run)
    assert kept["processes"] == 2
    tested = command("test", "--ckpt_path", str(run / "checkpoints/best.ckpt"), cwd=cwd).ok()
    figures = json.loads(tested.out[tested.out.index("{") :])
    same = [f"test/{name}" for name in METRICS[model]]
    assert [kept[name] for name in same] == [figures[name] for name in same], "two processes, other figures"
    assert kept["test/loss"] == pytest.approx(figures["test/loss"], rel=1e-5)

    command(*MODELS[model], "--data.batch_size", str(2 * BATCH[model]), *COMMON, cwd=one).ok()
    (other,) = (one / "logs" / MODELS[model][1]).iterdir()
    a, b = (weights(folder / "checkpoints/last.ckpt") for folder in (run, other))
    apart = {name: float((a[name] - b[name]).abs().max()) for name in a if a[name].is_floating_point()}
    worst = max(apart, key=lambda name: apart[name])
    assert apart[worst] < 1e-5, f"{worst} is {apart[worst]} apart from one process over the same batches"


def each_sample_once_an_epoch(cwd: Path, samples: int) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    steps = []
    for rank in (0, 1):
        lines = (cwd / f"seen-{rank}.jsonl").read_text(encoding="utf-8").splitlines()
        steps.append(len(lines))
        seen.update((epoch, sample) for epoch, index in map(json.loads, lines) for sample in index)
    expected = {(epoch, sample) for epoch in (0, 1) for sample in range(samples)}
    assert set(seen) == expected, f"{len(expected - set(seen))} missing, {len(set(seen) - expected)} too many"
    assert set(seen.values()) == {1}, seen.most_common(3)
    assert steps[0] == steps[1], f"steps of the processes: {steps}"


def test_testing_with_two_processes_gives_the_figures_of_one(tmp_path: Path) -> None:
    command(*SOFTMAX, *COMMON, cwd=tmp_path).ok()
    alone = command("test", "--ckpt_path", "best", cwd=tmp_path).ok().out
    both = ranks("test", "--ckpt_path", "best", *TWO, cwd=tmp_path)[0].ok().out
    one, two = (json.loads(re.sub(r"(?s)^[^{]*", "", text)) for text in (alone, both))
    assert (one["test/acc"], one["test/f1"]) == (two["test/acc"], two["test/f1"])
    assert one["test/loss"] == pytest.approx(two["test/loss"], rel=1e-5)


FAILS = """
import os, sys, time
from lightning_nn.cli import processes
from lightning_nn.cli.main import main
from lightning_nn.errors import UserError
from lightning_nn.tasks.classification import Classifier

step, second = Classifier.validation_step, os.environ.get("LOCAL_RANK") == "1"

def validation_step(self, *args):
    if second and not self.trainer.sanity_checking:
        if sys.argv[1] == "raise":
            raise UserError("this sample of rank 1 is no good")
        with open("asleep", "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    return step(self, *args)

Classifier.validation_step = validation_step
processes.STUCK = processes.ALONE = 1.0  # seconds
sys.exit(main(sys.argv[2:]))
"""


def test_an_error_on_one_rank_ends_all_with_its_text(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS, encoding="utf-8")
    failed = process("raise", *SOFTMAX, *COMMON, *TWO, cwd=tmp_path, script=tmp_path / "fails.py", timeout=90)
    assert failed.code in (1, -signal.SIGKILL), failed  # Lightning kills the first process after the others
    assert failed.err.count("error: this sample of rank 1 is no good") == 1, failed.err
    assert "Traceback" not in failed.err, failed.err


def test_a_process_that_waits_for_a_stuck_one_hears_the_second_signal_and_both_end(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS, encoding="utf-8")
    started = start("sleep", *SOFTMAX, *COMMON, *TWO, cwd=tmp_path, script=tmp_path / "fails.py")
    main = started.process
    try:
        wait_until((tmp_path / "asleep").is_file, 120)
        time.sleep(2)
        main.terminate()
        time.sleep(1)
        main.terminate()
        assert started.result(60).code == 130
        other = int((tmp_path / "asleep").read_text(encoding="utf-8"))
        wait_until(lambda: not is_alive(other), 60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


def is_alive(number: int) -> bool:
    status = Path(f"/proc/{number}/status")
    return status.exists() and "State:\tZ" not in status.read_text(encoding="utf-8")
