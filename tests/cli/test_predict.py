"""Predictions from a checkpoint alone: of a text, a file, standard input; as a table, a page, terminal lines."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import shlex
import shutil
import threading
import tracemalloc
from pathlib import Path

import pytest

from tests.commands import Result, command, write_reviews

HAN = shlex.split(
    "--model han --data text --data.path reviews.csv --data.batch_size 16 --data.vocabulary.segmenter chars --name r "
    "--model.embedding_size 16 --model.hidden_size 8 --model.attention_size 8 --optimizer.lr 0.02 "
    "--trainer.max_epochs 3 --trainer.enable_progress_bar false"
)
GOOD, BAD = "质量很好，非常满意。", "质量太差，非常失望。"


@pytest.fixture(scope="module")
def han(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run, delete its corpus, and return the folder."""
    cwd = tmp_path_factory.mktemp("han")
    write_reviews(cwd / "reviews.csv", rows=200)
    command(*HAN, cwd=cwd).ok()
    (cwd / "reviews.csv").unlink()
    return cwd


def ask(han: Path, *argv: str, stdin: bytes = b"") -> Result:
    return command("predict", "--ckpt_path", "best", *argv, cwd=han, stdin=stdin)


def table(text: str, *more: str) -> list[list[str]]:
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["input", "category", "probability", *more], header
    return rows


def test_one_text(han: Path) -> None:
    ((text, category, probability),) = table(ask(han, "--data.text", GOOD).ok().out)
    assert (text, category) == (GOOD, "好评")
    assert 0.5 <= float(probability) <= 1


def test_several_texts_a_file_and_standard_input_give_the_same(han: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.txt"
    file.write_text(f"{GOOD}\n{BAD}\n", encoding="utf-8")
    alone = table(ask(han, "--data.text", GOOD, "--data.text", BAD).ok().out)
    assert [row[1] for row in alone] == ["好评", "差评"]
    texts = ask(han, "--data.file", str(file)).ok().out
    assert table(texts, "error") == [[*row, ""] for row in alone]
    assert ask(han, "--data.file", "-", stdin=file.read_bytes()).ok().out == texts
    assert ask(han, "--data.file", "-", stdin=b"\xef\xbb\xbf" + file.read_bytes()).ok().out == texts
    assert ask(han, "--model", "han", "--data.file", str(file), "--out", str(tmp_path / "out.csv")).ok().out == ""
    assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig") == texts
    file.write_bytes(f"{GOOD}\n{BAD}\n".encode("gb18030"))
    assert ask(han, "--data.file", str(file), "--data.encoding", "gb18030").ok().out == texts
    ask(han, "--data.file", str(file)).refused("new.txt:1", "--data.encoding")


def test_the_checkpoint_moves_alone(han: Path, tmp_path: Path) -> None:
    shutil.copy(han / "logs/han/r/checkpoints/best.ckpt", tmp_path / "mine.ckpt")
    alone = command("predict", "--ckpt_path", "mine.ckpt", "--data.text", GOOD, cwd=tmp_path).ok().out
    assert alone == ask(han, "--data.text", GOOD).out


def test_slips(han: Path, tmp_path: Path) -> None:
    ask(han).refused("--data.text", "--data.file")
    ask(han, "--data.file", "nothere.txt").refused("nothere.txt")
    ask(han, "--data.file", str(tmp_path)).refused(str(tmp_path))
    ask(han, "--data.textt", "a").refused("--data.textt", "--data.text")
    ask(han, "--model", "softmax", "--data.text", "a").refused("softmax")
    ask(han, "--data.text", GOOD, "--trainer.accelerator", "abacus").refused("abacus")


@pytest.mark.parametrize("text", ["", "   ", "\t", "。。。", "😀😀", "ｆｕｌｌ", "\x00\x07", "a" * 5000, "好\r"])
def test_any_text_gets_an_answer_or_an_error(text: str, han: Path) -> None:
    result = ask(han, "--data.text", text)
    if result.code:
        result.refused()
    else:
        assert len(table(result.out)) == 1, result.out


def test_empty_lines_keep_their_places(han: Path) -> None:
    result = ask(han, "--data.file", "-", stdin=f"{GOOD}\n\n{BAD}\n".encode()).ok()
    rows = table(result.out, "error")
    assert [row[1] for row in rows] == ["好评", "", "差评"] and rows[1][2:] == ["", "standard input:2: no text"]
    assert "1 of 3 inputs can't be read: standard input:2: no text" in result.err


def test_a_spreadsheet_takes_no_input_for_a_formula(han: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", 'a,"b"', '=HYPERLINK("http://x")']
    done = ask(han, "--data.file", "-", stdin="\n".join(texts).encode()).ok()
    rows = table(done.out, "error")
    assert [row[0] for row in rows] == ["'=1+1", "+1", "-1", "'@SUM(A1)", 'a,"b"', '\'=HYPERLINK("http://x")']
    assert "3 texts begin like a formula" in done.err
    done = ask(han, "--data.file", "-", "--guard_formulas", "false", stdin="\n".join(texts).encode()).ok()
    assert [row[0] for row in table(done.out, "error")] == texts and "formula" not in done.err
    ask(han, "--data.text", GOOD, "--guard_formulas", "no").refused("--guard_formulas", "true or false")


def test_a_terminal_takes_no_input_for_a_command(han: Path) -> None:
    argv = ("predict", "--ckpt_path", "best", "--data.text", "很好\x1b[2J\x1b]0;owned\x07\r\n[red]好[/red]")
    out = command(*argv, cwd=han, terminal=True).ok().out
    assert "[red]" in out, "markup in a text was read"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out), f"control characters reach the terminal: {out!r}"


def test_explain_shows_words_by_weight_and_writes_a_page(han: Path) -> None:
    nasty = f"{GOOD}<script>alert(1)</script>\x1b[2J[red]次[/red]"
    done = ask(han, "--data.text", nasty, "--explain").ok()
    page = han / "attention.html"
    assert "attention.html" in done.out, done.out
    assert "评" in done.out
    assert "\x1b[2J" not in done.out
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text, "text of a document runs in the page"
    assert "好" in html.unescape(text)
    assert not re.search(r"(src|href)=[\"']https?:", text), "the page is not self-contained"


def test_an_explanation_warns_and_names_what_it_leaves_out_as_a_prediction_does(han: Path, tmp_path: Path) -> None:
    done = ask(han, "--data.text", "hello unknown world", "--explain").ok()
    assert "content words are unknown to this model" in done.err, done.err
    assert "not in the vocabulary: h, e, l, o, u" in done.out
    marked = re.findall(r'class="(?:w )?unknown"[^>]*>([^<]*)', (han / "attention.html").read_text(encoding="utf-8"))
    assert marked == ["dotted line", *"hellounknownworld"], "a legend, then each unknown word"
    (tmp_path / "half.txt").write_bytes(GOOD.encode() + b"\n\xff\n")
    said = ask(han, "--data.file", str(tmp_path / "half.txt"), "--explain").ok().err
    assert "1 of 2 inputs can't be read: " in said and "half.txt:2" in said, said


def test_lines_stream_in_constant_memory(han: Path, tmp_path: Path) -> None:
    few, many = (peak_memory(han, tmp_path, lines) for lines in (1_100, 4_200))
    assert many - few < 300_000, f"1,100 lines took {few:,} bytes, 4,200 lines {many:,}"


@pytest.mark.slow  # a million lines take minutes
def test_a_million_lines_stream_in_constant_memory(han: Path, tmp_path: Path) -> None:
    few, many = (peak_memory(han, tmp_path, lines) for lines in (10_000, 1_000_000))
    assert many - few < 300_000, f"10,000 lines took {few:,} bytes, 1,000,000 lines {many:,}"


def peak_memory(han: Path, tmp_path: Path, lines: int) -> int:
    """Return the peak of Python's memory in bytes while a file of so many lines is predicted."""
    with (tmp_path / "new.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{line:07}{GOOD}\n" for line in range(lines))
    tracemalloc.start()
    ask(han, "--data.file", str(tmp_path / "new.txt"), "--out", str(tmp_path / "out.csv")).ok()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        assert sum(1 for _ in file) == lines + 1
    return peak


def test_the_file_that_is_read_is_not_written(han: Path) -> None:
    file = han / "mine.txt"
    file.write_text(f"{GOOD}\n", encoding="utf-8")
    ask(han, "--data.file", "mine.txt", "--out", "mine.txt").refused("mine.txt", "another")
    assert file.read_text(encoding="utf-8") == f"{GOOD}\n"


def test_out_is_whole_or_not_there(han: Path) -> None:
    (han / "half.txt").write_bytes(b"\n\xff\n")
    ask(han, "--data.file", "half.txt", "--out", "half.csv").refused("none of 2 inputs", "half.txt")
    assert not [path.name for path in han.glob("*half.csv*")]
    (han / "half.txt").write_bytes(GOOD.encode() + b"\n\xff\n" + BAD.encode())
    said = ask(han, "--data.file", "half.txt", "--out", "half.csv").ok().err
    assert "2 predictions in half.csv" in said and "half.txt:2: byte 0xff" in said
    rows = table((han / "half.csv").read_text(encoding="utf-8-sig"), "error")
    assert [row[1] for row in rows] == ["好评", "", "差评"] and "half.txt:2: byte 0xff" in rows[1][3]


def test_explain_and_out_go_together(han: Path) -> None:
    ask(han, "--data.text", GOOD, "--explain", "--out", "both.csv").ok()
    assert len((han / "both.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_the_form_follows_the_name_or_the_option(han: Path) -> None:
    ask(han, "--data.text", GOOD, "--out", "out.jsonl").ok()
    line = (han / "out.jsonl").read_text(encoding="utf-8")
    assert {**json.loads(line), "probability": 0} == {"input": GOOD, "category": "好评", "probability": 0}
    assert ask(han, "--data.text", GOOD, "--format", "jsonl").ok().out == line
    ask(han, "--data.text", GOOD, "--out", "page.html").ok()
    assert f'<p dir="auto">{GOOD}</p>' in (han / "page.html").read_text(encoding="utf-8")
    ask(han, "--data.text", GOOD, "--format", "xml").refused("xml", "jsonl")


def test_explanations_go_to_the_page_that_is_asked_for(han: Path) -> None:
    done = ask(han, "--data.text", GOOD, "--explain", "--out", "why.html").ok()
    assert "written to why.html" in done.out
    assert "Strongest words" in (han / "why.html").read_text(encoding="utf-8")


def test_gradients_stand_beside_attention(han: Path) -> None:
    done = ask(han, "--data.text", GOOD, "--explain", "gradients", "--out", "gradients.csv").ok()
    assert "attention: " in done.out and "written to gradients.html" in done.out
    page = html.unescape((han / "gradients.html").read_text(encoding="utf-8"))
    assert "Attention:" in page and all(f">{character}</span>" in page for character in GOOD)
    assert len((han / "gradients.csv").read_text(encoding="utf-8").splitlines()) == 2
    ask(han, "--data.text", GOOD, "--explain", "magic").refused("magic", "gradients")


def test_a_link_stays_and_its_target_is_written(han: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    ask(han, "--data.text", GOOD, "--out", str(tmp_path / "link.csv")).ok()
    assert (tmp_path / "link.csv").is_symlink()
    assert len((tmp_path / "target.csv").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_gets_the_predictions_as_they_come(han: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe.csv").read_text(encoding="utf-8")))
    reader.start()
    ask(han, "--data.text", GOOD, "--out", str(tmp_path / "pipe.csv")).ok()
    reader.join(timeout=30)
    assert len(table(received[0])) == 1 and (tmp_path / "pipe.csv").is_fifo()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_a_device_stays_one(han: Path) -> None:
    ask(han, "--data.text", GOOD, "--out", "/dev/null").ok()
    assert Path("/dev/null").is_char_device()


def test_standard_input_and_a_file_that_is_there(han: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("old", encoding="utf-8")
    ask(han, "--data.file", "-", "--out", str(tmp_path / "old.csv"), stdin=GOOD.encode()).ok()
    assert (tmp_path / "old.csv").read_text(encoding="utf-8-sig").startswith("input,")


def test_a_page_of_attention_replaces_no_input_and_tells_what_it_replaces(han: Path, tmp_path: Path) -> None:
    (tmp_path / "attention.html").write_text(f"{GOOD}\n", encoding="utf-8")
    ckpt = str(han / "logs/han/r/checkpoints/best.ckpt")
    explain = ("predict", "--ckpt_path", ckpt, "--explain")
    command(*explain, "--data.file", "attention.html", cwd=tmp_path).refused("--explain writes attention.html", "input")
    command(*explain, "--data.text", GOOD, "--out", "attention.html", "--format", "csv", cwd=tmp_path).refused("--out")
    assert (tmp_path / "attention.html").read_text(encoding="utf-8") == f"{GOOD}\n"
    done = command(*explain, "--data.text", GOOD, cwd=tmp_path).ok()
    assert "attention.html, which is replaced" in done.out


def test_texts_come_from_one_file(han: Path) -> None:
    ask(han, "--data.file", "a.txt", "b.txt").refused("2 files", "one after the other")


def test_a_recurrent_network_explains_itself_by_its_attention_or_its_gates(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", rows=40)
    lstm = shlex.split(
        "fit --model lstm --data text --data.path reviews.csv --data.vocabulary.segmenter chars --trainer.max_epochs 1 "
        "--model.embedding_size 4 --model.hidden_size 4 --trainer.enable_progress_bar false"
    )
    command(*lstm, "--model.pooling", "attention", "--name", "a", cwd=tmp_path).ok()
    done = command("predict", "--data.text", GOOD, "--explain", cwd=tmp_path).ok()
    assert "strongest words" in done.out and (tmp_path / "attention.html").is_file()
    assert (tmp_path / "logs/lstm/a/attention.html").is_file(), "of validation"
    command(*lstm, "--model.direction", "forward", "--name", "b", cwd=tmp_path).ok()
    done = command("predict", "--data.text", GOOD, "--explain", cwd=tmp_path).ok()
    assert "forward, forget gate: keeps" in done.out and "written to gates.html" in done.out
    page = (tmp_path / "gates.html").read_text(encoding="utf-8")
    assert page.count("<b>forward</b>") == 1 and all(f">{character}</span>" in page for character in GOOD)
    assert (tmp_path / "logs/lstm/b/gates.html").is_file(), "of validation"
    command(*lstm, "--model.cell", "rnn", "--name", "c", cwd=tmp_path).ok()
    command("predict", "--data.text", GOOD, "--explain", cwd=tmp_path).refused("attention or gates", "lstm")
    done = command("predict", "--data.text", GOOD, "--explain", "gradients", cwd=tmp_path).ok()
    assert "for: " in done.out and "against: " in done.out and "written to gradients.html" in done.out
    assert "Attention:" not in (tmp_path / "gradients.html").read_text(encoding="utf-8")
