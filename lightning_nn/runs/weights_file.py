"""Files of weights without a run: our own, as they are or in fewer bits, and those from elsewhere.

Ours say in their header, or in the other files of a model folder, which model they belong to, so they open as a
checkpoint; others are tensors by name.
"""

from __future__ import annotations

import json
import socket
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically
from lightning_nn.runs.checkpoint import (
    FORMAT,
    Checkpoint,
    begins_as_safetensors,
    check_tensors,
    read_plain,
    refuse_other_files,
)
from lightning_nn.runs.model_folder import TENSORS, is_model_folder, read_description, without_paths, write_description
from lightning_nn.runs.packed_rows import Bits, is_packed, pack, unpack
from lightning_nn.runs.saved_settings import names, shown

WEIGHTS = Path(__file__).parent.parent / "weights"  # those that are part of the package, NAME.safetensors
_HEADER = "lightning_nn"  # key of the header of our own files
_SCALES = ".scales"  # end of the name of the scales of a packed tensor
_WORDS = "lightning_nn.words"  # name of the tensor that is the vocabulary
_LARGEST = 1 << 28  # bytes of a vocabulary
_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")  # of a state dict


@dataclass(frozen=True)
class WeightsFile:
    """An open file of tensors, such as a state dict of torchvision.

    Attributes:
        path: the file.
        state_dict: the tensors by name.
        about: what the header of a .safetensors file says of them.
        notes: what was left out to read them, such as a prefix of all names; loading adds to them.
    """

    path: Path
    state_dict: dict[str, Tensor] = field(repr=False)
    about: str = ""
    notes: list[str] = field(default_factory=list, compare=False)

    def processor(self) -> None:
        """Return None: it has no processor of raw input."""


def open_weights(path: Path) -> Checkpoint | WeightsFile:
    """Open a checkpoint of ours, a model folder, a state dict (.pth, .pt) or a .safetensors file, without running code.

    A state dict may stand in a dictionary of a training, under one of the usual keys.

    Raises:
        UserError: the file is missing or damaged, or holds anything else.
    """
    if is_model_folder(path):
        return _open_folder(path)
    refuse_other_files(path)
    with path.open("rb") as file:
        head = file.read(9)
    safe = begins_as_safetensors(head)
    if path.suffix == ".safetensors" and not safe and head.startswith((b"PK", b"\x80")):
        raise UserError(f"{path} is no .safetensors file but one that torch.save wrote: call it .pth")
    if path.suffix == ".safetensors" or safe:
        return _open_safetensors(path)
    content = read_plain(path)
    if not isinstance(content, dict) or "lightning_nn" in content:
        return Checkpoint.of(content, path)
    weights, key = _unwrapped(content, path)
    check_tensors(weights, path)
    return WeightsFile(path, weights, notes=[f"{shown(key)!r} of the file is read"] if key else [])


def _unwrapped(content: dict[Any, Any], path: Path) -> tuple[dict[Any, Any], str]:
    """Return the state dict that is a file's content or one of its values, and the key of that value or ""."""
    inside = {key: value for key, value in content.items() if _is_state_dict(value)}
    key = next((key for key in _KEYS if key in inside), None)
    if key is None and len(inside) == 1 and not _is_state_dict(content):
        (key,) = inside
    tensors = content if key is None else inside[key]
    if not _is_state_dict(tensors):
        held = "several sets of tensors, of which one must be saved by itself" if inside else "no tensors by name"
        raise UserError(
            f"{path} was not written by lightning_nn and holds {held}: {names(list(map(str, inside or content)))}"
        )
    return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}, str(key or "")


def _is_state_dict(value: Any) -> bool:
    """Return whether a value is a dictionary of which most values are tensors."""
    return isinstance(value, dict) and sum(isinstance(item, Tensor) for item in value.values()) * 2 > len(value)


def embedded_weights(model: str) -> Checkpoint:
    """Open the weights of a model that are part of the package.

    Args:
        model: its name.

    Raises:
        UserError: the package has none of this model.
    """
    path = WEIGHTS / f"{model}.safetensors"
    if not path.is_file():
        models = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.safetensors")))
        raise UserError(f"--finetune embedded: this package has no weights of {model}, only of: {models}")
    weights = open_weights(path)
    assert isinstance(weights, Checkpoint)
    return weights


def open_model(path: str | Path, map_location: Any = "cpu") -> Checkpoint:
    """Open a checkpoint of ours, or what `save_weights` or `save_folder` has written of one.

    Args:
        path: the file or the model folder.
        map_location: device of its tensors, as in `torch.load`.

    Raises:
        UserError: the file is missing or damaged, or does not say which model it holds.
    """
    path = Path(path)
    if path.suffix != ".safetensors" and not is_model_folder(path):
        return Checkpoint.open(path, map_location)
    weights = open_weights(path)
    if isinstance(weights, WeightsFile):
        remedy = f"name its folder, {path.parent}" if path.name == TENSORS and is_model_folder(path.parent) else ""
        remedy = remedy or f"--finetune {path} trains a model from its weights"
        raise UserError(f"{path} does not say which model it holds: {remedy}")
    return weights


def save_weights(
    checkpoint: Checkpoint,
    path: Path,
    about: dict[str, str],
    bits: Bits = 16,
    left_out: Collection[str] = (),
    data: type | None = None,
) -> None:
    """Write what predictions and tests need of a checkpoint to a .safetensors file: weights, arguments and processor.

    Args:
        checkpoint: a trained model.
        path: the file.
        about: where the weights come from, for readers of the file: command, data, metrics.
        bits: of a weight: 32, as they are; 16, half precision; 8 or 4, rows of whole numbers, see `packed_rows`.
        left_out: names of tensors that follow from the processor.
        data: class of the data module whose state the checkpoint has; None if it is not to be tested.
    """
    tensors, packed = _packed(checkpoint, bits, left_out)
    model = _description(checkpoint, packed, data)
    if words := _words(model["processor"]):
        tensors[_WORDS] = torch.frombuffer(bytearray(deflated(words)), dtype=torch.uint8)
        processor = model["processor"]
        model["processor"] = {**processor, "state": {**processor["state"], "words": []}}
    _write(path, tensors, {**about, _HEADER: json.dumps(model, ensure_ascii=False)})


def save_folder(
    checkpoint: Checkpoint,
    folder: Path,
    about: dict[str, str],
    bits: Bits = 32,
    left_out: Collection[str] = (),
    data: type | None = None,
) -> None:
    """Write the same into a model folder, without the paths of the training data; see `save_weights`.

    Raises:
        UserError: the folder can't be written.
    """
    tensors, packed = _packed(checkpoint, bits, left_out)
    model = _description(checkpoint, packed, data)
    if data is not None:
        model["data_arguments"] = without_paths(model["data_arguments"], "data")
    _write(folder / TENSORS, tensors, {"format": "pt"})  # which other libraries expect in the header
    write_description(folder, {"format": FORMAT, **about, **model})


def _packed(
    checkpoint: Checkpoint, bits: Bits, left_out: Collection[str]
) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Return the tensors to write, and the shape of each that is packed into few bits."""
    tensors: dict[str, Tensor] = {}
    packed: dict[str, list[int]] = {}
    for name, value in checkpoint.state_dict.items():
        if name in left_out:
            continue
        if is_packed(value, bits):
            tensors[name], tensors[name + _SCALES] = pack(value, bits)
            packed[name] = list(value.shape)
        else:
            narrow = value.half() if value.is_floating_point() and bits < 32 else value
            tensors[name] = narrow.clone(memory_format=torch.contiguous_format)  # tied weights are written twice
    return tensors, packed


def _description(checkpoint: Checkpoint, packed: dict[str, list[int]], data: type | None) -> dict[str, Any]:
    """Return which model the tensors belong to, as plain data."""
    mine = checkpoint.content["lightning_nn"]
    model: dict[str, Any] = {"model": checkpoint.model, "arguments": checkpoint.arguments}
    model |= {"processor": mine["processor"], "packed": packed}
    model |= {"temperature": mine["temperature"]} if "temperature" in mine else {}
    if data is not None:
        model |= {"data": checkpoint.data, "data_arguments": checkpoint.data_arguments}
        state = checkpoint.data_state(data)
        model |= {"settings": checkpoint.settings, "data_state": state, "data_class": data.__qualname__}
    return model


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    from safetensors.torch import save

    write_atomically(path, lambda file: file.write(save(tensors, header)))


def _words(processor: Any) -> list[str]:
    """Return the words of a processor with a vocabulary; an empty list without one."""
    words = processor["state"].get("words") if isinstance(processor, dict) else None
    return words if isinstance(words, list) else []


def deflated(words: list[str]) -> bytes:
    """Return a vocabulary as `save_weights` writes it: a JSON list, deflated."""
    return zlib.compress(json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode("utf-8"), 9)


def _inflated(data: Tensor) -> Any:
    stream, text = zlib.decompressobj(), b""
    with suppress(zlib.error):
        text = stream.decompress(data.numpy().tobytes(), _LARGEST)
    if not stream.eof:
        raise ValueError("its vocabulary is damaged, cut off or too large")
    return json.loads(text)


def _open_safetensors(path: Path) -> Checkpoint | WeightsFile:
    weights, about = _read(path)
    if _HEADER in about:
        with _damage_named(path):
            return _own(weights, json.loads(about[_HEADER]), path)
    check_tensors(weights, path)
    return WeightsFile(path, weights, " ".join(about.values()))


def _open_folder(folder: Path) -> Checkpoint:
    model = read_description(folder)
    if not isinstance(model.get("model"), str):
        raise UserError(f"{folder} was not written by lightning_nn: its config.json does not say which model it holds")
    refuse_other_files(folder / TENSORS)
    with _damage_named(folder):
        return _own(_read(folder / TENSORS)[0], model, folder)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the header of a .safetensors file."""
    from safetensors import SafetensorError, safe_open

    with _damage_named(path):
        try:
            with safe_open(path, framework="pt") as file:
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
                return weights, file.metadata() or {}
        except SafetensorError as error:
            raise ValueError(str(error)) from None


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Name a file in which something is not as it is written."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        form = "model folder" if path.is_dir() else ".safetensors file"
        raise UserError(f"{path} is damaged or no {form} ({error}); use another one") from None


def _own(weights: dict[str, Tensor], model: dict[str, Any], path: Path) -> Checkpoint:
    """Return what `save_weights` or `save_folder` has written as a checkpoint that holds no run."""
    if _WORDS in weights:
        model["processor"]["state"]["words"] = _inflated(weights.pop(_WORDS))
    for name, shape in model.get("packed", {}).items():
        weights[name] = unpack(weights[name], weights.pop(name + _SCALES), shape)
    widened = {
        name: value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in weights.items()
    }
    mine = {"format": model.get("format", FORMAT), "model": model["model"], "processor": model["processor"]}
    mine |= {"temperature": model["temperature"]} if "temperature" in model else {}
    mine |= {"settings": model.get("settings", {}), "run": {"data": model.get("data")}}
    content = {"state_dict": widened, "hyper_parameters": model["arguments"], "lightning_nn": mine}
    content |= {"datamodule_hyper_parameters": model.get("data_arguments", {})}
    if "data_class" in model:
        content[str(model["data_class"])] = model["data_state"]
    return Checkpoint.of(content, path)


def download_weights(url: str) -> Path:
    """Download a file to torch's cache unless it is there, and check it by the digits of its hash in its name.

    Raises:
        UserError: it can't be downloaded; the message says where to put it.
    """
    folder, name = Path(torch.hub.get_dir(), "checkpoints"), url.rpartition("/")[2]
    if not (folder / name).is_file():
        digits = Path(name).stem.rpartition("-")[2]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with connection_timeout(30):
                torch.hub.download_url_to_file(url, str(folder / name), hash_prefix=digits)
        except (OSError, RuntimeError, HTTPException) as error:
            reason, other = " ".join(str(error).split()), f"get {name} another way and put it into {folder}"
            raise UserError(f"can't download {url} ({reason}): {other}") from None
    return folder / name


@contextmanager
def connection_timeout(seconds: float) -> Iterator[None]:
    """Set a socket timeout, so that a firewall that drops packets doesn't look like a long download."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def common_prefix(in_file: Iterable[str], in_model: Collection[str]) -> str:
    """Return the prefix, such as "module.", under which a file has the most names of a model; "" if it has none.

    Args:
        in_file: names in the file.
        in_model: names in the model.
    """
    counts: Counter[str] = Counter()
    for name in in_file:
        parts = name.split(".")
        for depth in range(min(len(parts), 5)):
            if ".".join(parts[depth:]) in in_model:
                counts["".join(f"{part}." for part in parts[:depth])] += 1
    return max(counts, key=lambda prefix: (counts[prefix], -len(prefix)), default="")
