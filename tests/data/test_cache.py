import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

import pytest

from lightning_nn.data import cache
from lightning_nn.data.cache import entry, fingerprint, is_cached, thorough_checks
from lightning_nn.errors import UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(folder))
    return folder


def write(text):
    def build(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text, encoding="utf-8")

    return build


def read(folder):
    return (folder / "inner" / "a.txt").read_text(encoding="utf-8")


def never(folder):
    pytest.fail("built again")


def visible(root):
    return sorted(p.name for p in root.iterdir() if p.suffix != ".lock")


def start(code):
    """A process of its own: what is tested here are locks and kills."""
    program = f"from pathlib import Path\nimport time\nfrom lightning_nn.data.cache import entry\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


def test_is_built_once_and_then_opened(root):
    assert read(entry("key", write("one"))) == "one"
    assert read(entry("key", never)) == "one"
    assert visible(root) == ["key"]


def test_a_build_that_fails_leaves_nothing_and_can_be_repeated(root):
    def fail(folder):
        write("half")(folder)
        raise UserError("line 3 is bad")

    with pytest.raises(UserError, match="line 3 is bad"):
        entry("key", fail)
    assert visible(root) == []
    assert read(entry("key", write("whole"))) == "whole"


@pytest.mark.parametrize("small", [1 << 24, 0], ids=["small", "large"])
@pytest.mark.parametrize("file", ["inner/a.txt", "checksums.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"o"),
        lambda file: file.unlink(),
        lambda file: file.write_bytes(bytes(byte ^ 128 for byte in file.read_bytes())),
        lambda file: file.write_bytes(b"[]"),
    ],
    ids=["shorter", "missing", "flipped", "other"],
)
def test_a_damaged_entry_is_named_and_built_again(root, monkeypatch, capsys, file, damage, small):
    monkeypatch.setattr(cache, "_SMALL", small)
    entry("key", write("one"))
    damage(entry("key", never) / file)
    assert not is_cached("key")
    assert read(entry("key", write("two"))) == "two"
    built, line = capsys.readouterr().err.splitlines()
    assert built == f"building the cache {root / 'key'}"
    assert str(root / "key") in line and Path(file).name in line
    assert read(entry("key", never)) == "two"


def test_a_large_file_that_changed_behind_the_file_system_is_found_by_thorough_checks(root, monkeypatch):
    monkeypatch.setattr(cache, "_SMALL", 0)
    file = entry("key", write("one")) / "inner" / "a.txt"
    file.write_text("eno", encoding="utf-8")
    stat = file.stat()  # as if the medium had lost bits
    times = [(stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)]
    (root / "key" / "verified").write_text(str(times), encoding="ascii")
    assert read(entry("key", never)) == "eno"
    with thorough_checks(False):
        entry("key", never)
    with thorough_checks(True):
        assert read(entry("key", write("two"))) == "two"


def test_of_two_processes_one_builds_and_the_other_waits(root):
    code = """
def build(folder):
    print("at work", flush=True)
    input()
    (folder / "inner").mkdir()
    (folder / "inner" / "a.txt").write_text("of the other", encoding="utf-8")
print(entry("key", build).name)
"""
    process = start(code)
    assert process.stdout.readline() == "at work\n"
    entry("another", write("one"))
    assert visible(root) == ["another", "key.partial"], "what another process is at must be left alone"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(entry, "key", never)
        with pytest.raises(NotYet):
            waiting.result(timeout=0.2)
        assert process.communicate("\n", timeout=60)[0] == "key\n"
        assert read(waiting.result(timeout=60)) == "of the other"
    assert visible(root) == ["another", "key"]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_build_killed_half_way_is_cleaned_up_by_the_next_of_any_key(root):
    code = """
def build(folder):
    (folder / "a").write_text("half", encoding="utf-8")
    print("half", flush=True)
    time.sleep(60)
entry("key", build)
"""
    process = start(code)
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert visible(root) == ["key.partial"]
    entry("another", write("one"))
    assert visible(root) == ["another"]
    assert read(entry("key", write("whole"))) == "whole"


def test_a_build_starts_empty_whatever_was_left_of_its_key(root):
    (root / "key.partial" / "inner").mkdir(parents=True)
    (root / "key.partial" / "old.txt").touch()
    assert sorted(p.name for p in entry("key", write("whole")).iterdir()) == ["checksums.json", "inner"]


def test_a_full_disk_names_the_cache_and_the_remedy(root):
    def fill(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"disk is full.*LIGHTNING_NN_CACHE"):
        entry("key", fill)
    assert visible(root) == []


def test_a_cache_that_cannot_be_written_names_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="LIGHTNING_NN_CACHE"):
        entry("key", never)


def test_an_error_of_the_files_that_a_build_reads_is_not_blamed_on_the_cache(root, tmp_path):
    with pytest.raises(FileNotFoundError):
        entry("key", lambda folder: (tmp_path / "gone").read_bytes())


def test_the_fingerprint_is_of_content_names_and_settings_not_of_place_or_order(tmp_path):
    def folder(name, files):
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return [tmp_path / name / file for file in files]

    files = {"a/x": "1", "b/y": "2"}
    key = fingerprint(folder("one", files), {"size": 3})
    assert fingerprint(reversed(folder("moved", files)), {"size": 3}) == key
    different = {
        "settings": fingerprint(folder("one", files), {"size": 4}),
        "content": fingerprint(folder("content", {"a/x": "1", "b/y": "3"}), {"size": 3}),
        "name": fingerprint(folder("name", {"a/x": "1", "b/z": "2"}), {"size": 3}),
        "border between files": fingerprint(folder("border", {"a/x": "12", "b/y": ""}), {"size": 3}),
        "nothing": fingerprint([], {"size": 3}),
    }
    assert len({key, *different.values()}) == 6, different
