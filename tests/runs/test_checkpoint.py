from __future__ import annotations

import contextlib
import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically
from lightning_nn.runs.checkpoint import FORMAT, Checkpoint, PlainCheckpointIO


def checkpoint(**more: Any) -> dict[str, Any]:
    mine = {"format": FORMAT, "model": "softmax", "processor": None, "settings": {}}
    weights = {"w": torch.arange(1000.0)}
    return {"state_dict": weights, "hyper_parameters": {}, "lightning_nn": mine, **more}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    PlainCheckpointIO().save_checkpoint(checkpoint(), path)
    return path


def test_what_was_written_is_read(saved: Path) -> None:
    assert torch.equal(Checkpoint.open(saved).state_dict["w"], torch.arange(1000.0))
    assert torch.equal(PlainCheckpointIO().load_checkpoint(saved)["state_dict"]["w"], torch.arange(1000.0))


def test_an_open_checkpoint_is_given_out_once_and_for_its_own_file(saved: Path, tmp_path: Path) -> None:
    opened = Checkpoint.open(saved)
    read = PlainCheckpointIO(opened)
    assert read.load_checkpoint(saved) is opened.content
    assert read.load_checkpoint(saved) is not opened.content
    other = tmp_path / "other.ckpt"
    PlainCheckpointIO().save_checkpoint(checkpoint(epoch=3), other)
    assert PlainCheckpointIO(opened).load_checkpoint(other)["epoch"] == 3


# ---------------------------------------------------------------------- what is refused


class Touch:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("protocol", [None, 0, 2, 4], ids=lambda p: f"pickle {p}" if p is not None else "torch.save")
def test_a_pickle_with_live_code_is_refused_and_not_run(tmp_path: Path, protocol: int | None) -> None:
    touched, path = tmp_path / "touched", tmp_path / "evil.ckpt"
    evil = checkpoint(callbacks=Touch(touched))
    if protocol is None:
        torch.save(evil, path)
    else:
        path.write_bytes(pickle.dumps(evil, protocol))
    live = protocol in (None, 2)
    reason = r"holds more than plain data \(.*\) and could run code when loaded: refused" if live else "damaged"
    for load in (Checkpoint.open, lambda p: PlainCheckpointIO().load_checkpoint(p, weights_only=False)):
        with pytest.raises(UserError, match=rf"evil.ckpt (is )?{reason}"):
            load(path)
    assert not touched.exists()
    if protocol is None:
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert touched.exists(), "the code is live: whoever trusts the file runs it"


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_file_cut_off_is_damaged(saved: Path, kept: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(UserError, match=r"is damaged.*use another one"):
        Checkpoint.open(saved)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_are_an_error_of_ours_or_none(tmp_path_factory: pytest.TempPathFactory, damage: Any) -> None:
    path = tmp_path_factory.mktemp("damaged") / "last.ckpt"
    torch.save(checkpoint(state_dict={}), path)
    content = bytearray(path.read_bytes())
    for place, byte in damage:
        content[int(place * len(content))] = byte
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        Checkpoint.open(path)


@pytest.mark.parametrize("content", ["not a checkpoint\n", "{'a': 1}", "\x80\x04."])
def test_a_file_of_another_kind_is_no_checkpoint(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.ckpt"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match="is damaged or no checkpoint"):
        Checkpoint.open(path)


@pytest.mark.parametrize("value", [{"state_dict": {}}, [1, 2], torch.ones(3), {"lightning_nn": 3}])
def test_a_checkpoint_of_another_project_is_foreign(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match="was not written by lightning_nn"):
        Checkpoint.open(tmp_path / "foreign.ckpt")


def test_plain_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(UserError, match=r"written by lightning_nn: .*holds 2 tensors.*load_state_dict[^\n]*$"):
        Checkpoint.open(tmp_path / "linear.pt")


@pytest.mark.parametrize("weights", [3, [torch.zeros(2)]], ids=["number", "list"])
def test_weights_without_names_are_damaged(tmp_path: Path, weights: Any) -> None:
    torch.save({**checkpoint(), "state_dict": weights}, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match="is damaged: "):
        Checkpoint.open(tmp_path / "odd.ckpt")


def test_a_checkpoint_that_lacks_a_key_says_which(tmp_path: Path) -> None:
    torch.save(checkpoint(lightning_nn={"format": FORMAT, "model": "han"}), tmp_path / "part.ckpt")
    with pytest.raises(UserError, match="is damaged: it lacks processor, settings; use another checkpoint"):
        Checkpoint.open(tmp_path / "part.ckpt")


def test_a_newer_format_is_named_with_the_remedy(tmp_path: Path) -> None:
    torch.save(checkpoint(lightning_nn={"format": FORMAT + 1}), tmp_path / "new.ckpt")
    with pytest.raises(UserError, match=rf"format {FORMAT + 1}, newer than this lightning_nn reads.*pip install -U"):
        Checkpoint.open(tmp_path / "new.ckpt")


def test_a_missing_file_says_what_is_there(saved: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint at .*best.ckpt; there are: last.ckpt"):
        Checkpoint.open(saved.with_name("best.ckpt"))
    with pytest.raises(UserError, match=r"is a folder; name a file, such as .*last.ckpt"):
        Checkpoint.open(saved.parent)
    with pytest.raises(UserError, match=r"no checkpoint at .*nowhere/last.ckpt$"):
        Checkpoint.open(saved.parent / "nowhere" / "last.ckpt")


# ---------------------------------------------------------------------- whole or not at all


def full_after(size: int, save: Any, error: Exception) -> Any:
    """`torch.save` on a disk that has room for so many bytes."""

    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.left = file, size

        def write(self, data: Any) -> int:
            self.left -= len(data)
            if self.left < 0:
                raise error
            return int(self.file.write(data))

        def flush(self) -> None:
            self.file.flush()

    return lambda value, file: save(value, Full(file))


@pytest.mark.parametrize("size", [0, 1000])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "PytorchStreamWriter failed"),
    ],
)
def test_a_full_disk_keeps_the_old_checkpoint(
    saved: Path, monkeypatch: pytest.MonkeyPatch, size: int, error: Exception, reason: str
) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr(torch, "save", full_after(size, torch.save, error))
    with pytest.raises(UserError, match=rf"can't write .*last.ckpt: .*{reason}.*the existing file is kept; free space"):
        PlainCheckpointIO().save_checkpoint(checkpoint(), saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["last.ckpt"]


def test_an_interrupted_write_leaves_nothing_behind(saved: Path) -> None:
    def interrupted(file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    before = saved.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_atomically(saved, interrupted)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"can't write .*last.ckpt: "):
        PlainCheckpointIO().save_checkpoint(checkpoint(), tmp_path / "file" / "last.ckpt")
