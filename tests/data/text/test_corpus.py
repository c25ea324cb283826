from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.data.text import corpus as corpus_module
from lightning_nn.data.text.corpus import Corpus, TextSource
from lightning_nn.data.text.corpus_building import NO_WORDS, LabeledText, build
from lightning_nn.data.text.segmenter import Segmenter
from lightning_nn.errors import UserError

CHARS = Segmenter("chars")


def records(texts: list[tuple[str, str]], split: str = "train") -> Iterator[LabeledText]:
    for i, (text, label) in enumerate(texts, 1):
        yield LabeledText(text, label, f"{split}.tsv:{i}")


def built(folder: Path, splits: dict[str, list[tuple[str, str]]], order: tuple[str, ...] = ()) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    build(
        folder,
        {split: records(texts, split) for split, texts in splits.items()},
        segmenter=CHARS,
        order=order,
        processes=1,
    )
    return Corpus(folder)


def source(corpus: Corpus, split: str, size: int, max_sentences: int = 99, max_words: int = 99) -> TextSource:
    indices = corpus.indices(split)
    ids = np.arange(corpus.vocabulary_size)
    ids[size:] = 0
    kept = corpus.sizes(max_sentences, max_words).kept[indices]
    return TextSource(corpus, indices, corpus.labels[indices], kept, ids, max_sentences, max_words)


texts = st.lists(
    st.tuples(st.text("甲乙丙丁。", min_size=1, max_size=12), st.sampled_from("xy")), min_size=1, max_size=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.integers(1, 3), st.integers(1, 3), st.data())
def test_batches_equal_a_loop_over_documents(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[tuple[str, str]],
    max_sentences: int,
    max_words: int,
    data: st.DataObject,
) -> None:
    train = [*documents, ("甲乙", "x"), ("丙", "y")]
    tmp = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_module, "BLOCK", 3)
        corpus = built(tmp, {"train": train, "val": train[-1:], "test": train[-2:]})
        vocabulary = corpus.vocabulary(1, None)
        size = data.draw(st.integers(1, len(vocabulary)))
        got_from = source(corpus, "train", size, max_sentences, max_words)
    index = np.array(data.draw(st.lists(st.integers(0, len(train) - 1), min_size=1, max_size=5)))
    batch = got_from[index]
    assert batch.label is not None
    numbers = {word: i for i, word in enumerate(vocabulary.words[:size])}
    cut = [[s[:max_words] for s in CHARS.sentences(train[i][0], max_sentences)] for i in index]
    assert batch.documents.tolist() == [len(document) for document in cut]
    assert batch.sentences.tolist() == [len(sentence) for document in cut for sentence in document]
    assert batch.words.tolist() == [numbers.get(w, 0) for document in cut for sentence in document for w in sentence]
    assert [corpus.categories[label] for label in batch.label] == [train[i][1] for i in index]
    assert {tensor.dtype for tensor in batch if tensor is not None} == {torch.int64}
    assert got_from.lengths is not None
    assert got_from.lengths[index].tolist() == [sum(map(len, document)) for document in cut]


def test_the_vocabulary_is_counted_in_train_alone(tmp_path: Path) -> None:
    parts = {"train": [("乙乙乙甲甲丙", "x"), ("丁丁", "y")], "val": [("戊戊戊戊甲", "x")], "test": [("丙", "y")]}
    corpus = built(tmp_path, parts)
    assert corpus.vocabulary(1, None).words == ["<unk>", "乙", "丁", "甲", "丙"]
    assert corpus.vocabulary(2, None).words == ["<unk>", "乙", "丁", "甲"]
    assert corpus.vocabulary(1, 3).words == ["<unk>", "乙", "丁"]
    assert corpus.vocabulary(9, None).words == ["<unk>"]
    unknown = np.arange(corpus.vocabulary_size) >= 4
    assert [corpus.share(split, unknown) for split in SPLITS] == [1 / 8, 4 / 5, 1.0]


def test_documents_without_a_word_are_skipped_and_counted(tmp_path: Path) -> None:
    train = [("甲", "x"), (" 　\x00", "x"), ("", "y"), ("乙", "y")]
    corpus = built(tmp_path, {"train": train, "val": train[:1], "test": train[3:]})
    assert corpus.report.counts == {NO_WORDS: (2, ["train.tsv:2", "train.tsv:3"])}
    assert list(corpus.report.notes()) == ["skipped: 2 documents without words (train.tsv:2, train.tsv:3)"]
    assert [corpus.categories[i] for i in source(corpus, "train", 9).labels] == ["x", "y"]


@pytest.mark.parametrize(
    ("labels", "order", "expected"),
    [
        ("ba", (), ["a", "b"]),
        (["10", "9"], (), ["9", "10"]),
        ("ab", ("c", "b", "a"), ["b", "a"]),
    ],
)
def test_categories_are_in_order(
    tmp_path: Path, labels: list[str], order: tuple[str, ...], expected: list[str]
) -> None:
    train = [("甲", label) for label in labels]
    assert built(tmp_path, {"train": train, "val": train, "test": train}, order).categories == expected


def test_parts_not_given_are_cut_from_train_alike_and_stratified(tmp_path: Path) -> None:
    train = [(f"{'甲' * (i + 1)}", "x" if i % 4 else "y") for i in range(80)]
    corpora = [built(tmp_path / name, {"train": train}) for name in "ab"]
    indices = {split: corpora[0].indices(split) for split in SPLITS}
    assert sorted(np.concatenate(list(indices.values())).tolist()) == list(range(80))
    assert {split: len(index) for split, index in indices.items()} == {"train": 64, "val": 8, "test": 8}
    assert [np.bincount(corpora[0].labels[index]).tolist() for index in indices.values()] == [[48, 16], [6, 2], [6, 2]]
    for split in SPLITS:
        assert corpora[1].indices(split).tolist() == indices[split].tolist()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": []}, "there are no documents in train"),
        ({"train": [("", "x"), (" ", "y")]}, "no documents in train; 2 without words were skipped"),
        ({"train": [("甲", "x"), ("乙", "x")]}, "all documents have the label 'x'"),
        ({"train": [("甲", "x"), ("乙", "y")]}, "2 documents are too few to split off a test split"),
        (
            {"train": [("甲", "x"), ("乙", "y")] * 2},
            r"^4 documents are too few to split off a val split.* is --data\.label_column the right one",
        ),
        (
            {"train": [("甲", "x"), ("乙", "y")], "test": [("甲", "x"), ("丙", "z")]},
            r"^test\.tsv:2: the label 'z' is not in train.*train has: 'x', 'y'; move such rows to train or",
        ),
        (
            {"train": [("甲", "x"), ("", "z"), ("乙", "y")], "test": [("丙", "z")]},
            r"^train\.tsv:2: in train the label 'z' has no document",
        ),
        ({"train": [("甲", f"id{i}") for i in range(300)]}, "300 different labels in 300 documents"),
    ],
)
def test_what_cannot_be_learned_is_an_error(
    tmp_path: Path, parts: dict[str, list[tuple[str, str]]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        built(tmp_path, parts)


def test_a_document_of_100_000_words_is_cut(tmp_path: Path) -> None:
    train = [("甲。" * 50_000, "x"), ("乙" * 100_000, "y"), ("乙", "y")]
    corpus = built(tmp_path, {"train": train, "val": train[2:], "test": train[2:]})
    sizes = corpus.sizes(60, 50)
    assert sizes.words.tolist()[:2] == [100_000, 100_000]
    assert sizes.kept.tolist()[:3] == [120, 50, 1]
    assert sizes.long.tolist()[:2] == [0, 1]
    assert len(source(corpus, "train", 9, 60, 50)[np.array([0, 1])].words) == 170


def test_a_source_can_be_sent_to_another_process(tmp_path: Path) -> None:
    train = [("甲。乙", "x"), ("乙", "y")]
    there = source(built(tmp_path, {"train": train, "val": train, "test": train}), "train", 3)
    back = pickle.loads(pickle.dumps(there))
    assert isinstance(back.corpus.words, np.memmap), "the text itself must not be sent"
    assert back[np.array([0])].words.tolist() == there[np.array([0])].words.tolist()


def test_a_document_is_found_again_by_file_line_and_its_first_words(tmp_path: Path) -> None:
    build(
        tmp_path,
        {
            "train": [
                LabeledText("好 good day, isn't it?", "x", "a.csv:12"),
                LabeledText("乙" * 999, "y", "书.xlsx, row 3"),
                LabeledText("丙", "y", "x/1.txt"),
            ]
        },
        segmenter=Segmenter("words"),
        whole=True,
        processes=1,
    )
    first, second, third = source(Corpus(tmp_path), "train", 9).origins(np.array([0, 1, 2]))
    assert first == ("a.csv", 12, "好good day, isn't it?")
    assert second[:2] == ("书.xlsx", 3) and second.text.startswith("乙乙") and len(second.text) == 500
    assert third == ("x/1.txt", None, "丙")


def test_documents_of_the_same_words_are_equal_whatever_punctuation_and_sentences(tmp_path: Path) -> None:
    documents = [
        ("甲乙丙。丁", "x"),
        ("甲，乙丙丁！", "y"),
        ("甲乙丙", "x"),
        ("乙甲丙丁", "x"),
        ("……", "y"),
        ("！！", "y"),
    ]
    corpus = built(tmp_path, {"train": documents, "val": documents[:1], "test": documents[:1]})
    hashes = source(corpus, "train", corpus.vocabulary_size).normalized_fingerprints().tolist()
    assert hashes[0] == hashes[1] and len(set(hashes)) == len(hashes) - 1
    assert source(corpus, "val", corpus.vocabulary_size).normalized_fingerprints().tolist() == hashes[:1]


def test_unknown_words_are_counted_in_what_a_model_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "_DOCUMENTS", 2)
    documents = [("甲甲甲甲", "x"), ("甲乙。丙丁", "y"), ("乙丙", "x"), ("甲甲乙", "y"), ("甲乙乙乙", "x")]
    corpus = built(tmp_path, {"train": documents, "val": documents[:1], "test": documents[:1]})
    known = corpus.vocabulary(0, None).words.index("甲") + 1
    few = source(corpus, "train", known, max_words=3)
    expected = []
    for index in range(len(documents)):
        words = [word for sentence in few.words(index) for word in sentence]
        expected.append(sum(corpus.vocabulary(0, None).words.index(word) >= known for word in words) / len(words))
    np.testing.assert_allclose(few.unknown_shares(), expected)
    assert few.unknown_shares()[0] == 0 and few.unknown_shares().max() > 0
