"""The verb `labels`: flipped labels are found, nothing of the data changes, and a stop leaves nothing behind."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from lightning_nn.cli import labels as verb
from tests.cases import texts
from tests.commands import command

FLIPPED = [4, 25, 46, 67, 88, 109]


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on texts of which six have a wrong label, one is there twice, and one is of unknown words."""
    folder = tmp_path_factory.mktemp("labels")
    samples, labels = texts(120)
    names = sorted(set(labels))
    labels = [names[names.index(name) - 1] if i in FLIPPED else name for i, name in enumerate(labels)]
    samples = [f"{text}第{i}则。" for i, text in enumerate(samples)]
    rows = [*zip(samples, labels, strict=True), (f"{samples[0][:-1]}！", labels[1]), ("魑魅魍魉。", labels[0])]
    (folder / "texts.tsv").write_text("".join(f"{text}\t{name}\n" for text, name in rows), encoding="utf-8")
    sizes = "--model.embedding_size 16 --model.hidden_size 8 --data.segmenter chars --optimizer.lr 0.02"
    model = "--model lstm --model.pooling attention --trainer.max_epochs 25 --name run"
    command(
        *f"{model} --data text --data.path texts.tsv {sizes}".split(),
        "--trainer.enable_progress_bar",
        "false",
        cwd=folder,
    ).ok()
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_flipped_labels_come_first_and_the_data_stays(flipped: Path) -> None:
    before = (flipped / "texts.tsv").read_bytes()
    result = command("labels", "--folds", "3", cwd=flipped).ok()
    assert "3 trainings on 67% of train each: about" in result.out and "labels are suspect" in result.out
    folder = flipped / "logs/lstm/run/labels"
    ranked = rows(folder / "labels.csv")
    assert len(ranked) == 122 and ranked[0].keys() >= {
        "file",
        "line",
        "text",
        "label",
        "suggested_label",
        "probability",
    }
    first = {int(row["line"]) - 1 for row in ranked[: len(FLIPPED)]}
    assert len(first & set(FLIPPED)) >= 0.7 * len(FLIPPED), f"of {FLIPPED}, {sorted(first)} come first"
    doubles = rows(folder / "duplicates.csv")
    assert {row["line"] for row in doubles if row["labels_differ"] == "1"} == {"1", "121"}
    assert [row["line"] for row in rows(folder / "unknown_words.csv")] == ["122"]
    assert "perhaps" in (folder / "labels.html").read_text(encoding="utf-8")
    assert (flipped / "texts.tsv").read_bytes() == before


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images of which the seventh has the wrong label."""
    folder = tmp_path_factory.mktemp("shades")
    for number in range(40):
        shade = 60 + 120 * (number % 2) + number
        name = ("dark", "light")[(number % 2) ^ (number == 7)]
        file = folder / "pictures" / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(file)
    run = "--model softmax --data images --data.path pictures --data.size 8 --trainer.max_epochs 8 --optimizer.lr 0.05"
    command(*run.split(), "--trainer.enable_progress_bar", "false", cwd=folder).ok()
    return folder


def test_a_stop_leaves_nothing(shades: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "_validate", stopped)
    result = command("labels", "--folds", "2", "--out", "stopped", cwd=shades)
    assert result.code == 130 and not (shades / "stopped").exists()


def test_images_in_folders_are_shown_the_same_each_time(shades: Path) -> None:
    for out in ("found", "again"):
        command("labels", "--folds", "3", "--out", out, cwd=shades).ok()
    assert (shades / "again/labels.csv").read_bytes() == (shades / "found/labels.csv").read_bytes()
    first = rows(shades / "found/labels.csv")[0]
    assert Path(first["file"]).name == "7.png" and (first["label"], first["suggested_label"]) == ("dark", "light")
    assert "data:image/png" in (shades / "found/labels.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--folds", "1"), ("--folds", "2 to 100", "'1'")),
        (("--data", "bulletins"), ("--data bulletins", "no effect")),
        (("--fold", "3"), ("--fold", "'--folds'")),
        (("--model", "convnet"), ("no run", "convnet")),
    ],
)
def test_slips_are_explained(flipped: Path, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    command("labels", *argv, cwd=flipped).refused(*words)


def test_changed_data_is_refused(flipped: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(flipped, tmp_path / "copy")
    with (copy / "texts.tsv").open("a", encoding="utf-8") as stream:
        stream.write("球队进了球。\t体育\n")
    command("labels", "--folds", "2", cwd=copy).refused("the data is not what", "has changed")
