"""Writing a file where there may be nothing, a file, a link, a pipe, a device, a folder, an open stream."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text, writing
from lightning_nn.runs.run_folder import save_results
from tests.commands import environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link, chain = tmp_path / "far/结果 1.json", tmp_path / "link.json", tmp_path / "chain.json"
    target.write_text("{}", encoding="utf-8")
    link.symlink_to("far/结果 1.json")
    chain.symlink_to(link)
    for number, path in enumerate((link, chain)):
        save_results(path, {"n": number})
        assert path.is_symlink()
        assert json.loads(target.read_text(encoding="utf-8")) == {"n": number}
    with writing(chain) as stream:
        stream.write("猫\n")
    assert target.read_bytes() == "猫\n".encode()
    assert names(tmp_path) == ["chain.json", "far", "link.json"]
    assert names(tmp_path / "far") == ["结果 1.json"]


def test_a_link_to_nothing_is_filled(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new/file")
    write_text(tmp_path / "link", "a")
    assert (tmp_path / "new/file").read_text(encoding="utf-8") == "a"


def test_bytes_are_on_the_disk_before_they_have_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a crash of the machine may leave an empty file in place of the old one."""
    path, synced = tmp_path / "a.json", []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.read_text(encoding="utf-8")))

    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "new and longer")
    assert synced == [(len("new and longer"), "old")]
    assert path.read_text(encoding="utf-8") == "new and longer"


def test_a_pipe_gets_the_bytes_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with writing(pipe) as stream:
        stream.write("a,猫\n")
    reader.join(10)
    assert read == ["a,猫\n".encode()]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def device(path: Path, minor: int) -> Path:
    """A device of the test's own: a writer gone wrong, run by root, would replace the machine's."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        path.open("wb").close()
    except PermissionError:
        pytest.skip("needs the right to make a device")
    return path


def test_a_device_is_written_and_stays(tmp_path: Path) -> None:
    null = device(tmp_path / "null", 3)
    write_text(null, "a")
    assert stat.S_ISCHR(null.stat().st_mode)


def test_a_terminal_is_written() -> None:
    """A pseudo terminal, in whose folder nobody can make a file."""
    master, slave = os.openpty()
    write_text(Path(os.ttyname(slave)), "a")
    assert os.read(master, 10) == b"a"
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("to_file", [True, False])
def test_standard_output_by_its_path_comes_in_order(place: str, to_file: bool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "import sys; from pathlib import Path; from lightning_nn.runs.atomic_file import writing\n"
        "print('before')\nwith writing(Path(sys.argv[1])) as stream: stream.write('猫\\n')\nprint('after')"
    )
    argv = [sys.executable, "-c", code, place]
    (tmp_path / "out").write_text("old\n", encoding="utf-8")
    with (tmp_path / "out").open("ab") as file:
        done = subprocess.run(
            argv, stdout=file if to_file else subprocess.PIPE, cwd=tmp_path, env=environment(), check=True
        )
    seen = (tmp_path / "out").read_bytes().decode().removeprefix("old\n") if to_file else done.stdout.decode()
    assert seen == "before\n猫\nafter\n"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(UserError, match="it is a folder"):
            write_text(path, "a")
    assert names(tmp_path) == ["link"]


def test_permissions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    path.chmod(0o640)
    write_text(path, "b")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")) == (0o640, "b")


def test_of_two_that_write_at_once_neither_removes_the_others_file(tmp_path: Path) -> None:
    """A temporary file goes only if the process that made it is gone."""
    path = tmp_path / "a"
    alive, dead = tmp_path / f".a.{os.getppid()}.part", tmp_path / f".a.{2**22 + 1}.part"
    alive.touch()
    dead.touch()
    write_text(path, "b")
    assert names(tmp_path) == [alive.name, "a"]


def test_a_long_name_in_chinese(tmp_path: Path) -> None:
    path = tmp_path / ("名" * 84 + ".a")  # 254 bytes
    write_text(path, "b")
    assert names(tmp_path) == [path.name]


def test_an_error_of_the_body_is_its_own_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old", encoding="utf-8")
    reading = OSError(errno.EIO, "the input can't be read")
    for error in (reading, UserError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, writing(path) as stream:
            stream.write("half")
            raise error
        assert caught.value is error
    assert (names(tmp_path), path.read_text(encoding="utf-8")) == (["a"], "old")


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_full_device_is_an_error_about_the_file(size: int, tmp_path: Path) -> None:
    full = device(tmp_path / "full", 7)
    with pytest.raises(UserError, match=r"can't write .*full: No space left.*name another file"):  # noqa: SIM117
        with writing(full) as stream:
            stream.write("a" * size)
