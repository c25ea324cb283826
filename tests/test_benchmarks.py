"""The benchmarks at tiny sizes: they run, compare equal things, and write down what they should."""

from __future__ import annotations

import importlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from lightning_nn import HAN, StyleTransfer, TextBatch
from lightning_nn.data.synthetic.scenes.layout import SceneObject
from lightning_nn.errors import UserError
from tests.commands import ROOT, Started, command, process, write_reviews

FOLDER = ROOT / "benchmarks"
NAMES = [
    "augmentation",
    "baseline",
    "beam_search",
    "cached_features",
    "caption_metrics",
    "caption_truth",
    "cells",
    "embedding_curve",
    "flops",
    "results",
    "scale",
    "scene_gallery",
    "speed",
    "startup",
    "style",
    "style_gallery",
]


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The scripts as modules, beside each other as when they are run."""
    names = ["report", "ways", "clock", "plain_style", *NAMES]
    path = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in names}
    sys.path[:] = path
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_how_to_run_it(
    name: str, scripts: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        scripts[name].main(["--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0 and f"python benchmarks/{name}.py" in said and "--json" in said, said


# ---------------------------------------------------------------------- report


def test_a_published_command_names_no_place(scripts: dict[str, ModuleType]) -> None:
    argv = "train.py --model han --data text --data.path ../my/reviews --folder=/home/me/logs -c /etc/x.yaml --name a"
    shown = scripts["report"].public_command(argv.split(), ["reviews.csv"])
    assert shown == "python train.py --model han --data text --data.path PATH --folder=PATH -c PATH --name a"


def test_markdown_escapes_what_would_end_a_cell(scripts: dict[str, ModuleType]) -> None:
    lines = scripts["report"].table(["a", "b"], [["x|y", "1\n2"]]).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 2 |"]


# ---------------------------------------------------------------------- ways of computing HAN

DOCUMENTS = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4)


def batch_of(documents: list[list[int]], vocabulary: int = 30) -> TextBatch:
    """A batch with sentences of these lengths."""
    sentences = [length for document in documents for length in document]
    words = torch.arange(sum(sentences)) * 7 % vocabulary
    counts = torch.tensor([len(document) for document in documents])
    return TextBatch(counts, torch.tensor(sentences), words, torch.arange(len(documents)) % 3)


@given(DOCUMENTS)
def test_all_ways_give_the_same_logits_and_gradients(
    scripts: dict[str, ModuleType], documents: list[list[int]]
) -> None:
    torch.manual_seed(0)
    model = HAN(30, 3, embedding_size=5, hidden_size=4, attention_size=3).double().eval()
    batch = batch_of(documents)
    found = {}
    for name, way in scripts["ways"].WAYS.items():
        model.zero_grad()
        logits = way(model, batch)
        torch.nn.functional.cross_entropy(logits, batch.label).backward()
        found[name] = [logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
    expected, *others = found.items()
    for name, tensors in others:
        assert len(tensors) == len(expected[1]), name
        for one, other in zip(tensors, expected[1], strict=True):
            torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


def test_ways_that_disagree_are_not_timed(scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scripts["ways"].WAYS, "wrong", lambda model, batch: model(batch) + 0.1)
    with pytest.raises(UserError, match=r"wrong: logits differ by 0\.1"):
        scripts["speed"].disagreement(HAN(30, 3, 5, 4, 3), [batch_of([[2, 3], [1]])])


def test_step(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [batch_of([[2, 3], [1]]), batch_of([[4], [1, 1, 2]])]
    monkeypatch.setattr(scripts["speed"], "bulletins", lambda count, vocabulary: batches)
    monkeypatch.setattr(scripts["speed"], "long_documents", lambda count, vocabulary: batches)
    argv = ["--rounds", "2", "--json", str(tmp_path / "step.json"), "step", "--vocabulary", "30", "--hidden_size", "4"]
    scripts["speed"].main(argv)
    written = json.loads((tmp_path / "step.json").read_text(encoding="utf-8"))
    assert len(written["rows"]) == 8 and written["n"] == 2, written
    seconds = written["figures"]["bulletins"]["seconds"]
    assert all(len(values) == 2 and min(values) > 0 for values in seconds.values()), seconds
    assert written["title"] in capsys.readouterr().out


def test_long_documents_are_as_long_as_said(scripts: dict[str, ModuleType]) -> None:
    batches = scripts["speed"].long_documents(10**6, 100)
    documents = torch.cat([batch.documents for batch in batches])
    words = torch.cat([batch.sentences for batch in batches]).sum() / len(documents)
    assert 17 <= documents.median() <= 21 and documents.max() == 60, (documents.median(), documents.max())
    assert 400 <= words <= 900, words
    assert max(len(batch.words) for batch in batches) <= 30_000 and max(int(b.words.max()) for b in batches) < 100


# ---------------------------------------------------------------------- baseline


@pytest.fixture
def baseline(scripts: dict[str, ModuleType], tmp_path: Path) -> Path:
    """Logs with the baseline on tiny reviews."""
    corpus = write_reviews(tmp_path / "reviews.csv")
    logs = tmp_path / "logs"
    scripts["baseline"].main(["--data", "text", "--data.path", str(corpus), "--logs", str(logs), "--C", "1", "10"])
    return logs


def test_baseline_reads_what_a_model_reads(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    corpus = tmp_path / "mine.tsv"
    texts = {f"第{i}个 文件。完了!": "好坏"[i % 2] for i in range(20)}
    corpus.write_text("".join(f"{text}\t{label}\n" for text, label in texts.items()) + "\u3000\t好\n", encoding="utf-8")
    for units in ("chars", "jieba"):
        splits = scripts["baseline"].read("text", {"path": str(corpus)}, units)
        read = [text.replace(" ", "") for split in splits.values() for text in split.documents]
        known = sorted(set(splits["train"].documents), key=len)
        assert len(read) == 20 and known, read  # the one without a word is skipped, for the models too
        assert {t.replace(" ", "") for t in splits["train"].documents} <= {t.replace(" ", "") for t in texts}


def test_baseline_leaves_a_run(baseline: Path) -> None:
    runs = sorted(baseline.glob("baseline/*/results.json"))
    results = [json.loads(run.read_text(encoding="utf-8")) for run in runs]
    assert [r["model"] for r in results] == ["tfidf-chars", "tfidf-words"], results
    for one in results:
        assert one["test/acc"] == one["test/f1"] == one["val/acc"] == 1.0, one
        assert sum(one["sizes"].values()) == 60 and one["variant"] == "C = 1", one


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--data", "digits"], "has no documents"),
        (["--data", "text"], "--data.path"),
        (["--data", "text", "--data.pth", "x"], "data.pth"),
    ],
)
def test_baseline_says_what_is_wrong(scripts: dict[str, ModuleType], argv: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        scripts["baseline"].main(argv)


# ---------------------------------------------------------------------- results


def keep_run(logs: Path, name: str, seed: int, accuracy: float, **options: Any) -> None:
    """A run's folder as the command leaves it."""
    folder = logs / "han" / name
    folder.mkdir(parents=True)
    config = {"seed_everything": seed, "model": options, "data": {"path": "/home/me/news", "label_column": "topic"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    extra = "".join(f" --model.{key} {value}" for key, value in options.items())
    command = f"train.py --model han --data text --data.path /home/me/news --seed_everything {seed}{extra}"
    results = {"model": "han", "data": "text", "test/acc": accuracy, "best_epoch": 2, "epochs": 3, "seed": seed}
    results |= {"commands": [command], "device": "cpu", "sizes": {"test": 400}}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


def cells(page: str, row: str) -> list[str]:
    """Cells of the table row that begins so."""
    (line,) = [line for line in page.splitlines() if line.startswith(row)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_results_joins_seeds_and_tells_variants_apart(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    logs, out = tmp_path / "logs", tmp_path / "docs" / "results.md"
    for name, seed, accuracy in (("a", 0, 0.9), ("b", 1, 0.8)):
        keep_run(logs, name, seed, accuracy)
    keep_run(logs, "c", 0, 0.5, hidden_size=8)
    published = tmp_path / "published.yaml"
    entry = {"title": "news (topic)", "model": "BERT", "accuracy": 94.83, "source": "somebody"}
    published.write_text(yaml.safe_dump([entry]), encoding="utf-8")
    scripts["results"].main([str(logs), "--out", str(out), "--published", str(published)])
    page = out.read_text(encoding="utf-8")
    assert "## news (topic)" in page and "/home/me" not in page, page
    both, other, theirs = (cells(page, row) for row in ("| 1 |", "| 2 |", "|  | BERT"))
    assert both[1:4] == ["han", "recipe", "85.00 ± 7.07 (se 1.79)"] and both[-2:] == ["0, 1", "2"], both
    assert both[6] == "2 / 3", both
    assert other[2:4] == ["model.hidden_size 8", "50.00 (se 2.50)"], other
    assert theirs[2:4] == ["published", "94.83"], theirs
    again = tmp_path / "again"
    keep_run(again, "d", 1, 0.7)
    scripts["results"].main([str(again), "--out", str(out), "--published", str(published)])
    page = out.read_text(encoding="utf-8")
    assert cells(page, "| 1 |")[3] == "80.00 ± 14.14 (se 2.00)", "seed 1 made again replaces the old one, seed 0 stays"
    assert "/home/me" not in out.with_suffix(".json").read_text(encoding="utf-8")


def test_results_of_a_resumed_run_show_what_it_was_started_with(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    keep_run(tmp_path, "a", 0, 0.9, hidden_size=8)
    file = tmp_path / "han" / "a" / "results.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["commands"].append("train.py --ckpt_path last --trainer.max_epochs 9")
    file.write_text(json.dumps(kept), encoding="utf-8")
    out = tmp_path / "results.md"
    scripts["results"].main([str(tmp_path), "--out", str(out)])
    page = out.read_text(encoding="utf-8")
    assert cells(page, "| 1 |")[2] == "model.hidden_size 8, trainer.max_epochs 9", page
    assert "--model.hidden_size 8`, then `python train.py --ckpt_path PATH --trainer.max_epochs 9`: cpu" in page, page


def test_results_of_masks_have_a_table_of_their_own(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    for name, metrics in {
        "fcn": {"test/miou": 0.95, "test/miou_ceiling": 0.97, "test/acc": 0.99},
        "convnet": {"test/acc": 0.8, "test/shift/acc": 0.83},
    }.items():
        (tmp_path / name).mkdir()
        results = {
            "model": name,
            "data": "scenes",
            "commands": [f"train.py --model {name}"],
            "sizes": {"test": 50},
            **metrics,
        }
        (tmp_path / name / "results.json").write_text(json.dumps(results), encoding="utf-8")
    out = tmp_path / "results.md"
    scripts["results"].main([str(tmp_path), "--out", str(out)])
    classes, masks = out.read_text(encoding="utf-8").split("## scenes, masks")
    assert "test accuracy" in classes and "80.00 (se" in classes and "miou" not in classes.lower()
    assert "test accuracy, views shift" in classes and "| 83.00 |" in classes and "views flip" not in classes
    assert "test mIoU" in masks and "| 95.00 | 97.00 |" in masks and "99.00" not in masks


def test_results_of_captions_show_bleu_without_its_penalty_and_the_truth_of_scenes(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    scores = {"test/cider": 0.4, **{f"test/bleu{n}": 0.6 / n for n in range(1, 5)}, "test/bp": 0.8, "val/cider": 0.5}
    for data, more in (("scenes", {"test/true": 0.9}), ("captions", {})):
        (tmp_path / data).mkdir()
        results = {"model": "show_and_tell", "data": data, "commands": [f"train.py --data {data}"], **scores, **more}
        (tmp_path / data / "results.json").write_text(json.dumps(results), encoding="utf-8")
    out = tmp_path / "results.md"
    scripts["results"].main([str(tmp_path), "--out", str(out)])
    people, scenes = out.read_text(encoding="utf-8").split("## scenes, captions, en")
    shared = "| 40.00 | 60.00 | 30.00 | 20.00 | 15.00 | 75.00 / 37.50 / 25.00 |"
    assert f"{shared} 50.00 |" in people and "wholly true" not in people, people
    assert f"{shared} 90.00 | 50.00 |" in scenes and "| wholly true |" in scenes, scenes


def test_results_of_a_language_stay_in_its_table(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    """Also when they are read again from the file beside the page, with those of other runs."""
    out = tmp_path / "results.md"
    for language in ("zh", "en"):
        (run := tmp_path / language).mkdir()
        results = {"model": "show_and_tell", "data": "scenes", "commands": [language], "test/cider": 0.4}
        (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
        (run / "config.yaml").write_text(f"data: {{language: {language}}}", encoding="utf-8")
        scripts["results"].main([str(run), "--out", str(out)])
    titles = [line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert titles == ["## scenes, captions, en", "## scenes, captions, zh"]


def test_results_has_the_baseline_and_reports(scripts: dict[str, ModuleType], baseline: Path, tmp_path: Path) -> None:
    report = scripts["report"].Report("Something fast", ["side", "s"], [["one", "1.0"]], command="python x.py")
    report.show(baseline / "benchmarks" / "x.json")
    out = tmp_path / "results.md"
    out.write_text("mine\n<!-- results: begin -->\nold\n<!-- results: end -->\nalso mine\n", encoding="utf-8")
    scripts["results"].main([str(baseline), "--out", str(out)])
    page = out.read_text(encoding="utf-8")
    assert page.startswith("mine\n") and page.endswith("also mine\n") and "\nold\n" not in page, page
    assert "## reviews" in page and "### Something fast" in page and str(tmp_path) not in page, page
    assert cells(page, "| 1 |")[2] == "C = 1", page


@pytest.mark.parametrize("text", ["<!-- results: begin -->", "<!-- results: end --> <!-- results: begin -->"])
def test_results_does_not_overwrite_a_page_with_broken_markers(
    scripts: dict[str, ModuleType], tmp_path: Path, text: str
) -> None:
    keep_run(tmp_path / "logs", "a", 0, 0.9)
    out = tmp_path / "results.md"
    out.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="results: end"):
        scripts["results"].main([str(tmp_path / "logs"), "--out", str(out)])
    assert out.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("content", "says"), [("{", "can't read"), ("[1]", "not written by a run")])
def test_results_names_a_damaged_file(scripts: dict[str, ModuleType], tmp_path: Path, content: str, says: str) -> None:
    keep_run(tmp_path, "a", 0, 0.9)
    file = tmp_path / "han" / "a" / "results.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says) as error:
        scripts["results"].main([str(tmp_path), "--out", str(tmp_path / "out.md")])
    assert str(file) in str(error.value)


# ---------------------------------------------------------------------- processes

TINY = ["--model.hidden_size", "4", "--model.embedding_size", "4", "--data.batch_size", "8"]


def test_epoch(tmp_path: Path) -> None:
    corpus, out = write_reviews(tmp_path / "reviews.csv"), tmp_path / "epoch.json"
    argv = ["--rounds", "1", "--json", str(out), "epoch", "--data", "text", "--data.path", str(corpus), *TINY]
    done = process(*argv, cwd=tmp_path, script=FOLDER / "speed.py").ok()
    written = json.loads(out.read_text(encoding="utf-8"))
    assert [row[0] for row in written["rows"]] == ["train.py", "plain loop"] and written["figures"]["ratio"] > 0
    assert "Ratio of the medians" in done.out and str(tmp_path) not in done.out, done.out


@pytest.mark.parametrize("limit", [[], ["--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"]])
def test_the_plain_loop_trains_as_the_command_does(
    limit: list[str], scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    """On the same augmented images, measured before the first step: the same weights after an epoch."""
    options = ["--model", "convnet", "--model.layers", "[whitening 2, relu, batch_norm, flatten]", *limit]
    options += ["--data.augment.translate", "1", "--data.augment.rotate", "9", "--trainer.accelerator", "cpu"]
    options += ["--trainer.max_epochs", "1"]
    setup = scripts["speed"].prepare(options)
    scripts["speed"].run_plain(setup, 1)
    scripts["speed"].run_command(options, tmp_path, "run")
    trained = torch.load(tmp_path / "convnet/run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = setup.model.state_dict()
    assert trained["body.whitening1.measured"].all()
    torch.testing.assert_close({name: weights[name] for name in trained}, trained, atol=1e-6, rtol=1e-5)


SCENES = shlex.split(
    "--model show_and_tell --data.train_size 16 --data.val_size 4 --data.test_size 4 --data.size 32 "
    "--data.batch_size 8 --model.embedding_size 8 --model.hidden_size 8 --trainer.accelerator cpu"
)


def test_the_plain_loop_trains_a_captioner_as_the_command_does(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    options = [*SCENES, "--model.encoder.layers", "[conv 8 3 stride=4, batch_norm, relu]", "--trainer.max_epochs", "1"]
    options += ["--model.training.captions_each", "null"]  # the loop would choose others
    setup = scripts["speed"].prepare(options)
    scripts["speed"].run_plain(setup, 1)
    scripts["speed"].run_command(options, tmp_path, "run")
    trained = torch.load(tmp_path / "show_and_tell/run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(setup.model.state_dict(), trained, atol=1e-6, rtol=1e-5)


def test_cached_features_are_timed_against_their_parts(
    scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scripts["cached_features"].main(["--rounds", "1", "--json", "out.json", *SCENES, "--finetune", "embedded"])
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(written["rows"]) == 4 and written["figures"]["gain"] > 0 and written["figures"]["allowed"] > 1, written


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "convnet", "--trainer.precision", "bf16-mixed"], "the plain loop has float32"),
        (["--model", "convnet", "--trainer.limit_val_batches", "0.5"], "limit them by a whole number"),
        (
            [*SCENES, "--model.training.scheduled_sampling", "0.5", "--model.encoder.layers", "[conv 8 3]"],
            "draws no words",
        ),
        ([*SCENES, "--finetune", "embedded"], "the plain loop freezes nothing"),
    ],
)
def test_a_plain_loop_that_would_train_otherwise_is_refused(
    options: list[str], message: str, scripts: dict[str, ModuleType]
) -> None:
    with pytest.raises(UserError, match=message):
        scripts["speed"].prepare(options)


@pytest.mark.parametrize(("optimizer", "rows"), [("sgd", 6), ("muon", 3)])
def test_flops(optimizer: str, rows: int, tmp_path: Path) -> None:
    """An optimizer without torch's implementations is measured as it is."""
    argv = ["--rounds", "1", "--size", "64", "--batches", "1", "--json", "out.json", "--model", "convnet"]
    argv += ["--optimizer.name", optimizer]
    process(*argv, cwd=tmp_path, script=FOLDER / "flops.py").ok()
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(written["rows"]) == rows and min(written["figures"]["fractions"].values()) > 0, written
    # the default net on digits: a convolution of 16 x 5 x 5 on 8 x 8, one of 32 x 16 x 3 x 3 on 4 x 4, 128 to 64 to 10
    forward = 2 * (16 * 25 * 64 + 32 * 16 * 9 * 16 + 128 * 64 + 64 * 10)
    assert written["figures"]["flop_per_sample"] == 3 * forward - 2 * 16 * 25 * 64, "images need no gradient"


def test_augmentation(tmp_path: Path) -> None:
    argv = ["--rounds", "1", "--images", "32", "--batch_size", "16", "--workers", "1", "--json", "out.json"]
    process(*argv, cwd=tmp_path, script=FOLDER / "augmentation.py").ok()
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(written["rows"]) == 3 and written["figures"]["ratio"] > 0, written


def test_the_curve_of_small_tables_has_all_forms_and_a_picture(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, rows in (("train", 90), ("val", 8), ("test", 8)):
        write_reviews(tmp_path / "data" / f"{split}.csv", rows)
    options = f"--path {tmp_path / 'data'} --segmenter chars --documents 60 --times 2 8 --seeds 2 --epochs 1"
    options += f" --embedding_size 32 --picture {tmp_path / 'curve.png'} --json {tmp_path / 'curve.json'}"
    scripts["embedding_curve"].main(shlex.split(options))
    report = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    plain, points = report["figures"]["plain"], report["figures"]["points"]
    assert [row[0] for row in report["rows"]] == scripts["embedding_curve"].KINDS
    assert {"factorised", "hashed", "quotient_remainder"} <= {point["kind"] for point in points}
    assert all(point["bytes"] * point["times"] <= plain["bytes"] for point in points if point["kind"] == "factorised")
    assert all(len(point["accuracies"]) == 2 and 0 <= min(point["accuracies"]) <= 1 for point in points)
    assert report["notes"][1].startswith("60 documents of train")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width == 700


def test_cells_are_timed_against_torchs_layer_with_their_weights(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    sizes = ["--sequences", "3", "--longest", "4", "--input_size", "3", "--hidden_size", "2", "--rounds", "1"]
    scripts["cells"].main([*sizes, "--json", str(tmp_path / "cells.json")])
    figures = json.loads((tmp_path / "cells.json").read_text(encoding="utf-8"))["figures"]
    assert list(figures) == ["rnn/2", "lstm/2", "gru/2"]
    with pytest.raises(AssertionError):
        scripts["cells"].check(torch.tanh, torch.sigmoid, torch.ones(2, 3))


@pytest.fixture
def _forks(scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a script starts have torch imported, as all that tests start."""

    def run(line: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        if line[0] != sys.executable:
            return original(line, **options)
        return subprocess.CompletedProcess(line, *Started(line[1:], tmp_path, options["env"]).result())

    original = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.usefixtures("_forks")
def test_startup_and_scale_measure_processes(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    corpus = write_reviews(tmp_path / "reviews.csv")
    texts = scripts["scale"].read(corpus, None, None)
    figures = scripts["scale"].measure(tmp_path, texts, 100, 2, ["--model", "han", *TINY])
    assert min(figures.values()) > 0 and figures["train_mb"] > 50, figures
    shown = scripts["scale"].report({100: figures, 1000: {**figures, "build": 10 * figures["build"]}}, 2).markdown()
    assert "power 1.00" in shown and "| 1,000 |" in shown, shown


def test_startup_passes_on_why_a_command_failed(scripts: dict[str, ModuleType]) -> None:
    with pytest.raises(UserError, match=r"exit code 2.*unknown model 'hann'"):
        scripts["startup"].start_training(["--model", "hann"])


# ---------------------------------------------------------------------- attention.py


@pytest.mark.slow
def test_the_default_run_reads_bulletins_as_well_as_can_be_and_looks_at_what_decides(tmp_path: Path) -> None:
    """Trains for a minute: the figures that the README promises."""
    from lightning_nn.data.synthetic.bulletins.generator import BAYES_ACCURACY

    command("--model", "han", "--name", "run", cwd=tmp_path).ok()
    run = tmp_path / "logs" / "han" / "run"
    process(str(run), cwd=tmp_path, script=FOLDER / "attention.py").ok()
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["test/acc"] >= BAYES_ACCURACY - 0.03, results["test/acc"]
    assert results["test/attention_on_deciding"] >= 0.9, results["test/attention_on_deciding"]


def test_baseline_reads_the_bulletins(tmp_path: Path, scripts: dict[str, ModuleType]) -> None:
    sizes = ["--data.train_size", "200", "--data.val_size", "50", "--data.test_size", "50"]
    scripts["baseline"].main(["--data", "bulletins", *sizes, "--logs", str(tmp_path), "--units", "chars", "--C", "1"])
    (kept,) = tmp_path.rglob("results.json")
    assert json.loads(kept.read_text(encoding="utf-8"))["test/acc"] < 0.8


# ---------------------------------------------------------------------- captions


def test_caption_metrics_finds_other_digits_than_the_references(
    scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference's digits are those of pycocoevalcap, of a few captions of our own."""
    texts = ["a dog runs .", "the dog runs", "a cat sits on a mat .", "a cat on the mat", "Two birds", "two birds fly"]
    rows = [f"p{i // 2}\ttest\ten\thuman\t{i % 2}\t{text}" for i, text in enumerate(texts)]
    table = "\n".join(["image\tsplit\tlanguage\tkind\tindex\tcaption", *rows, "p9\ttrain\ten\thuman\t0\tno", ""])
    (tmp_path / "captions.tsv").write_text(table, encoding="utf-8")
    candidates, true = ({i: [each.lower()] for i, each in enumerate(texts[start::2])} for start in (0, 1))
    digits = {f"bleu{n}": value for n, value in enumerate(Bleu(4).compute_score(true, candidates, verbose=0)[0], 1)}
    digits |= {
        "rouge_l": Rouge().compute_score(true, candidates)[0],
        "cider": Cider().compute_score(true, candidates)[0],
    }
    toy = {"pictures": [{"candidate": "a b", "references": ["a b", "b"]}], "corpus": {"bleu1": 0.9999999995}}

    def run(scores: dict[str, float]) -> None:
        reference = {"flickr8k_test": {"en lower whitespace": {"caption 0 against captions 1": scores}}, "toy": toy}
        (tmp_path / "reference_metrics.json").write_text(json.dumps(reference), encoding="utf-8")
        scripts["caption_metrics"].main([str(tmp_path)])

    run(digits)
    assert "one person against four" in capsys.readouterr().out
    with pytest.raises(UserError, match="other digits than the reference's: en lower whitespace"):
        run({**digits, "cider": digits["cider"] + 1e-6})


def test_caption_truth_reads_the_table_of_a_test(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    script = scripts["caption_truth"]
    with pytest.raises(
        UserError, match=r"predictions.csv: no such file; write it: python train.py test --ckpt_path .*best.ckpt"
    ):
        script.read_captions(tmp_path / "predictions.csv")
    text = "\ufefffile,truths,caption\n1,[],on the left a large red house\n0,[],nothing\n"
    (tmp_path / "predictions.csv").write_text(text, encoding="utf-8")
    captions = script.read_captions(tmp_path / "predictions.csv")
    assert captions == [(1, "on the left a large red house"), (0, "nothing")]
    house = SceneObject("house", "red", 0.62, 0.2, 0.9)
    scenes = [[house], [house._replace(colour="blue")], [house, house], [house]]
    assert script.best_constant(scenes, [caption for _, caption in captions], "en") == 0.5


# ---------------------------------------------------------------------- style


@pytest.fixture(scope="module")
def small_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a VGG with few channels, up to relu3_2."""
    torch.manual_seed(0)
    weights, channels = {}, 3
    for place, width in ((0, 4), (2, 4), (5, 6), (7, 6), (10, 8), (12, 8)):
        weights[f"features.{place}.weight"] = torch.randn(width, channels, 3, 3) / (3 * channels**0.5)
        weights[f"features.{place}.bias"] = torch.zeros(width)
        channels = width
    file = tmp_path_factory.mktemp("weights") / "vgg.pt"
    torch.save(weights, file)
    return file


def style_figures(script: ModuleType, folder: Path, *argv: str) -> dict[str, float]:
    """Figures that a measurement of style transfer writes."""
    script.main([*argv, "--json", str(folder / "out.json")])
    figures: dict[str, float] = json.loads((folder / "out.json").read_text(encoding="utf-8"))["figures"]
    return figures


def test_style_and_the_plain_script_have_the_same_loss_and_picture(
    scripts: dict[str, ModuleType], small_vgg: Path, tmp_path: Path
) -> None:
    argv = ["evaluation", "--features", str(small_vgg), "--size", "32", "--evaluations", "5"]
    figures = style_figures(scripts["style"], tmp_path, *argv)
    assert figures["loss_ratio"] < 1.01 and figures["below_start"] > 1 and figures["time_ratio"] > 0, figures
    content, style = torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8)
    script = scripts["plain_style"].PlainStyle(torch.load(small_vgg), content[None], style, 32, 0.5)
    step = next(StyleTransfer.stylize(content, style, features=str(small_vgg), size=32, loss={"content_weight": 0.5}))
    assert step.loss == pytest.approx(float(script.loss(script.content)), rel=1e-4)


def test_style_times_scales_to_the_same_loss(scripts: dict[str, ModuleType], small_vgg: Path, tmp_path: Path) -> None:
    argv = ["pyramid", "--features", str(small_vgg), "--size", "32", "--evaluations", "6"]
    figures = style_figures(scripts["style"], tmp_path, *argv)
    assert figures.keys() == {"time_ratio", "loss_ratio"} and min(figures.values()) > 0, figures


def test_style_measures_the_memory_of_each_side(
    scripts: dict[str, ModuleType], small_vgg: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("ours", "plain"):
        argv = ["one", "--side", side, "--features", str(small_vgg), "--size", "32", "--evaluations", "2"]
        scripts["style"].main(argv)
        assert float(capsys.readouterr().out.splitlines()[-1]) >= 0


def test_style_measures_what_content_or_style_alone_reproduce(
    scripts: dict[str, ModuleType], small_vgg: Path, tmp_path: Path
) -> None:
    argv = ["alone", "--features", str(small_vgg), "--size", "64", "--evaluations", "4"]
    figures = style_figures(scripts["style"], tmp_path, *argv)
    assert figures.keys() == {"similarity", "relu1_1", "relu2_1", "relu3_1"}, figures


@pytest.mark.parametrize("what", ["evaluation", "memory"])
def test_what_needs_a_vgg_says_so(
    what: str, scripts: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        scripts["style"].main([what])
    assert f"{what} needs --features PATH" in capsys.readouterr().err


def test_scenes_stand_above_their_masks_and_captions(scripts: dict[str, ModuleType]) -> None:
    script, image = scripts["scene_gallery"], np.zeros((16, 16, 3), np.uint8)
    drawn = np.asarray(script.sheet([[image, image + 9], [image + 50, image]], ["a tree", "a " * 99]))
    step = script.SIDE + script.GAP
    assert drawn.shape == (2 * step + script.GAP + script.LINES * script.LINE, 2 * step + script.GAP, 3)
    assert drawn[step + 20, 20].tolist() == [50] * 3 and drawn[20, step + 20].tolist() == [9] * 3
    below = drawn[2 * step + script.GAP :]
    assert below[:, :step].min() < 128 and below[:, step:].min() < 128, "each has a caption"


def test_style_gallery_writes_four_small_pictures(
    scripts: dict[str, ModuleType], small_vgg: Path, tmp_path: Path
) -> None:
    argv = ["--out", str(tmp_path), "--features", str(small_vgg), "--size", "64", "--evaluations", "10"]
    scripts["style_gallery"].main(argv)
    pictures = sorted(tmp_path.glob("style-*.jpg"))
    assert len(pictures) == 4 and sum(file.stat().st_size for file in pictures) < 100_000
    for file in pictures:
        with Image.open(file) as image:
            assert image.width == pytest.approx(3 * 64, abs=60) and image.height in (43, 64), (file, image.size)
