"""Files of tensors: opened without running code, downloaded whole or not at all."""

from __future__ import annotations

import gc
import hashlib
import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lightning_nn import ConvNet, Digits, LSTMClassifier
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint, check_tensors
from lightning_nn.runs.packed_rows import Bits
from lightning_nn.runs.weights_file import WeightsFile, download_weights, open_model, open_weights, save_weights
from tests.cases import text_data


def test_a_state_dict_and_safetensors_hold_the_same(tmp_path: Path) -> None:
    weights = nn.Linear(3, 2).state_dict()
    torch.save(weights, tmp_path / "a.pth")
    save_file(weights, tmp_path / "a.safetensors", {"about": "of somebody", "licence": "MIT"})
    one, other = open_weights(tmp_path / "a.pth"), open_weights(tmp_path / "a.safetensors")
    assert isinstance(one, WeightsFile) and isinstance(other, WeightsFile)
    assert one.state_dict.keys() == other.state_dict.keys() == weights.keys()
    assert all(torch.equal(one.state_dict[name], other.state_dict[name]) for name in weights)
    assert (one.about, set(other.about.split())) == ("", {"of", "somebody", "MIT"})


@pytest.mark.parametrize("length", [0x80, 0x3C20, 0x4B50])
def test_the_length_of_a_header_may_look_like_the_start_of_another_form(tmp_path: Path, length: int) -> None:
    file = tmp_path / "a.safetensors"
    for more in range(0, 8 * length, 8):
        save_file({"a": torch.ones(1)}, file, {"m": "x" * more})
        if int.from_bytes(file.read_bytes()[:8], "little") >= length:
            break
    assert file.read_bytes().startswith((b"\x80", b" <", b"PK"))
    assert open_weights(file).state_dict["a"] == 1


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_is_missing_or_damaged(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"no checkpoint at .*{name}"):
        open_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00" * 50)
    with pytest.raises(UserError, match=rf"{name} is damaged or no"):
        open_weights(tmp_path / name)


def test_a_module_that_could_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"torch.nn.modules.linear.Linear\) and could run code.*state_dict[^\n]*$"):
        open_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "module", "generator"])
def test_a_state_dict_is_found_in_the_dictionary_of_a_training(tmp_path: Path, key: str) -> None:
    weights = nn.Linear(3, 2).state_dict()
    optimizer = {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": 3, "best": torch.ones(1), "optimizer": optimizer, key: weights}, tmp_path / "a.pth")
    opened = open_weights(tmp_path / "a.pth")
    assert isinstance(opened, WeightsFile) and opened.state_dict.keys() == weights.keys()
    assert opened.notes == [f"{key!r} of the file is read"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"generator": {"a": torch.ones(1)}, "critic": {"a": torch.ones(1)}}, "several sets .* generator, critic"),
        ({"epoch": 3, "config": {"lr": 0.1}}, "no tensors by name: epoch, config"),
        ({}, "no tensors by name"),
        ([torch.ones(1)], "was not written by lightning_nn"),
        ({1: torch.ones(1)}, "1 has a name that is no text"),
        ({"x" * 1_000_000: torch.full((2,), torch.nan)}, r"x\.\.\. holds values that are not finite"),
    ],
)
def test_content_that_is_no_state_dict_is_refused_in_a_line(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=message) as error:
        open_weights(tmp_path / "a.pth")
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)


def zipped(*names: str) -> bytes:
    """Return a zip archive of empty files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return stream.getvalue()


OTHER_FILES = {
    "empty.pth": (b"", "is empty; copy or download it again"),
    "pointer.safetensors": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "Git LFS pointer.*git lfs pull",
    ),
    "page.pth": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "packed.bin": (b"\x1f\x8b\x08\x00", "gzip archive: unpack it"),
    "keras.pth": (b"\x89HDF\r\n", "HDF5"),
    "net.onnx": (b"\x08\x07\x12\x07pytorch", r"another kind, \.onnx"),
    "model.safetensors.index.json": (b"{}", r"another kind, \.json"),
    "cut.pth": (zipped("net/data.pkl")[:-30], "is cut off after .* copy or download it again"),
    "script.pt": (zipped("net/data.pkl", "net/constants.pkl"), "TorchScript, .*refused.* torch.save"),
    "other.zip.pt": (zipped("readme.txt"), "zip archive, not weights: unpack it"),
    "saved.safetensors": (zipped("net/data.pkl"), "call it .pth"),
    "cut.safetensors": (b"\xff\x00\x00\x00\x00\x00\x00\x00{", "damaged or no .safetensors file"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_a_file_that_holds_no_weights_is_named_by_its_cause(tmp_path: Path, name: str) -> None:
    content, message = OTHER_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} .*{message}") as error:
        open_weights(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_folder_and_an_address_are_named(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with pytest.raises(UserError, match="is a folder; it holds no weights"):
        open_weights(tmp_path / "net")
    (tmp_path / "net/model.safetensors").touch()
    with pytest.raises(UserError, match=r"is a folder; name a file, such as .*model\.safetensors"):
        open_weights(tmp_path / "net")
    with pytest.raises(UserError, match=r"^https://example.org/net.pth is an address, not a file: download it"):
        open_weights(Path("https://example.org/net.pth"))


def nested() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])


def quantised() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)


TENSORS: dict[str, Callable[[], Any]] = {
    "sparse": lambda: torch.ones(2).to_sparse(),
    "nested": nested,
    "device meta": lambda: torch.ones(2, device="meta"),
    "quint8": quantised,
    "complex64": lambda: torch.ones(2, dtype=torch.complex64),
    "float8": lambda: torch.ones(2).to(torch.float8_e4m3fn),
    "not finite": lambda: torch.tensor([1, torch.inf], dtype=torch.float16),
    "is a list, not a tensor": lambda: [1.0],
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_are_no_weights_are_refused_where_the_file_is_opened(kind: str) -> None:
    check_tensors({"a": torch.zeros(1).expand(10**12), "b": torch.ones(2, dtype=torch.int64)}, "a.pth")
    with pytest.raises(UserError, match=f"a.pth can't be used: net.weight .*{kind}"):
        check_tensors({"net.weight": TENSORS[kind]()}, "a.pth")


@pytest.mark.parametrize("header", ["[" * 100_000, "[" * 5000 + "]" * 5000, "3", "null", "{}", '{"model": []}', "\x00"])
def test_a_header_of_ours_that_is_damaged(tmp_path: Path, header: str) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", {"lightning_nn": header})
    with pytest.raises(UserError, match=r"a.safetensors is damaged"):
        open_weights(tmp_path / "a.safetensors")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


def test_a_file_is_downloaded_once(tmp_path: Path, hub: Path) -> None:
    digits = hashlib.sha256(b"weights").hexdigest()[:8]
    source = tmp_path / f"net-{digits}.pth"
    source.write_bytes(b"weights")
    assert download_weights(source.as_uri()) == hub / source.name
    source.unlink()
    assert download_weights(source.as_uri()).read_bytes() == b"weights"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/net-0123abcd.pth", "FOLDER/net-0123abcd.pth"])
def test_a_file_that_can_not_be_downloaded_says_where_to_put_it(tmp_path: Path, hub: Path, url: str) -> None:
    (tmp_path / "net-0123abcd.pth").write_bytes(b"other content than the name says")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # torch 2.6 does not close what it could not check
        with pytest.raises(
            UserError, match=r"can't download .*: get net-0123abcd.pth another way and put it into"
        ) as error:
            download_weights(url.replace("FOLDER", tmp_path.as_uri()))
        error.value.__cause__ = error.value.__context__ = None
        gc.collect()
    assert str(hub) in str(error.value) and "\n" not in str(error.value)
    assert not list(hub.iterdir()), "half a file stays"


NET = ["conv 4 3", "batch_norm", "relu", "max_pool 2", "flatten"]


def test_a_model_comes_back_in_half_precision_with_its_processor(tmp_path: Path) -> None:
    data = Digits()
    model = ConvNet(1, 8, 8, 10, layers=NET)
    trainer = Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    file = tmp_path / "one.safetensors"
    save_weights(Checkpoint.open(tmp_path / "one.ckpt"), file, {"test/acc": "0.9"})
    opened = open_weights(file)
    assert isinstance(opened, Checkpoint)
    loaded = ConvNet.from_checkpoint(opened)
    batch = data.sources["test"][torch.arange(20).numpy()]
    torch.testing.assert_close(loaded(batch), model.eval()(batch), rtol=0.01, atol=0.01)
    assert loaded.require_processor().categories == data.categories
    assert all(value.dtype == torch.float32 for value in loaded.parameters())
    with pytest.raises(UserError, match="weights only, no run"):
        _ = opened.progress


@pytest.mark.parametrize(("bits", "gap"), [(16, 0.01), (8, 0.05), (4, 0.5)])
def test_a_text_model_predicts_from_its_weights_in_few_bits(tmp_path: Path, bits: Bits, gap: float) -> None:
    data = text_data(tmp_path)
    model = LSTMClassifier.for_data(data, embedding_size=32, hidden_size=16, character_vectors=True)
    trainer = Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    file, checkpoint = tmp_path / "one.safetensors", Checkpoint.open(tmp_path / "one.ckpt")
    save_weights(checkpoint, file, {}, bits, LSTMClassifier.derived_buffers, type(data))
    loaded = LSTMClassifier.load_from_checkpoint(file)
    assert loaded.require_processor().row_labels() == checkpoint.processor().row_labels()
    batch = data.sources["test"][torch.arange(6).numpy()]
    difference = (loaded(batch) - model.eval()(batch)).abs().max()
    assert 0 < difference < gap, difference
    opened = open_model(file)
    assert opened.data_state(type(data)) == checkpoint.data_state(type(data)) != {}
    assert all(value.dtype == torch.float32 for value in opened.state_dict.values())


def test_a_vocabulary_that_is_cut_off_is_damage(tmp_path: Path) -> None:
    data = text_data(tmp_path)
    model = LSTMClassifier.for_data(data, embedding_size=4, hidden_size=4)
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    model.processor = data.processor
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    save_weights(Checkpoint.open(tmp_path / "one.ckpt"), tmp_path / "one.safetensors", {})
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        weights, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    weights["lightning_nn.words"] = weights["lightning_nn.words"][:-8].clone()
    save_file(weights, tmp_path / "cut.safetensors", about)
    with pytest.raises(UserError, match="cut off or too large"):
        open_model(tmp_path / "cut.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not say which model it holds"):
        open_model(tmp_path / "other.safetensors")
