"""`export`: an ONNX file or a program of torch that answers as the model does, without this package."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from lightning_nn import FCN, HAN, ConvNet, FastStyleTransfer, LSTMClassifier
from lightning_nn.cli.network import EXAMPLES, Forward, export_program, image_network, to_onnx
from lightning_nn.data.batches import ImageBatch, MaskBatch
from lightning_nn.errors import UserError
from tests.cases import text_data
from tests.commands import command, environment, write_reviews

QUICK = "--name r --trainer.max_epochs 1 --trainer.enable_progress_bar false --trainer.logger false"
CONVNET = shlex.split(
    f"fit --model convnet --data scenes --data.size 32 --data.train_size 64 --data.val_size 16 {QUICK}"
)
FCN_RUN = shlex.split(
    f"fit --model fcn --data.size 32 --data.train_size 8 --data.val_size 4 --model.first_channels 2 {QUICK}"
)


@pytest.fixture(scope="module")
def convnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a ConvNet for one epoch and return the folder."""
    cwd = tmp_path_factory.mktemp("convnet")
    command(*CONVNET, cwd=cwd).ok()
    return cwd


def test_a_model_that_reads_no_images_is_no_network_of_images(tmp_path: Path) -> None:
    data = text_data(tmp_path)
    model = LSTMClassifier.for_data(data, embedding_size=4, hidden_size=4)
    model.processor = data.processor
    with pytest.raises(UserError, match=r"lstm can't be exported, as it reads no images: set LSTM"):
        image_network(model)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def test_onnx_answers_as_the_model_and_names_its_categories(convnet: Path) -> None:
    import onnxruntime

    said = command("export", "--out", "m.onnx", cwd=convnet).ok()
    assert "m.onnx: input image, uint8 B x 3 x 32 x 32" in said.out
    session = onnxruntime.InferenceSession(convnet / "m.onnx", providers=["CPUExecutionProvider"])
    model = ConvNet.load_from_checkpoint(convnet / "logs/convnet/r/checkpoints/best.ckpt")
    for count in (1, 5):
        (found,) = session.run(None, {"image": images(count)})
        expected = model(ImageBatch(torch.from_numpy(images(count))))
        torch.testing.assert_close(torch.from_numpy(found), expected.detach(), atol=1e-4, rtol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["categories"])[0] == "house" and about["model"] == "convnet"


def test_a_program_of_torch_runs_without_this_package(convnet: Path) -> None:
    command("export", "--out", "m.pt2", cwd=convnet).ok()
    script = convnet / "use.py"
    script.write_text(
        "import sys, torch\n"
        "program = torch.export.load('m.pt2').module()\n"
        "torch.save(program(torch.load('images.pt')), 'found.pt')\n"
        "print('lightning_nn' in sys.modules)\n",
        encoding="utf-8",
    )
    given = torch.from_numpy(images(3))
    torch.save(given, convnet / "images.pt")
    about = {"categories": "", "fit": "", "output": "", "preparation": ""}
    torch.export.load(convnet / "m.pt2", extra_files=about)
    assert json.loads(about["categories"])[0] == "house" and about["fit"] == "crop"
    assert "logits" in about["output"] and "ImageOps.fit(image, (32, 32)" in about["preparation"]
    done = subprocess.run([sys.executable, script], cwd=convnet, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
    model = ConvNet.load_from_checkpoint(convnet / "logs/convnet/r/checkpoints/best.ckpt")
    torch.testing.assert_close(torch.load(convnet / "found.pt"), model(ImageBatch(given)).detach())


def test_the_comparison_neither_takes_nor_disturbs_the_random_numbers_of_torch(convnet: Path) -> None:
    model = ConvNet.load_from_checkpoint(convnet / "logs/convnet/r/checkpoints/best.ckpt")
    network = Forward(model, model.require_processor().encode([Image.new("RGB", (32, 32))] * 2))
    given = []
    for seed in (1, 2):
        state = torch.manual_seed(seed).get_state()
        given.append(network.comparison()[0][0])
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*given) and given[0].dtype == torch.uint8


def test_a_network_of_masks_is_exported(tmp_path: Path) -> None:
    import onnxruntime

    command(*FCN_RUN, cwd=tmp_path).ok()
    command("export", "--model", "fcn", "--out", "m.onnx", cwd=tmp_path).ok()
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    model = FCN.load_from_checkpoint(tmp_path / "logs/fcn/r/checkpoints/best.ckpt")
    (found,) = session.run(None, {"image": images(2)})
    expected = model(MaskBatch(torch.from_numpy(images(2))))
    torch.testing.assert_close(torch.from_numpy(found), expected.detach(), atol=1e-4, rtol=1e-4)


def test_a_network_of_images_of_any_size_is_exported_for_any_size(tmp_path: Path) -> None:
    import onnxruntime

    random = np.random.default_rng(0)
    for folder, shape, most in (("images", (48, 64, 3), 256), ("masks", (48, 64), 3)):
        (tmp_path / "streets" / folder).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(random.integers(0, most, shape, np.uint8)).save(tmp_path / f"streets/{folder}/{i}.png")
    (tmp_path / "classes.txt").write_text("sky 1 2 3\nroad 4 5 6\ncar 7 8 9\n", encoding="utf-8")
    data = "--data segmentation --data.path streets --data.classes classes.txt --model.first_channels 2"
    command(*shlex.split(f"fit --model fcn {data} {QUICK}"), cwd=tmp_path).ok()
    if torch.__version__.startswith("2.6."):
        command("export", "--out", "m.onnx", cwd=tmp_path).refused("can't convert this network to ONNX", "FILE.pt2")
        return
    for name in ("m.onnx", "m.pt2"):
        said = command("export", "--out", name, cwd=tmp_path).ok()
        assert f"{name}: input image, uint8 B x 3 x H x W; any number of B, H, W" in said.out
        assert ("H and W from 33 on" in said.out) == (name == "m.pt2")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["colours"] == "[[1, 2, 3], [4, 5, 6], [7, 8, 9]]"
    program: Any = torch.export.load(tmp_path / "m.pt2").module()
    model = FCN.load_from_checkpoint(tmp_path / "logs/fcn/r/checkpoints/best.ckpt")
    for shape in ((1, 3, 48, 64), (3, 3, 64, 64), (2, 3, 37, 90)):
        given = random.integers(0, 256, shape, np.uint8)
        expected = model(MaskBatch(torch.from_numpy(given))).detach()
        (found,) = session.run(None, {"image": given})
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(program(torch.from_numpy(given)), expected)


def prepared(path: Path, about: dict[str, str]) -> np.ndarray:
    """Return a picture as the metadata of an export describe it, by Pillow alone."""
    image = ImageOps.exif_transpose(Image.open(path))
    if about["transparency"] == "on white" and image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert({"gray": "L", "RGB": "RGB"}[about["channels"]])
    if about["fit"] != "keep":
        size = int(about["width"]), int(about["height"])
        fit = ImageOps.fit if about["fit"] == "crop" else Image.Image.resize
        image = fit(image, size, Image.Resampling.BILINEAR)  # type: ignore[operator]
    elif (longest := int(about.get("longest", 1 << 20))) < max(image.size):
        width, height = (round(side * longest / max(image.size)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, about["dtype"])
    return (pixels[None] if image.mode == "L" else pixels.transpose(2, 0, 1))[None]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with class folders, masks and three pictures to predict on, most larger than any network's."""
    cwd = tmp_path_factory.mktemp("photographs")
    random, turned = np.random.default_rng(0), Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    names = ["new/jpeg.jpg", "new/turned.jpg", "new/clear.png", *(f"streets/images/{i}.png" for i in range(6))]
    names += [f"{folder}/{k}/{i}.jpg" for folder in ("colour", "gray") for k in "ab" for i in range(8)]
    for name in names:
        (cwd / name).parent.mkdir(parents=True, exist_ok=True)
        size = (48, 40) if name.startswith("streets") else (300, 420)
        image = Image.fromarray(random.integers(0, 256, (9, 7, 3), np.uint8)).resize(size)
        if name.endswith("clear.png"):
            image.putalpha(Image.linear_gradient("L").resize(size))
        image = image.convert("L") if name.startswith("gray") else image
        image.save(cwd / name, **({"exif": turned} if "turned" in name else {}))
    (cwd / "streets/masks").mkdir()
    for i in range(6):
        Image.fromarray(random.integers(0, 3, (40, 48), np.uint8)).save(cwd / f"streets/masks/{i}.png")
    return cwd


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="can't convert networks of any size")
@pytest.mark.parametrize(("fit", "folder"), [("crop", "colour"), ("squash", "gray")])
def test_who_follows_the_metadata_of_a_classifier_predicts_the_same(photographs: Path, fit: str, folder: str) -> None:
    train = f"fit --model softmax --data images --data.path {folder} --data.size 24 --data.fit {fit} {QUICK}"
    check_metadata(photographs, "softmax", f"{train} --optimizer.lr 0.1", "--all_classes")


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="can't convert networks of any size")
@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("fcn", "--data segmentation --data.path streets --model.first_channels 2"),
        ("fast_style", "--data.size 32 --data.content colour/a --data.longest 90 --model.first_channels 2"),
    ],
)
def test_who_follows_the_metadata_of_a_network_of_any_size_predicts_the_same(
    photographs: Path, model: str, data: str
) -> None:
    check_metadata(photographs, model, f"fit --model {model} {data} {QUICK}", "")


def check_metadata(cwd: Path, model: str, train: str, options: str) -> None:
    import onnxruntime

    shutil.rmtree(cwd / "logs", ignore_errors=True)
    command(*shlex.split(train), cwd=cwd).ok()
    ask = ("--model", model, "--ckpt_path", "last")
    command("export", *ask, "--out", "m.onnx", cwd=cwd).ok()
    command("predict", *ask, "--data.file", "new", *shlex.split(options), "--out", "p.jsonl", cwd=cwd).ok()
    session = onnxruntime.InferenceSession(cwd / "m.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert given.name == about["input"] and given.shape[0] == made.shape[0] == "batch"
    assert about["axes"] == "batch, channels, height, width"
    if about["height"] == "any":
        assert given.shape[2:] == made.shape[2:] == ["height", "width"]
    for row in map(json.loads, (cwd / "p.jsonl").read_text(encoding="utf-8").splitlines()):
        (out,) = session.run(None, {given.name: prepared(cwd / row["input"], about)})
        if about["output"].startswith("logits (batch, classes);"):
            scores = out / float(about["temperature"])
            (shares,) = np.exp(scores) / np.exp(scores).sum(1)
            assert [row[name] for name in json.loads(about["categories"])] == pytest.approx(shares, abs=1e-3)
        elif about["output"].startswith("logits (batch, classes, height, width)"):
            assert (np.asarray(Image.open(cwd / row["mask"])) == out[0].argmax(0)).mean() > 0.999
        else:
            assert about["output"].startswith("picture (batch, 3, height, width), RGB from 0 to 255")
            styled = np.asarray(Image.open(cwd / row["image"])).transpose(2, 0, 1)
            assert np.abs(styled - out[0]).max() < 0.51


SIZES = ((64, 64), (48, 64), (33, 129), (20, 17))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "field"),
    [
        *((partial(FCN, 3, 4, body=body), "image") for body in ("embedded", "alexnet", "mobilenet_v2", "inception_v3")),
        (partial(FastStyleTransfer, first_channels=4, blocks=1), "content"),
    ],
)
def test_every_network_of_any_size_is_exported_for_any_size(model: Any, field: str) -> None:
    import onnxruntime

    made = model().eval().to(memory_format=torch.contiguous_format)
    one, other = (
        made.batch_type(torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)) for width, height in EXAMPLES
    )
    forward = Forward(made, one).eval()
    content = to_onnx(export_program(forward, other), forward, {})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for size in SIZES:
        given = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
        (found,) = session.run(None, {field: given.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), forward(given), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", ["--out FOLDER, model.onnx"]),
        ("--out m.txt", ["--out FOLDER, model.onnx", "m.txt"]),
        ("--out no/m.onnx", ["no such folder"]),
        ("--out m.onnx --fast", ["unknown option --fast of export"]),
        ("--out m.onnx --model han", ["no run", "han"]),
        ("--out m.onnx --name other", ["--name other has no effect on export"]),
    ],
)
def test_what_a_user_gets_wrong(convnet: Path, options: str, words: list[str]) -> None:
    command("export", *shlex.split(options), cwd=convnet).refused(*words)


SMALL_HAN = "--model han --model.embedding_size 4 --model.hidden_size 4 --model.attention_size 4"
GRAMS = "--model.embedding.ngrams 3 --model.embedding.ngram_rows 64"
SMALL_LSTM = "--model lstm --model.embedding_size 4 --model.hidden_size 4 --model.layers 2"


@pytest.mark.parametrize("model", [f"{SMALL_HAN} {GRAMS}", SMALL_HAN, SMALL_LSTM])
def test_a_model_of_texts_becomes_onnx_for_texts_of_any_length(tmp_path: Path, model: str) -> None:
    import onnxruntime

    write_reviews(tmp_path / "reviews.csv")
    options = f"fit {model} --data text --data.path reviews.csv --data.vocabulary.segmenter chars {QUICK}"
    command(*shlex.split(options), cwd=tmp_path).ok()
    said = command("export", "--out", "m.onnx", cwd=tmp_path).ok().out
    assert "input words, int64 documents x " in said and "the same as the model to " in said

    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert len(json.loads(about["categories"])) == 2 and about["output"].startswith("logits (batch, classes)")
    (checkpoint,) = (tmp_path / "logs").rglob("best.ckpt")
    assert ("crc32" in about.get("ngrams", "")) == (GRAMS in model)
    trained: Any = (HAN if SMALL_HAN in model else LSTMClassifier).load_from_checkpoint(checkpoint).eval()
    for texts in (["好"], ["很好。不错！喜欢", "差", "一般。" * 9]):
        batch, names = trained.processor.encode(texts), [given.name for given in session.get_inputs()]
        padded = [tensor.numpy() for tensor in trained.padded().pad(batch)]
        (logits,) = session.run(None, dict(zip(names, padded, strict=True)))
        torch.testing.assert_close(torch.from_numpy(logits), trained(batch), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="can't scan sequences of any length")
@pytest.mark.parametrize(
    "model", [SMALL_HAN, SMALL_LSTM, f"{SMALL_LSTM} --model.cell gru --model.direction backward {GRAMS}"]
)
def test_a_model_of_texts_becomes_a_program_of_torch_for_texts_of_any_length(tmp_path: Path, model: str) -> None:
    write_reviews(tmp_path / "reviews.csv")
    options = f"fit {model} --data text --data.path reviews.csv --data.vocabulary.segmenter chars {QUICK}"
    command(*shlex.split(options), cwd=tmp_path).ok()
    assert "the same as the model to " in command("export", "--out", "m.pt2", cwd=tmp_path).ok().out

    (checkpoint,) = (tmp_path / "logs").rglob("best.ckpt")
    trained: Any = (HAN if model is SMALL_HAN else LSTMClassifier).load_from_checkpoint(checkpoint).eval()
    program: Any = torch.export.load(tmp_path / "m.pt2").module()
    for texts in (["好"], ["很好。不错！喜欢", "差", "一般。" * 9]):
        batch = trained.processor.encode(texts)
        with torch.no_grad():
            torch.testing.assert_close(program(*trained.padded().pad(batch)), trained(batch), atol=1e-4, rtol=1e-4)


def test_without_onnx_the_extra_is_named(convnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    argv = ("export", "--out", "n.onnx", "--ckpt_path", "nowhere.ckpt")
    command(*argv, cwd=convnet).refused('needs onnx: pip install -e ".[onnx]"')
    assert not (convnet / "n.onnx").exists()


def test_the_help_fits_a_terminal(tmp_path: Path) -> None:
    said = command("export", "--help", cwd=tmp_path).ok().out
    assert "--out FOLDER|FILE" in said and max(map(len, said.splitlines())) <= 80
