"""No command writes over a file that it reads, whatever the file is called there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.cli.overwriting import InputFiles, check_out
from lightning_nn.cli.writers import writer
from lightning_nn.data.processor import Record
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from tests.commands import command


def same(file: Path) -> Path:
    return file


def link(file: Path) -> Path:
    (other := file.with_name(f"link-{file.name}")).symlink_to(file.name)
    return other


def hard_link(file: Path) -> Path:
    os.link(file, other := file.with_name(f"hard-{file.name}"))
    return other


def detour(file: Path) -> Path:
    return file.parent / ".." / file.parent.name / file.name


def through_proc(file: Path) -> Path:
    return Path("/proc/self/root", *file.resolve().parts[1:])


SPELLINGS = [same, link, hard_link, detour]
if Path("/proc/self/root").is_dir():
    SPELLINGS.append(through_proc)


def saved(place: Path, **data: object) -> Checkpoint:
    place.write_bytes(b"weights")
    return Checkpoint(place, "convnet", "images", {}, data, {}, {}, {})


@pytest.mark.parametrize("name", ["last.ckpt", "config.yaml", "mine.py", "w.safetensors"])
def test_weights_settings_and_code_are_no_output(tmp_path: Path, name: str) -> None:
    check_out(tmp_path / name, InputFiles())
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(UserError, match=f"{name} is there already, and no output of this command is a "):
        check_out(tmp_path / name, InputFiles())


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_an_input_under_any_spelling_is_no_output(tmp_path: Path, spelled: Callable[[Path], Path]) -> None:
    (tmp_path / "photo.png").write_bytes(b"photo")
    (tmp_path / "train.csv").write_bytes(b"a,b")
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "sky.png").write_bytes(b"sky")
    checkpoint = saved(tmp_path / "m.ckpt", path=str(tmp_path / "train.csv"), style=f"{tmp_path}/styles")
    inputs = InputFiles.of(checkpoint, [], [tmp_path / "photo.png"])
    for name, what in (("m.ckpt", "the checkpoint"), ("photo.png", "an input"), ("train.csv", "training data")):
        with pytest.raises(UserError, match=f"{what}.*name another file"):
            inputs.refuse(spelled(tmp_path / name), "--out it")
    with pytest.raises(UserError, match="training data"):
        inputs.refuse(tmp_path / "styles" / "sky.png", "--out it")
    for free in ("new.csv", "styles/new.csv", "m2.ckpt"):
        inputs.refuse(tmp_path / free, "--out it")


def test_inputs_are_looked_for_only_if_there_is_a_file_to_replace(tmp_path: Path) -> None:
    def million() -> Iterator[Path]:
        raise AssertionError("the folder was listed")
        yield tmp_path

    inputs = InputFiles.of(saved(tmp_path / "m.ckpt", path=""), [], million())
    inputs.refuse(tmp_path / "new.csv", "--out new.csv")
    inputs.refuse_folder(tmp_path / "new-mask", "--out new.csv")


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").write_bytes(b"a")
    InputFiles.of(saved(tmp_path / "m.ckpt", path=""), []).refuse(Path("old.csv"), "--out old.csv")


class Styled(NamedTuple):
    mask: NDArray[np.uint8]
    image: NDArray[np.uint8]


@pytest.mark.parametrize("entry", ["the photo", "a link", "a hard link"])
@pytest.mark.parametrize("field", ["mask", "overlay"])
def test_pictures_beside_a_table_replace_no_input(tmp_path: Path, entry: str, field: str) -> None:
    (tmp_path / f"o-{field}").mkdir()
    inside, photo = tmp_path / f"o-{field}" / "a.png", tmp_path / "a.png"
    photo.write_bytes(b"photo")
    if entry == "a link":
        inside.symlink_to(photo)
    elif entry == "a hard link":
        os.link(photo, inside)
    else:
        photo = photo.rename(inside)
    inputs = InputFiles.of(saved(tmp_path / "m.ckpt"), [], [photo])
    predicted = Styled(np.zeros((2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with pytest.raises(UserError, match=f"o-{field}"), writer(tmp_path / "o.csv", "csv", "", inputs=inputs) as write:
        write(Record(photo, {"input": photo}), predicted)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


def test_what_is_replaced_is_named(tmp_path: Path) -> None:
    predicted, said = Styled(np.zeros((2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)), list[str]()
    for _ in range(2):
        with writer(tmp_path / "o.csv", "csv", "", say=said.append) as write:
            write(Record(Path("a.png"), {"input": "a.png"}), predicted)
    out = tmp_path / "o"
    assert said == [f"replaced: {out}.csv, 1 file in {out}-mask, 1 file in {out}-overlay"]


@pytest.fixture(scope="module")
def softmax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model on pictures, and return the folder."""
    cwd = tmp_path_factory.mktemp("softmax")
    for k, name in enumerate(("dark", "light")):
        (cwd / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("L", (8, 8), 120 * k + i).save(cwd / "pictures" / name / f"{i}.png")
    argv = "fit --model softmax --data images --data.path pictures --data.size 8 --name r --trainer.max_epochs 1"
    command(*argv.split(), "--trainer.enable_progress_bar", "false", cwd=cwd).ok()
    shutil.copy(cwd / "logs/softmax/r/checkpoints/last.ckpt", cwd / "m.pt2")
    return cwd


@pytest.mark.parametrize("verb", ["predict --data.file pictures/dark", "export"])
@pytest.mark.parametrize("out", ["m.pt2", "link.pt2", "pictures/../m.pt2"])
def test_the_checkpoint_is_kept(softmax: Path, verb: str, out: str) -> None:
    if not (softmax / "link.pt2").exists():
        (softmax / "link.pt2").symlink_to("m.pt2")
    before = (softmax / "m.pt2").read_bytes()
    command(*verb.split(), "--ckpt_path", "m.pt2", "--out", out, cwd=softmax).refused(f"--out {out} is the checkpoint")
    assert (softmax / "m.pt2").read_bytes() == before


@pytest.mark.parametrize("out", ["pictures/dark/0.png", "pictures/light/0.png"])
def test_pictures_of_predict_and_of_training_are_kept(softmax: Path, out: str) -> None:
    argv = ("predict", "--ckpt_path", "m.pt2", "--data.file", "pictures/dark", "--format", "csv", "--out", out)
    command(*argv, cwd=softmax).refused(f"--out {out}", "name another")


def test_several_pictures_and_patterns_are_predicted(softmax: Path) -> None:
    names = [f"pictures/dark/{i}.png" for i in (2, 0, 1)]
    ask = ("predict", "--ckpt_path", "m.pt2", "--data.file")
    several = command(*ask, *names, cwd=softmax).ok().out.splitlines()
    assert [row.split(",")[0] for row in several[1:]] == names
    assert command(*ask, *names[:1], "--data.file", *names[1:], cwd=softmax).ok().out.splitlines() == several
    pattern = command(*ask, "pictures/dark/[012].png", "--out", "r.csv", cwd=softmax).ok()
    assert "3 predictions in r.csv" in pattern.err
    assert sorted((softmax / "r.csv").read_text(encoding="utf-8-sig").splitlines()) == sorted(several)
    (softmax / "broken.png").write_bytes(b"no picture")
    rows = command(*ask, names[0], "broken.png", "gone.png", cwd=softmax).refused("gone.png", "no such file")
    rows = command(*ask, names[0], "broken.png", cwd=softmax).ok()
    assert "broken.png: can't be read" in rows.out.splitlines()[2]
    command(*ask, "pictures/*.tiff", cwd=softmax).refused("pictures/*.tiff: no such file")
