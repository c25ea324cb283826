"""`export --out FOLDER`: a model folder that predicts the same, with a card, and nothing of the machine in it."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nn import HAN, ConvNet
from lightning_nn.data.batches import TextBatch
from lightning_nn.errors import UserError
from tests.commands import command, write_reviews

QUICK = "--name r --trainer.max_epochs 1 --trainer.enable_progress_bar false --trainer.logger false"
SMALL = "--model.embedding_size 16 --model.hidden_size 4 --model.attention_size 4 --model.character_vectors true"
BEST = "logs/han/r/checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train and test a small HAN, export it as the folder `han`, and return the working folder."""
    cwd = tmp_path_factory.mktemp("han")
    write_reviews(cwd / "reviews.csv")
    path = cwd / "reviews.csv"  # an absolute one, as a person's
    words = "--data.vocabulary.segmenter chars"
    command(*shlex.split(f"--model han --data text --data.path {path} {words} {SMALL} {QUICK}"), cwd=cwd).ok()
    command("export", "--ckpt_path", "best", "--out", "han", cwd=cwd).ok()
    return cwd


@pytest.fixture
def cwd(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "copy")


def texts() -> list[str]:
    return ["质量很好，非常满意。", "质量太差。不值这个价钱。", ""]


def test_the_folder_predicts_the_same_to_the_bit(cwd: Path) -> None:
    of_checkpoint, of_folder = HAN.load_from_checkpoint(cwd / BEST), HAN.from_pretrained(cwd / "han")
    batch = of_checkpoint.require_processor().encode(texts())
    assert isinstance(batch, TextBatch)
    assert torch.equal(of_checkpoint(batch), of_folder(batch))
    of_checkpoint.all_classes = of_folder.all_classes = True
    assert of_checkpoint.predict(texts()) == of_folder.predict(texts())
    assert of_checkpoint.temperature == of_folder.temperature
    for name, value in of_checkpoint.state_dict().items():
        assert torch.equal(value, of_folder.state_dict()[name]), name


def test_nothing_of_the_machine_or_of_the_training_is_in_it(trained: Path) -> None:
    files = {file.name for file in (trained / "han").iterdir()}
    assert files == {"model.safetensors", "config.json", "processor.json", "README.md"}
    for name in files:
        content = (trained / "han" / name).read_bytes()
        assert b"reviews.csv" not in content and str(trained).encode() not in content, name
        assert b"optimizer_states" not in content and b"exp_avg" not in content, name
    config = json.loads((trained / "han/config.json").read_text(encoding="utf-8"))
    assert (config["class"], config["model"], config["arguments"]["hidden_size"]) == ("HAN", "han", 4)
    processor = json.loads((trained / "han/processor.json").read_text(encoding="utf-8"))
    assert processor["kind"] == "text" and processor["state"]["segmenter"] == "chars"
    assert not [file for file in trained.iterdir() if file.name.endswith(".part")]


def test_predict_test_and_finetune_take_the_folder(cwd: Path) -> None:
    shutil.rmtree(cwd / "logs")
    said = command("predict", "--ckpt_path", "han", "--data.text", texts()[0], cwd=cwd).ok()
    assert texts()[0] in said.out
    command("test", "--ckpt_path", "han", cwd=cwd).refused("--data.path")
    data = ("--data.path", "reviews.csv")
    measured = command("test", "--ckpt_path", "han", *data, "--data.allow_seen", "true", cwd=cwd).ok()
    assert json.loads(measured.out)["checkpoint"] == "han"
    tune = f"fit --model han --data text --data.path reviews.csv --finetune han {QUICK}"
    assert "from han: " in command(*shlex.split(tune), cwd=cwd).ok().out
    command("fit", "--ckpt_path", "han", *data, cwd=cwd).refused("no run to resume")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_card_tells_data_metrics_classes_and_limits(cwd: Path, language: str) -> None:
    command("export", "--ckpt_path", "best", "--out", "other", "--language", language, cwd=cwd).ok()
    card = (cwd / "other/README.md").read_text(encoding="utf-8")
    results = json.loads((cwd / "logs/han/r/results.json").read_text(encoding="utf-8"))
    assert f"| acc | {results['test/acc']:.4f} | {results['val/acc']:.4f} |" in card
    for name, scores in results["test/classes"].items():
        row = f"{scores['precision']:.3f} | {scores['recall']:.3f} | {scores['f1']:.3f} | {scores['samples']}"
        assert f"| {name} | {row} |" in card
    assert 'HAN.from_pretrained("other")' in card and "license: unknown" in card
    assert ("What it is not for" in card) == (language == "en") != ("不适合做什么" in card)
    assert not [line for line in card.splitlines() if "{" in line or "&#34;" in line], "an unfilled or escaped word"


def test_a_checkpoint_that_was_not_tested_has_no_metrics_on_its_card(cwd: Path) -> None:
    command("export", "--ckpt_path", "last", "--out", "last", cwd=cwd).ok()
    assert "Not measured here" in (cwd / "last/README.md").read_text(encoding="utf-8")


def test_fewer_bits_make_it_smaller(cwd: Path) -> None:
    sizes = [(cwd / "han/model.safetensors").stat().st_size]
    for bits in ("16", "8"):
        command("export", "--ckpt_path", "best", "--out", f"han{bits}", "--bits", bits, cwd=cwd).ok()
        sizes.append((cwd / f"han{bits}/model.safetensors").stat().st_size)
        assert len(HAN.from_pretrained(cwd / f"han{bits}").predict(texts())) == 3
        assert f"rounded to {bits} bits" in (cwd / f"han{bits}/README.md").read_text(encoding="utf-8")
    assert sizes[0] > sizes[1] > sizes[2]


def test_what_is_there_is_replaced_by_name_and_never_an_input(cwd: Path) -> None:
    (cwd / "han/notes.txt").write_text("mine", encoding="utf-8")
    said = command("export", "--ckpt_path", "best", "--out", "han", cwd=cwd).ok()
    assert "replaced in han: README.md, config.json, model.safetensors, processor.json" in said.err
    assert (cwd / "han/notes.txt").read_text(encoding="utf-8") == "mine"
    command("export", "--ckpt_path", "han", "--out", "han", cwd=cwd).refused("is a file of the model")
    command("export", "--ckpt_path", "best", "--out", "logs/han/r/checkpoints", cwd=cwd).refused("is the checkpoint")
    (cwd / "file").touch()
    command("export", "--ckpt_path", "best", "--out", "file", cwd=cwd).refused("is a file; name a folder")
    command("export", "--ckpt_path", "best", "--out", "no/han", cwd=cwd).refused("no such folder")


def test_a_failure_leaves_no_half_folder(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise UserError("can't write: the disk is full")

    monkeypatch.setattr("lightning_nn.cli.export.write_text", full)
    before = {file: file.read_bytes() for file in (cwd / "han").iterdir()}
    for out in ("han", "new"):
        command("export", "--ckpt_path", "best", "--out", out, cwd=cwd).refused("the disk is full")
    assert {file: file.read_bytes() for file in (cwd / "han").iterdir()} == before
    assert not (cwd / "new").exists() and not list(cwd.glob(".*.part"))


DAMAGE = {
    "config.json": [
        ("[]", "damaged"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"model_type": "bert"}', "does not say which model"),
        ('{"model": "han", "format": 99}', "damaged"),
    ],
    "processor.json": [("3", "malformed"), ('{"kind": "text", "state": {"words": 3}}', "processor")],
}


@pytest.mark.parametrize(("name", "content", "words"), [(n, *row) for n, rows in DAMAGE.items() for row in rows])
def test_a_damaged_folder_is_an_error_in_a_line(cwd: Path, name: str, content: str, words: str) -> None:
    (cwd / "han" / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words) as error:
        HAN.from_pretrained(cwd / "han")
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 99}, "format 99"),
        ({"arguments": {"embedding": {"class_path": "os.system"}}}, "can't be loaded"),
        ({"arguments": {"vocabulary_size": "3"}}, "vocabulary_size can't be loaded"),
        ({"model": "lstm"}, "holds the model 'lstm', not 'han'"),
        ({"packed": {"nothing": [3, 4]}}, "damaged"),
        ({"packed": 3}, "damaged"),
        ({"temperature": -1}, "temperature"),
    ],
)
def test_values_of_a_stranger_are_checked(cwd: Path, changes: dict[str, Any], words: str) -> None:
    file = cwd / "han/config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, **changes}), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        HAN.from_pretrained(cwd / "han")


def test_a_part_of_the_folder_names_the_folder(cwd: Path) -> None:
    with pytest.raises(UserError, match="name its folder"):
        HAN.from_pretrained(cwd / "han/model.safetensors")
    (cwd / "han/processor.json").unlink()
    with pytest.raises(UserError, match=r"can't read .*processor.json, a part of the model folder"):
        HAN.from_pretrained(cwd / "han")
    with pytest.raises(UserError, match="no weights of han"):
        HAN.from_pretrained()


def test_a_network_of_images_gets_a_new_head_from_a_folder(tmp_path: Path) -> None:
    options = "--data scenes --data.size 32 --data.train_size 64 --data.val_size 16 --data.test_size 16"
    command(*shlex.split(f"fit --model convnet {options} {QUICK}"), cwd=tmp_path).ok()
    command("export", "--ckpt_path", "best", "--out", "net", cwd=tmp_path).ok()
    whole, headless = ConvNet.from_pretrained(tmp_path / "net"), ConvNet.from_pretrained(tmp_path / "net", 3)
    assert headless.head.weight.shape[0] == 3 and headless.pretrained
    shared = [name for name in whole.state_dict() if not name.startswith("head.")]
    assert all(torch.equal(whole.state_dict()[name], headless.state_dict()[name]) for name in shared)
