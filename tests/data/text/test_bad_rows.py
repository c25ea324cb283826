from __future__ import annotations

import json
from pathlib import Path

import pytest

from lightning_nn.data.text.data_module import TextData
from lightning_nn.data.text.documents import TextFiles
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError

SKIP = r"; to leave such (rows|documents) out: --data\.bad_rows skip$"


def rows(bad: str, header: str = "text,label\n") -> str:
    good = [f"文字第{number}个,{'xy'[number % 2]}\n" for number in range(20)]
    return header + "".join(good[:3]) + bad + "".join(good[3:])


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", rows("五,\n"), "skipped: 1 row without a label (a.csv:5)"),
        ("a.csv", rows("五,NaN\n"), "skipped: 1 row without a label (a.csv:5)"),
        ("a.csv", rows("五,六,x\n"), "skipped: 1 row that can't be read (a.csv:5)"),
        ("a.csv", rows("五,\"['x', 'y']\"\n"), "skipped: 1 row that can't be read (a.csv:5)"),
        ("a.csv", rows("五\n六\n"), "skipped: 2 rows that can't be read (a.csv:5, a.csv:6)"),
        ("a.tsv", rows("五,\n").replace(",", "\t"), "skipped: 1 row without a label (a.tsv:5)"),
    ],
)
def test_rows_that_cant_be_read_are_refused_or_left_out_and_counted(
    tmp_path: Path, name: str, content: str, what: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{name}:5: .*{SKIP}"):
        list(TextFiles(tmp_path / name).records()["train"])
    for _ in range(2):  # the second from the cache
        data = TextData(
            str(tmp_path / name), bad_rows="skip", vocabulary=TextVocabulary(min_count=1, segmenter="chars")
        )
        data.prepare_once()
        assert what in data.notes
        assert sum(len(data.labels(split)) for split in data.sources) == 20


@pytest.mark.parametrize("bad", ['{"label": "x"}', '{"text": "五"}', "{broken", "[1]", '{"text": ["a"], "label": 1}'])
def test_json_lines_that_cant_be_read_are_left_out(tmp_path: Path, bad: str) -> None:
    lines = [json.dumps({"text": str(number), "label": "xy"[number % 2]}) for number in range(20)]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join([*lines[:3], bad, *lines[3:]]), encoding="utf-8")
    with pytest.raises(UserError, match=rf"^a\.jsonl:4: .*{SKIP}"):
        list(TextFiles(file).records()["train"])
    files = TextFiles(file, bad_rows="skip")
    assert [record.text for record in files.records()["train"]] == [str(number) for number in range(20)]
    assert list(files.report.notes()) == ["skipped: 1 row that can't be read (a.jsonl:4)"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_rows_with_bytes_of_no_encoding_are_left_out(tmp_path: Path, name: str, encoding: str) -> None:
    separator = "\t" if name == "a.tsv" else ","
    texts = [f"文字第{number}个" for number in range(20)]
    lines = [
        json.dumps({"text": text, "label": "xy"[number % 2]}, ensure_ascii=False)
        if name == "a.jsonl"
        else f"{text}{separator}{'xy'[number % 2]}"
        for number, text in enumerate(texts)
    ]
    raw = [line.encode(encoding) for line in lines]
    raw[4] = raw[4].replace("字".encode(encoding), b"\xff")
    (tmp_path / name).write_bytes(b"\n".join(raw))
    with pytest.raises(UserError, match=rf"^{name}:5: byte 0x.. .*is not {encoding}; the file is damaged.*{SKIP}"):
        list(TextFiles(tmp_path / name, encoding).records()["train"])
    files = TextFiles(tmp_path / name, encoding, bad_rows="skip")
    assert [record.text for record in files.records()["train"]] == texts[:4] + texts[5:]
    assert list(files.report.notes()) == [f"skipped: 1 document with bytes that are not in the encoding ({name}:5)"]


def test_documents_with_bytes_of_no_encoding_are_left_out(tmp_path: Path) -> None:
    for label in "xy":
        (tmp_path / label).mkdir()
        for number in range(6):
            (tmp_path / label / f"{number}.txt").write_bytes("财经新闻".encode("gb18030"))
    (tmp_path / "x" / "3.txt").write_bytes("财经".encode("gb18030") + b"\xff" + "新闻".encode("gb18030"))
    with pytest.raises(UserError, match=rf"^x/3\.txt:1: byte 0xff .*is not gb18030; the file is damaged.*{SKIP}"):
        list(TextFiles(tmp_path, "gb18030").records()["train"])
    files = TextFiles(tmp_path, "gb18030", bad_rows="skip")
    assert len(list(files.records()["train"])) == 11
    assert list(files.report.notes()) == ["skipped: 1 document with bytes that are not in the encoding (x/3.txt)"]
    with pytest.raises(UserError, match=r"if this is an older Chinese file, use --data\.encoding gb18030$"):
        list(TextFiles(tmp_path).records()["train"])


def test_a_table_of_which_too_much_would_be_left_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows("五,\n" * 6), encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.csv: 6 of 26 can't be read, more than the 20%.*The first: a\.csv:5: no l"):
        list(TextFiles(tmp_path / "a.csv", bad_rows="skip").records()["train"])
    with pytest.raises(UserError, match="bad_rows is 'leave'"):
        TextFiles(tmp_path / "a.csv", bad_rows="leave")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("id,text,target\n1,一,x\n2,二,y\n", "id,text\n3,三\n"),
        ("id,text,target\n1,一,x\n2,二,y\n", "id,text,target\n3,三,\n"),
        ("text,label\n一,1\n二,0\n", "text,label\n三,nan\n"),
        ("一,x\n二,y\n", "三\n四\n"),
    ],
)
def test_a_test_split_without_labels_is_left_out(tmp_path: Path, train: str, test: str) -> None:
    (tmp_path / "train.csv").write_text(train, encoding="utf-8")
    (tmp_path / "test.csv").write_text(test, encoding="utf-8")
    files = TextFiles(tmp_path)
    assert files.splits == ["train"]
    assert files.notes[-1].startswith("test.csv is left out, since its rows have no label: use predict --data.file")
    with pytest.raises(UserError, match=r"^test\.csv:\d: "):  # to be evaluated it must have labels
        list(TextFiles(tmp_path, trains=False).records()["test"])
    (tmp_path / "test.csv").rename(tmp_path / "val.csv")
    with pytest.raises(UserError, match=r"val\.csv: its rows have no label; add labels, or remove it to split val off"):
        TextFiles(tmp_path)


@pytest.mark.parametrize("val", ["", "text,label\n", "text,label\n一\n二\n", "text,label\n一,x,y\n,,\n"], ids=repr)
def test_a_given_split_of_which_nothing_is_left_is_an_error(val: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n一,x\n二,y\n", encoding="utf-8")
    (tmp_path / "val.csv").write_text(val, encoding="utf-8")
    with pytest.raises(UserError, match=r"val\.csv"):
        list(TextFiles(tmp_path, bad_rows="skip").records()["val"])


def test_a_test_split_with_its_label_by_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n一,x\n二,y\n", encoding="utf-8")
    for name in ("labels", "lable", "category"):
        (tmp_path / "test.csv").write_text(f"text,{name}\n三,x\n", encoding="utf-8")
        with pytest.raises(UserError, match=r"^test\.csv:1: no column 'label' as in train"):
            [list(records) for records in TextFiles(tmp_path).records().values()]
