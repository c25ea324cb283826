from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_nn import catalog
from lightning_nn.data.synthetic.bulletins.data_module import Bulletins
from lightning_nn.data.synthetic.bulletins.generator import CATEGORIES, generate
from lightning_nn.data.text.data_module import TextData, TextProcessor
from lightning_nn.data.text.processor import LONGEST
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import to_plain_data
from tests.commands import start


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def corpus(folder: Path, size: int = 40) -> Path:
    """Two categories, sentences of two kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{'比赛开始了。' if i % 2 else '股票上涨！'}今天第{'一二三四五'[i % 5]}场{'。' * (i % 3)}" for i in range(size)
    ]
    text = "".join(f"{row}\t{i % 2}\n" for i, row in enumerate(rows))
    (folder / "train.txt").write_text(text, encoding="utf-8")
    (folder / "class.txt").write_text("股票\n体育\n", encoding="utf-8")
    return folder


def prepared(path: Path, **options: object) -> TextData:
    data = TextData(str(path), **{"vocabulary": TextVocabulary("chars", min_count=1), **options})  # type: ignore[arg-type]
    data.prepare_once()
    return data


def test_batches_carry_what_the_reader_makes_of_the_same_texts(tmp_path: Path) -> None:
    data = prepared(
        corpus(tmp_path / "data"),
        max_sentences=2,
        max_words=4,
        batch_size=7,
        vocabulary=TextVocabulary("jieba", min_count=1),
    )
    texts = [line.split("\t") for line in (tmp_path / "data/train.txt").read_text(encoding="utf-8").splitlines()]
    for split, loader in (
        ("train", data.train_dataloader()),
        ("val", data.val_dataloader()),
        ("test", data.test_dataloader()),
    ):
        indices = data.sources[split].indices
        for index in loader.batch_sampler:
            batch, again = data.sources[split][index], data.processor.encode([texts[i][0] for i in indices[index]])
            for field in ("documents", "sentences", "words"):
                assert torch.equal(getattr(batch, field), getattr(again, field)), (split, field)
            assert batch.label is not None
            assert batch.label.tolist() == [int(texts[i][1]) for i in indices[index]]
            assert batch.sentences.max() <= 4
            assert batch.documents.max() <= 2
    assert data.processor.categories == ["股票", "体育"]
    vocabulary = data.processor.vocabulary
    assert data.describe() == {
        "vocabulary_size": len(vocabulary),
        "num_characters": len(vocabulary.characters),
        "num_classes": 2,
    }


def test_the_table_and_the_notes_say_what_was_read(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "data")
    with (folder / "train.txt").open("a", encoding="utf-8") as file:
        file.write("\t0\n \t1\n")
    data = prepared(folder, max_words=3, vocabulary=TextVocabulary("chars", min_count=20))
    header, *rows = data.summary
    assert header[:2] == ("split", "documents")
    assert [(row[0], row[1]) for row in rows] == [("train", "32"), ("val", "4"), ("test", "4")]
    assert all(len(row) == len(header) for row in rows)
    notes = "\n".join(data.notes)
    assert "2 categories: 股票, 体育" in notes
    assert "val and test split off from train" in notes
    assert "skipped: 2 documents without words (train.txt:41, train.txt:42)" in notes
    assert "sentences to 3 words (max_words)" in notes
    assert "words are unknown" in notes and "% in train" in notes


def test_a_second_start_reads_the_cache_and_a_change_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpus(tmp_path / "data")
    first = prepared(folder)
    with monkeypatch.context() as patch:
        patch.setattr("lightning_nn.data.text.data_module.build", lambda *_, **__: pytest.fail("built again"))
        again = prepared(
            folder, vocabulary=TextVocabulary("chars", min_count=2, max_size=9), max_sentences=1, batch_size=3
        )
        assert len(again.processor.vocabulary) == 9
        assert prepared(folder).notes == first.notes
        assert prepared(folder).summary == first.summary
    with (folder / "train.txt").open("a", encoding="utf-8") as file:
        file.write("新\t0\n")
    assert prepared(folder).sources["train"].corpus.folder != first.sources["train"].corpus.folder


def test_the_cache_knows_columns_however_they_were_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"第{i}句,{i % 2}\n" for i in range(40)), encoding="utf-8")
    first = prepared(path)
    assert "columns: text = text, label = label (by their names in a.csv)" in first.notes
    monkeypatch.setattr("lightning_nn.data.text.data_module.build", lambda *_, **__: pytest.fail("built again"))
    assert prepared(path, label_column="label").notes == first.notes
    assert prepared(path, label_column="2", text_column="text").notes == first.notes
    (tmp_path / "b").mkdir()
    assert prepared(path.rename(tmp_path / "b" / "a.csv").parent).notes == first.notes


def test_names_without_a_document_are_noted(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "data")
    (folder / "class.txt").write_text("股票\n体育\n房产\n", encoding="utf-8")
    assert "class.txt names classes without documents: 房产" in prepared(folder).notes


def test_classes_that_vanish_or_differ_in_case_alone_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    labels = ["Sport", "sport", "news"]
    rows = [f"第{i}句。二。三,{labels[i % 3]}\n" for i in range(30)] + [" ,void\n"]
    path.write_text("text,label\n" + "".join(rows), encoding="utf-8")
    notes = prepared(path, max_sentences=1, max_words=1).notes
    assert "labels that differ only in case, width, spaces or zeros in front: Sport, sport" in notes
    assert "not a category, because no document of it has words: 1 label (void)" in notes
    assert any("to 1 sentence (max_sentences)" in note and "to 1 word (max_words)" in note for note in notes), notes
    path.write_text("text,label\n" + f"{'一' * 9000},x\n二,y\n" * 3, encoding="utf-8")
    assert any("more than 99.9% of all words are not read" in note for note in prepared(path, max_words=1).notes)


def test_a_truncated_entry_is_built_anew(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "data")
    first = prepared(folder)
    words = first.sources["train"].corpus.folder / "words"
    expected = words.read_bytes()
    del first
    os.truncate(words, 8)
    prepared(folder)
    assert words.read_bytes() == expected


def test_two_processes_that_start_at_once_build_once(tmp_path: Path, cache_of_its_own: Path) -> None:
    folder = corpus(tmp_path / "data")
    code = f"""
from lightning_nn.data.text.data_module import TextData
data = TextData({str(folder)!r}, vocabulary={{"segmenter": "chars"}})
print(data.describe())
"""
    running = [start(script=code, cwd=tmp_path) for _ in "ab"]
    outputs = [started.result().ok().out for started in running]
    assert outputs[0] == outputs[1] != ""
    assert len([path for path in cache_of_its_own.iterdir() if path.is_dir()]) == 1


def test_a_reader_comes_back_from_plain_data(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("第一场 1000\n\n", encoding="utf-8")
    data = prepared(
        corpus(tmp_path / "data"),
        vocabulary=TextVocabulary("jieba", min_count=1, user_dict=str(tmp_path / "words.txt")),
    )
    state = json.loads(json.dumps(data.processor.state_dict()))
    processor = catalog.processor(data.processor.kind, state)
    assert isinstance(processor, TextProcessor)
    text = "比赛开始了。ＡＢ第一场\x00！"
    assert (
        processor.tokens(text) == data.processor.tokens(text) == [["比赛", "开始", "了", "。"], ["AB", "第一场", "！"]]
    )
    assert torch.equal(processor.encode([text]).words, data.processor.encode([text]).words)


def test_words_of_jiebas_own_form_are_read_and_those_without_effect_are_named(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("第一场 1000 n\nEdu Best认证 2000\n", encoding="utf-8")
    data = prepared(
        corpus(tmp_path / "data"), vocabulary=TextVocabulary(min_count=1, user_dict=str(tmp_path / "words.txt"))
    )
    assert data.processor.tokens("第一场") == [["第一场"]]
    assert "no effect, because jieba splits at spaces: Edu Best认证" in data.notes


def test_any_text_gets_an_answer() -> None:
    processor = TextProcessor(["x", "y"], ["<unk>", "一"], "chars", [], max_sentences=3, max_words=4)
    batch = processor.encode(["", " \x00", "😀", "一。" * 100_000, "一" * 100_000, "\ud800一"])
    assert batch.documents.tolist() == [1, 1, 1, 3, 1, 1]
    assert batch.sentences.tolist() == [1, 1, 1, 2, 2, 2, 4, 1]
    assert batch.words.tolist() == [0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1]
    assert {tensor.dtype for tensor in batch[:3]} == {torch.int64}
    assert processor.tokens("") == []
    assert processor.encode([]).documents.tolist() == []
    with pytest.raises(UserError, match=r"expected a text \(str\), got int: '3'"):
        processor.encode([3])


def test_batches_of_what_is_asked_are_bounded_by_length_and_hold_each_text_once() -> None:
    processor = TextProcessor(["x", "y"], ["<unk>", "一"], "chars", [], max_sentences=100, max_words=100)
    texts = ["一" * 100 + "。", *["一。" * 10_000] * 20, "", "一" * 100_000]
    batches = list(processor.batches(texts, 8))
    assert sorted(i for index, _ in batches for i in index) == list(range(len(texts)))
    for index, batch in batches:
        assert len(index) == batch.size <= 8
        assert torch.equal(batch.words, processor.encode([texts[i] for i in index]).words)
        assert len(index) == 1 or sum(min(len(texts[i]), 10_000) for i in index) <= LONGEST
    assert list(processor.batches([], 8)) == []
    with pytest.raises(UserError, match="got int"):
        list(processor.batches([3], 8))


def test_an_adopted_reader_decides_ids_labels_and_cuts(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "data")
    processor = TextProcessor(["体育", "股票"], ["<unk>", "今", "股", "无"], "chars", [], max_sentences=1, max_words=3)
    data = TextData(str(folder), vocabulary=TextVocabulary("jieba"))
    data.use_processor(processor)
    data.prepare()
    assert data.describe() == {"vocabulary_size": 4, "num_characters": 4, "num_classes": 2}
    source = data.sources["train"]
    batch = source[np.arange(len(source))]
    assert batch.label is not None
    assert set(batch.words.reshape(-1, 3)[batch.label == 1].flatten().tolist()) == {0, 2}
    assert batch.documents.max() == 1
    data = TextData(str(folder))
    data.use_processor(TextProcessor(["体育", "财经"], ["<unk>"], "chars", [], 1, 3))
    with pytest.raises(UserError, match="the category '股票', which the checkpoint lacks; it knows: 体育, 财经"):
        data.prepare()


def test_no_batch_holds_more_words_than_allowed(tmp_path: Path) -> None:
    data = prepared(corpus(tmp_path / "data"), max_batch_words=40)
    sizes = [len(batch.words) for batch in data.train_dataloader()]  # type: ignore[union-attr]
    assert max(sizes) <= 40
    assert sum(sizes) == data.sources["train"].lengths.sum()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": {"min_count": 0}}, "--data.vocabulary.min_count is 0; it must be at least 1"),
        ({"max_words": 0}, "max_words is 0"),
        ({"splits": {"val": 0.0}}, "--data.splits.val is 0.0; it must be above 0 and below 1"),
        ({"splits": {"val": 0.6, "test": 0.5}}, r"splits.val \+ --data.splits.test is 1.1; it must be below 1"),
        ({"splits": {"val": 0.5, "test": 0.49}}, "no document of the category '股票' is left in train.*splits.val"),
        ({"splits": {"seed": -1}}, "--data.splits.seed is -1; it must be 0 or above"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"path": None}, "say where your documents are: --data.path FILE or FOLDER"),
        ({"vocabulary": {"segmenter": "char"}}, "did you mean 'chars'"),
        ({"vocabulary": {"user_dict": "no.txt"}}, r"there is no user dictionary no\.txt"),
        ({"vocabulary": {"segmenter": "chars", "min_count": 1000}}, "no word occurs 1000 times in train"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextData(**{"path": str(corpus(tmp_path / "data")), "vocabulary": {"segmenter": "chars"}, **options}).prepare()  # type: ignore[arg-type]


def test_settings_are_kept_as_plain_data() -> None:
    data = TextData("somewhere", label_column="sentiment", vocabulary=TextVocabulary(min_count=3))
    settings = json.loads(json.dumps(to_plain_data(dict(data.hparams), "settings")))
    assert settings["label_column"] == "sentiment" and settings["vocabulary"]["min_count"] == 3
    assert dict(TextData(**settings).hparams) == settings


def test_bulletins_are_read_as_they_were_made() -> None:
    data = Bulletins(train_size=60, val_size=10, test_size=12, seed=3, vocabulary=TextVocabulary("chars"))
    data.prepare_once()
    assert [len(data.sources[split]) for split in ("train", "val", "test")] == [60, 10, 12]
    assert data.processor.categories == list(CATEGORIES)
    made = list(generate(12, 3 * 3 + 2))
    batch = data.sources["test"][np.arange(12)]
    assert batch.label is not None
    assert batch.label.tolist() == [bulletin.label for bulletin in made]
    assert batch.documents.tolist() == [len(bulletin.sentences) for bulletin in made], "deciding counts sentences"
    assert data.deciding("test") == [bulletin.deciding for bulletin in made]
    with pytest.raises(UserError, match="val_size is 0"):
        Bulletins(val_size=0)
