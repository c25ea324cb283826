from __future__ import annotations

import csv
import html
import json
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from lightning_nn.callbacks import tensorboard
from lightning_nn.callbacks.statistics import BestValidation
from lightning_nn.callbacks.tensorboard import RunLogger, TensorBoardCallback, gradient_norm
from lightning_nn.tasks.artifacts import Explanation
from lightning_nn.visualization.attention import table
from tests.callbacks.tiny import Data, Tiny, Words, trainer

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run: two epochs of four batches, then a test."""
    folder = tmp_path_factory.mktemp("logs")
    torch.manual_seed(0)
    logger = RunLogger(str(folder), "tiny", "run", default_hp_metric=False)
    model, fit = Tiny(), trainer(BestValidation(), TensorBoardCallback(), logger=logger)
    fit.fit(model, datamodule=Data())
    fit.test(model, datamodule=Data(), verbose=False)
    return folder / "tiny" / "run"


@pytest.fixture(scope="module")
def board(run: Path) -> Iterator[Ask]:
    """Asks a real TensorBoard on the run's logs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run.parents[1]), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--load_fast", "false", "--reload_interval", "1"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def ask(path: str, **query: Any) -> Any:
        address = f"http://127.0.0.1:{port}/data/{path}?{urllib.parse.urlencode(query)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if "json" in answer.headers["Content-Type"] else body

    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if "test/metrics/text_summary" in ask("plugin/text/tags").get("tiny/run", {}):
                    break
            except OSError:
                pass
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                pytest.fail(f"tensorboard did not serve the run: {server.communicate()[1].decode()[-2000:]}")
            time.sleep(0.2)
        yield ask
    finally:
        server.kill()
        server.communicate()


def test_scalars_are_served(board: Ask) -> None:
    tags = set(board("plugin/scalars/tags")["tiny/run"])
    assert tags >= {"train/lr", "train/grad_norm", "train/loss", "val/loss", "val/acc"}, tags
    assert {tag.split("/")[0] for tag in tags} == {"train", "val", "val_by_epoch"}, "the first two groups are opened"
    steps = {
        tag: [point[1] for point in board("plugin/scalars/scalars", run="tiny/run", tag=tag)]
        for tag in ("train/lr", "train/grad_norm", "train/loss")
    }
    assert {tuple(found) for found in steps.values()} == {(1, 3, 5, 7)}, steps
    rates = board("plugin/scalars/scalars", run="tiny/run", tag="train/lr")
    assert [point[2] for point in rates] == pytest.approx([0.1] * 4)
    by_step, by_epoch = (
        board("plugin/scalars/scalars", run="tiny/run", tag=tag) for tag in ("val/acc", "val_by_epoch/acc")
    )
    assert [point[2] for point in by_step] == [point[2] for point in by_epoch] and len(by_step) > 1
    assert [point[1] for point in by_epoch] == list(range(1, len(by_step) + 1))


def test_pictures_are_served(board: Ask) -> None:
    tags = board("plugin/images/tags")["tiny/run"]
    assert set(tags) == {"val/confusion", "test/confusion"}
    (*_, last) = board("plugin/images/images", run="tiny/run", tag="val/confusion", sample=0)
    picture = board("plugin/images/individualImage", **dict(urllib.parse.parse_qsl(last["query"])))
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    assert width == height > 300, (width, height)


def test_texts_are_served_and_harmless(board: Ask) -> None:
    tags = set(board("plugin/text/tags")["tiny/run"])
    wanted = {"modules", "val/report", "test/report", "val/attention", "test/attention", "test/metrics"}
    assert {tag.removesuffix("/text_summary") for tag in tags} == wanted, tags
    texts = {
        tag.removesuffix("/text_summary"): board("plugin/text/text", run="tiny/run", tag=tag)[-1]["text"]
        for tag in tags
    }
    assert "EmbeddingBag" in texts["modules"]
    assert "<table>" in texts["val/report"] and "<b>财经</b>" in html.unescape(texts["val/report"])
    assert "<table>" in texts["test/attention"] and "**冠军**" in html.unescape(texts["test/attention"])
    for name, text in texts.items():
        assert "<script>" not in text and "<b>" not in text, name


def test_hyperparameters_stand_beside_the_best_metrics(board: Ask) -> None:
    query = {"experimentName": "", "colParams": [], "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING"]}
    (group,) = board("plugin/hparams/session_groups", request=json.dumps({**query, "sliceSize": 9}))["sessionGroups"]
    assert group["hparams"]["model.width"] == 4 and group["hparams"]["optimizer.lr"] == 0.1, group["hparams"]
    assert group["hparams"]["best/f1"] == 0.5 and {"best/loss", "best/acc"} <= group["hparams"].keys()
    metrics = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
    assert set(metrics) == {"val/loss", "val/acc", "val/f1"} and metrics["val/f1"] == 0.5, metrics


@pytest.mark.parametrize(("monitor", "best"), [("val/acc", 0.9), ("val/loss", 0.6)])
def test_the_best_metrics_are_those_of_the_best_validation(tmp_path: Path, monitor: str, best: float) -> None:
    class Swinging(Tiny):
        values = iter(((1.0, 2.0), (0.4, 3.0), (0.9, 2.0), (0.6, 1.0)))  # the first in the sanity check

        def _evaluate(self, split: str, batch: Any) -> None:
            accuracy, loss = next(self.values)
            self.log_dict({f"{split}/acc": accuracy, f"{split}/loss": loss}, batch_size=1)

    model, validation = Swinging(), BestValidation()
    model.monitor = monitor
    logger = TensorBoardLogger(str(tmp_path), default_hp_metric=False)
    fit = trainer(validation, logger=logger, max_epochs=3, limit_val_batches=1, num_sanity_val_steps=1)
    fit.fit(model, datamodule=Data(2))
    resumed = BestValidation()
    resumed.load_state_dict(validation.state_dict())
    assert resumed.metrics["val/acc"] == pytest.approx(best)


def test_the_page_is_in_the_runs_folder(run: Path) -> None:
    text = (run / "attention.html").read_text(encoding="utf-8")
    assert "4 test documents" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "<script>" not in text
    saved = (run / "hparams.yaml").read_text(encoding="utf-8")
    assert "model.width: 4" in saved and "optimizer.lr: 0.1" in saved, saved


def test_pictures_take_a_small_part_of_the_time(tmp_path: Path) -> None:
    logger = TensorBoardLogger(str(tmp_path), default_hp_metric=False)
    trainer(TensorBoardCallback(), logger=logger, max_epochs=8).fit(Tiny(), datamodule=Data(2))
    events = EventAccumulator(str(logger.log_dir), {"images": 0})
    events.Reload()
    steps = [image.step for image in events.Images("val/confusion")]
    assert steps[0] == 2 and steps[-1] == 16 and len(steps) < 8, steps


def test_another_logger_or_none_is_left_alone(tmp_path: Path) -> None:
    trainer(TensorBoardCallback(), max_epochs=1).fit(Tiny(), datamodule=Data(2))
    trainer(TensorBoardCallback(), max_epochs=1, logger=CSVLogger(tmp_path)).fit(Tiny(), datamodule=Data(2))
    assert not list(tmp_path.rglob("*tfevents*")) and not list(tmp_path.rglob("attention.html"))


def test_another_logger_gets_learning_rate_and_gradient_norm_in_the_rows_of_the_loss(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    trainer(TensorBoardCallback(), max_epochs=1, logger=logger).fit(Tiny(), datamodule=Data(4))
    with Path(logger.log_dir, "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["train/lr"]]
    assert [row["step"] for row in rows] == ["1", "3"], rows
    assert all(row["train/loss"] and float(row["train/lr"]) == pytest.approx(0.1) for row in rows), rows
    assert all(float(row["train/grad_norm"]) > 0 for row in rows), rows


class Gallery(CSVLogger):
    """A logger that takes images, as Lightning's logger of Weights & Biases does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.images: list[tuple[str, int, tuple[int, ...]]] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.images += [(key, step or 0, image.shape) for image in images]


def test_a_logger_that_takes_images_gets_them(tmp_path: Path) -> None:
    logger = Gallery(tmp_path)
    fit = trainer(TensorBoardCallback(), max_epochs=1, logger=logger)
    fit.fit(Tiny(), datamodule=Data(2))
    fit.test(Tiny(), datamodule=Data(2), verbose=False)
    assert [(key, len(shape)) for key, _, shape in logger.images] == [("val/confusion", 3), ("test/confusion", 3)]


def test_pages_are_written_into_a_folder_without_a_logger_but_not_in_a_rehearsal(tmp_path: Path) -> None:
    for name, rehearsal in (("rehearsal", True), ("run", False)):
        fit = trainer(TensorBoardCallback(tmp_path / name), max_epochs=1, fast_dev_run=rehearsal)
        fit.fit(Tiny(), datamodule=Data(2))
        page = tmp_path / name / "attention.html"
        assert page.is_file() != rehearsal
    assert "validation" in page.read_text(encoding="utf-8")
    fit.test(Tiny(), datamodule=Data(2), verbose=False)
    assert "test" in page.read_text(encoding="utf-8")


def test_gradients_are_not_measured_between_the_steps_that_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    original = tensorboard.gradient_norm
    monkeypatch.setattr(tensorboard, "gradient_norm", lambda model: measured.append(1) or original(model))
    trainer(TensorBoardCallback(), max_epochs=1).fit(Tiny(), datamodule=Data(4))
    assert not measured, "without a logger"


@pytest.mark.quick
def test_the_gradient_norm_is_that_of_all_parameters_together() -> None:
    model = nn.Sequential(nn.Embedding(3, 2, sparse=True), nn.Linear(2, 1))
    assert gradient_norm(model) == 0.0
    model(torch.tensor([0, 1, 1])).sum().backward()
    grads = [p.grad.to_dense().flatten() for p in model.parameters() if p.grad is not None]
    assert gradient_norm(model) == pytest.approx(torch.cat(grads).norm().item())


def test_documents_are_explained_from_their_numbers() -> None:
    model = Tiny().train()
    first, second = model.explanations(Data().sources["test"][[0, 1]])
    assert first.sentences == [["<script>alert(1)</script>", "**冠军**"]]
    assert second.sentences == [["**冠军**"], ["a|b", "<script>alert(1)</script>"]]
    assert second.word_weights == [[1.0], [0.5, 0.5]] and second.sentence_weights == [0.5, 0.5]
    assert (first.truth, second.truth) == Words.categories
    assert first.category in Words.categories and 0.5 <= first.probability <= 1
    assert model.training


def test_the_heaviest_sentences_are_shown_in_their_order() -> None:
    shares = [0.01] * 30 + [0.4, 0.3]
    shown_table = table(Explanation([[f"s{i}"] for i in range(32)], [[1.0]] * 32, shares, "x", 0.5))
    shown = re.findall(r"(s\d+)(?:</strong>)? \|", shown_table)
    assert len(shown) == 20 and "The heaviest 20 of 32 sentences." in shown_table
    assert {"s30", "s31"} <= set(shown) and shown == sorted(shown, key=lambda s: int(s[1:])), shown


def test_a_task_without_a_monitor_has_no_best_validation(tmp_path: Path) -> None:
    class Unmonitored(Tiny):
        monitor = None  # type: ignore[assignment]

    validation = BestValidation()
    logger = TensorBoardLogger(str(tmp_path), default_hp_metric=False)
    fit = trainer(validation, TensorBoardCallback(), logger=logger, max_epochs=1)
    fit.fit(Unmonitored(), datamodule=Data(2))
    assert validation.metrics == {}
