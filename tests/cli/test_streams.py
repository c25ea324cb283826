"""Standard streams that are closed, full, without a reader or in another encoding, and Ctrl-C, in each command."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_nn.cli.streams import LastingFile, _text
from tests.commands import ROOT, command, environment, process, start, write_reviews

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX streams")

TRAIN = [sys.executable, str(ROOT / "train.py")]
SOFTMAX = ["--model", "softmax", "--trainer.max_epochs", "2", "--name", "r"]
RESULTS = Path("logs/softmax/r/results.json")

SLOW = """
import sys, time
from lightning_nn.cli.main import main
from lightning_nn.tasks.classification import Classifier

def waits(*args, **kwargs):
    open("reached", "w").close()
    time.sleep(60)

Classifier.test_step = waits
sys.exit(main())
"""


def closed(*descriptors: int) -> Callable[[], None]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


def test_a_carriage_return_is_written_at_once_also_by_an_unbuffered_interpreter() -> None:
    reader, end = os.pipe()
    os.set_blocking(reader, False)
    with Path(os.devnull).open("wb", buffering=0) as nothing:
        unbuffered = io.TextIOWrapper(nothing, write_through=True)  # as PYTHONUNBUFFERED makes standard error
        stream = _text(LastingFile(end), unbuffered)
        stream.write("test 3/4\r")
        assert os.read(reader, 99) == b"test 3/4\r", "the next table begins where a bar ended"
        unbuffered.detach()
    os.close(reader)
    os.close(end)


def test_a_training_with_closed_streams_and_no_home_is_a_training(tmp_path: Path) -> None:
    env = {name: value for name, value in environment().items() if name not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [*TRAIN, *SOFTMAX], cwd=tmp_path, env=env, preexec_fn=closed(0, 1, 2), timeout=180, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / RESULTS).is_file()


def test_a_training_outlives_the_readers_of_both_its_streams(tmp_path: Path) -> None:
    readers = []
    ends = []
    for _ in range(2):
        reader, end = os.pipe()
        readers.append(reader)
        ends.append(end)
    started = start(*SOFTMAX, cwd=tmp_path, stdout=ends[0], stderr=ends[1])
    for descriptor in (*ends, *readers):
        os.close(descriptor)
    assert started.result().code == 0
    assert (tmp_path / RESULTS).is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], 2),
        (["predict", "--data.file", "a.pgm"], 2),
        pytest.param([*SOFTMAX[:-1], "full"], 0, marks=pytest.mark.slow),
        pytest.param(["test", "--ckpt_path", "best"], 2, marks=pytest.mark.slow),
    ],
    ids=["help", "predict", "fit", "test"],
)
def test_a_full_stream_stops_no_training_but_an_answer_that_is_lost_is_an_error(
    argv: list[str], code: int, tmp_path: Path
) -> None:
    if argv != ["--help"]:
        command(*SOFTMAX, "--trainer.enable_progress_bar", "false", cwd=tmp_path).ok()
    (tmp_path / "a.pgm").write_bytes(b"P5 2 2 255\nabcd")
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        streams = {"stdout": full.fileno(), **({"stderr": full.fileno()} if code == 0 else {})}
        done = process(*argv, cwd=tmp_path, **streams)
    assert done.code == code, done.err
    if code:
        assert done.err.count("error: can't write to standard output: No space left on device") == 1, done.err
        assert "Traceback" not in done.err


def test_help_whose_reader_went_away_ends_quietly(tmp_path: Path) -> None:
    reader, end = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*TRAIN, "--help"], cwd=tmp_path, env=environment(), stdout=end, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_that_does_not_block_gets_everything(tmp_path: Path) -> None:
    """Some programs start processes with such a pipe; a slow reader must not break the writer."""
    reader, end = os.pipe()
    os.set_blocking(end, False)
    code = (
        "import sys; from lightning_nn.cli.streams import lasting_streams\n"
        "with lasting_streams():\n    for n in range(30_000): print(n)"
    )
    started = subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=end)
    os.close(end)
    time.sleep(0.5)
    with os.fdopen(reader) as stream:
        assert [int(line) for line in stream] == list(range(30_000))
    assert started.wait(30) == 0


def test_a_character_that_the_output_cannot_show_is_replaced(tmp_path: Path) -> None:
    write_reviews(tmp_path / "评论.csv", rows=40)
    small = "--model lstm --data text --data.vocabulary.segmenter chars --model.embedding_size 4 --model.hidden_size 4"
    trained = [*small.split(), "--data.path", "评论.csv", "--trainer.max_epochs", "1"]
    asked = ["predict", "--ckpt_path", "best", "--data.text", "很好"]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    done = subprocess.run([*TRAIN, *trained], cwd=tmp_path, env=environment(plain), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    assert rb"\u" in done.stdout
    assert r"\u" in process(*asked, cwd=tmp_path, env={"PYTHONIOENCODING": "cp1252"}).ok().out


@pytest.mark.parametrize("where", ["test", "corpus"])
def test_ctrl_c_ends_with_its_code_and_no_traceback(where: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    argv, reached = ["test", "--ckpt_path", "best"], "reached"
    if where == "test":
        command(*SOFTMAX, "--trainer.enable_progress_bar", "false", cwd=tmp_path).ok()
    else:
        write_reviews(tmp_path / "a.csv", rows=400_000)  # takes half a minute in several processes
        argv, reached = ["--model", "lstm", "--data", "text", "--data.path", "a.csv"], "cache/*.partial/words"
    started = start(
        *argv, script=tmp_path / "slow.py", cwd=tmp_path, env={"LIGHTNING_NN_CACHE": str(tmp_path / "cache")}
    )
    while not list(tmp_path.glob(reached)):
        assert started.process.poll() is None, started.result()
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(started.process.pid, signal.SIGINT)  # like a terminal: also to its child processes
    code, _, said = started.result(60)
    assert code == 130, said
    assert "Traceback" not in said
    assert said.rstrip().endswith("stopped"), said
    assert not list(tmp_path.glob("cache/*.partial")), "half a corpus was left"
