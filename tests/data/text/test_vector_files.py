"""`--data.vectors`: word vectors from files that others made."""

from __future__ import annotations

import gzip
import json
import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lightning_nn import LSTMClassifier
from lightning_nn.data.text.data_module import TextData
from lightning_nn.data.text.vector_files import FileVectors
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError
from tests.commands import command

WORDS = ["<unk>", "cat", "dog", "house", "sleeps", "。"]
VECTORS = {"<unk>": [9, 9, 9], "sleeps": [0.5, -1, 2], "cat": [1, 2, 3], "cats": [7, 7, 7], "House": [4, 5, 6]}
LINES = [f"{word} {' '.join(map(str, vector))}" for word, vector in VECTORS.items()]
TOKENS, TABLE = np.array(list(VECTORS)), np.array(list(VECTORS.values()), np.float16)


def glove(path: Path, *lines: str, name: str = "v.txt") -> Path:
    (path / name).write_text("\n".join(lines or LINES) + "\n", encoding="utf-8")
    return path / name


def word2vec(path: Path) -> Path:
    return glove(path, "5 3", *(f"{line} " for line in LINES), "")


def packed(path: Path) -> Path:
    (path / "v.vec.gz").write_bytes(gzip.compress(glove(path).read_bytes()))
    return path / "v.vec.gz"


def with_tabs(path: Path) -> Path:
    return glove(path, *(line.replace(" ", "\t", 1) for line in LINES), ". . . 1 2 3", "at windows 10 4 4 4")


def npz(path: Path) -> Path:
    np.savez(path / "v.npz", tokens=TOKENS, vectors=TABLE)
    return path / "v.npz"


def model2vec(path: Path, tensors: dict[str, np.ndarray], vocabulary: object) -> Path:
    folder = path / "model"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "model2vec"}', encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}), encoding="utf-8")
    return folder


def word_piece(path: Path) -> Path:
    vocabulary = {"[PAD]": 1, "##cat": 0, **{token: 2 + i for i, token in enumerate(VECTORS)}}
    return model2vec(path, {"embeddings": np.concatenate([TABLE[:2], TABLE])}, vocabulary)


def unigram(path: Path) -> Path:
    """Tokens that share a row, each with a weight."""
    tokens = [["<s>", 0], *([f"▁{token}", -1.5] for token in VECTORS)]
    tensors = {
        "embeddings": np.concatenate([TABLE[::-1], TABLE[:1]]).astype(np.float32) / 2,
        "mapping": np.array([5, 4, 3, 2, 1, 0]),
        "weights": np.full(6, 2.0),
    }
    return model2vec(path, tensors, tokens)


@pytest.mark.parametrize("make", [glove, word2vec, packed, with_tabs, npz, word_piece, unigram])
def test_words_get_their_vectors_from_every_form(tmp_path: Path, make: object) -> None:
    file = make(tmp_path)  # type: ignore[operator]
    found = FileVectors(file, WORDS)
    assert found.covered.tolist() == [False, True, False, False, True, False]
    assert found.vectors(3).tolist() == [[0] * 3, [1, 2, 3], [0] * 3, [0] * 3, [0.5, -1, 2], [0] * 3]
    lower = FileVectors(file, WORDS, lower=True)
    assert lower.covered.tolist() == [False, True, False, True, True, False]
    assert lower.vectors(3)[3].tolist() == [4, 5, 6]


def test_the_first_of_equal_tokens_counts_and_spelling_is_that_of_the_texts(tmp_path: Path) -> None:
    file = glove(tmp_path, "ｃａｔ 1 2", "cat 3 4", "dog 5 6", "Dog 7 8")
    found = FileVectors(file, WORDS, lower=True)
    assert found.vectors(2)[1:3].tolist() == [[1, 2], [5, 6]]


BAD = {
    "shorter": (["cat 1 2", "dog 3"], r"v\.txt:2: 1 values, but 2"),
    "longer": (["cat 1 2", "dog 3 4", "house 0.3 4 5"], r"v\.txt:3: 3 values, but 2"),
    "narrower than announced": (["2 3", "cat 1 2", "dog 3 4"], r"v\.txt:2: 2 values, but 3"),
    "fewer than announced": (["3 2", "cat 1 2", "dog 3 4"], r"v\.txt:1: 3 words are announced, but 2 follow"),
    "more than announced": (["1 2", "cat 1 2", "dog 3 4"], r"v\.txt:1: 1 words are announced, but 2 follow"),
    "no number": (["cat 1 2", "dog 3 x"], r"v\.txt:2: could not convert string to float: 'x'"),
    "NaN": (["cat 1 2", "dog 3 nan"], "the vector of 'dog' is not finite"),
    "too large": (["cat 1 2", "dog 3 1e39"], "the vector of 'dog' is not finite"),
    "no values": (["cat", "dog"], r"v\.txt:1: a word without values; expected vectors as text"),
    "other words": (["Katze 1 2", "Hund 3 4"], "a vector of none of the 5 words, such as cat, dog, house"),
    "nothing": ([""], "a vector of none of the 5 words"),
}


@pytest.mark.parametrize("fault", BAD)
def test_wrong_lines_are_named(tmp_path: Path, fault: str) -> None:
    lines, message = BAD[fault]
    with pytest.raises(UserError, match=message) as error:
        FileVectors(glove(tmp_path, *lines), WORDS)
    assert len(str(error.value)) < 400 and "\n" not in str(error.value)


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code was run')",)


def test_other_files_are_refused_and_run_no_code(tmp_path: Path) -> None:
    refused = {
        "v.bin": b"2 3\ncat \x00\x01",
        "v.txt": b"2 3\ncat \xff\x80",
        "v.npz": b"PK\x03\x04zip",
        "d.npz": b"text",
    }
    refused |= {"p.npz": pickle.dumps(Code()), "p.txt": pickle.dumps(Code(), 4)}
    for name, content in refused.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "objects.npz", tokens=np.array([Code()], object), vectors=np.ones((1, 2)))
    np.savez(tmp_path / "one.npz", vectors=np.ones((3, 2)))
    np.savez(tmp_path / "fewer.npz", tokens=TOKENS, vectors=TABLE[1:])
    (tmp_path / "empty").mkdir()
    for name in (*refused, "objects.npz", "one.npz", "fewer.npz", "empty", "missing.txt", "x" * 300):
        with pytest.raises(UserError) as error:
            FileVectors(tmp_path / name, WORDS)
        assert (name if len(name) < 99 else "File name too long") in str(error.value) and "\n" not in str(
            error.value
        ), error.value
    with pytest.raises(UserError, match=r"numpy\.savez"):
        FileVectors(tmp_path / "one.npz", WORDS)


@pytest.mark.parametrize(
    ("tensors", "vocabulary", "message"),
    [
        ({"weight": TABLE}, {"cat": 0}, "no table called embeddings"),
        ({"embeddings": TABLE}, {"cat": 5}, "does not fit"),
        ({"embeddings": TABLE}, {"cat": "first"}, "does not fit"),
        ({"embeddings": TABLE}, 3, "does not fit"),
        ({"embeddings": TABLE * np.float16(np.nan)}, {"cat": 0}, "not finite"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], vocabulary: object, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        FileVectors(model2vec(tmp_path, tensors, vocabulary), WORDS)


def reviews(folder: Path) -> Path:
    """Two classes, told apart by the words good, which has a vector, and bad, which has none."""
    rows = [f"the cat is {'good' if i % 2 else 'bad'} {i % 7}\t{'yn'[i % 2]}\n" for i in range(80)]
    (folder / "rows.tsv").write_text("".join(rows), encoding="utf-8")
    return folder / "rows.tsv"


def test_a_model_begins_with_them_and_coverage_is_told(tmp_path: Path) -> None:
    file = glove(tmp_path, "Good 1 2 3 4", "cat 5 6 7 8", "other 1 1 1 1")
    vocabulary = TextVocabulary("words", min_count=1)
    data = TextData(str(reviews(tmp_path)), vocabulary=vocabulary, vectors=str(file))
    data.prepare_once()
    words = data.processor.vocabulary.words
    (note,) = (note for note in data.notes if "vectors of" in note)
    assert f"vectors of 2 of {len(words) - 1} words (30.0% of train's text) begin with those of v.txt" in note
    model, other = (LSTMClassifier.for_data(data, embedding_size=4, hidden_size=2) for _ in range(2))
    first, second = (each.embedding.table.weight.detach() for each in (model, other))
    good, cat, bad = (words.index(word) for word in ("good", "cat", "bad"))
    assert torch.cosine_similarity(first[good], torch.tensor([1.0, 2, 3, 4]), 0) == pytest.approx(1)
    assert float(first[[good, cat]].square().mean().sqrt()) == pytest.approx(0.1)
    assert torch.equal(first[cat], second[cat]) and not torch.equal(first[bad], second[bad])
    assert not torch.equal(first[0], second[0]), "the unknown word is random"
    with pytest.raises(UserError, match=r"have 4 values, those of the model 6: --model\.embedding_size 4"):
        LSTMClassifier.for_data(data, embedding_size=6)
    with pytest.raises(UserError, match=r"--data\.vectors needs a row for each word"):
        LSTMClassifier.for_data(data, embedding_size=4, embedding={"kind": "factorised", "times": 1.5})
    with pytest.raises(UserError, match="give one of them"):
        TextData(vectors="v.txt", pretrain=5)


def test_resume_predict_and_export_need_no_file(tmp_path: Path) -> None:
    file = glove(tmp_path, "good 1 2 3 4", "cat 5 6 7 8")
    data = f"--model lstm --data text --data.path {reviews(tmp_path).name} --data.vocabulary.min_count 1"
    small = "--model.embedding_size 4 --model.hidden_size 2 --optimizer.lr 1e-9 --optimizer.weight_decay 0"
    quick = "--name r --trainer.enable_progress_bar false --trainer.logger false --trainer.max_epochs 1"
    given = shlex.split(f"{data} {small} {quick} --data.vectors v.txt")
    said = command("fit", *given, cwd=tmp_path).ok()
    assert "begin with those of v.txt" in said.out + said.err
    checkpoint = "logs/lstm/r/checkpoints/last.ckpt"
    model = LSTMClassifier.load_from_checkpoint(tmp_path / checkpoint)
    words = model.require_processor().state_dict()["words"]
    vector = model.embedding.table.weight.detach()[words.index("good")]
    assert torch.cosine_similarity(vector, torch.tensor([1.0, 2, 3, 4]), 0) == pytest.approx(1), "lr is next to 0"
    file.unlink()
    command("fit", *given, cwd=tmp_path).refused("v.txt does not exist")
    more = ("--trainer.max_epochs", "2")
    command("fit", "--model", "lstm", "--ckpt_path", checkpoint, *more, cwd=tmp_path).ok()
    measured = command("test", "--ckpt_path", checkpoint, cwd=tmp_path).ok()
    assert "v.txt" not in measured.err
    command("predict", "--ckpt_path", checkpoint, "--data.text", "the cat is good", cwd=tmp_path).ok()
    command("test", "--ckpt_path", checkpoint, "--data.vectors", "w.txt", cwd=tmp_path).refused("decides it")
    command("export", "--ckpt_path", checkpoint, "--out", "out", cwd=tmp_path).ok()
    assert "v.txt" not in (tmp_path / "out/config.json").read_text(encoding="utf-8")
