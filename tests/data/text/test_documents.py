from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lightning_nn.data.text.documents import TextFiles, read_words
from lightning_nn.errors import UserError


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return folder


def read(path: Path, **options: Any) -> dict[str, list[tuple[str, str]]]:
    files = TextFiles(path, **options)
    return {split: [(r.text, r.label) for r in records] for split, records in files.records().items()}


GOOD = [('一，"二"', "x"), ("三", "y")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", '一，"二"\tx\n三\ty\n'),
        ("a.txt", '\ufeff一，"二"\tx\r\n\r\n三\ty'),
        ("a.tsv", 'label\tid\treview\nx\t1\t一，"二"\ny\t2\t三\n'),
        ("a.csv", '一，"二",x\n三,y\n'),
        ("a.csv", '\ufeffText,Label\r\n"一，""二""",x\r\n三, y \r\n'),
        ("a.csv", 'phrase,category\n"一，""二""",x\n三,y\n'),
        ("a.jsonl", '{"label": "x", "text": "一，\\"二\\""}\n\n{"text": "三", "label": "y", "more": [1]}\n'),
        ("a.json", '{"category": "x", "words": "一，\\"二\\""}\n{"words": "三", "category": "y"}\n'),
    ],
)
def test_every_form_gives_the_same_records(tmp_path: Path, name: str, content: str) -> None:
    assert read(write(tmp_path, {name: content}) / name) == {"train": GOOD}
    assert read(tmp_path) == {"train": GOOD}, "a folder with a single file is that file"


def test_labels_lose_what_a_terminal_would_obey(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": 'text,label\n一,"x\x1b[31m\n y"\n二,Ａ\n'}) / "a.csv"
    assert [label for _, label in read(path)["train"]] == ["x[31m y", "A"]


def test_a_csv_record_over_several_lines_has_the_line_it_begins_on(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": 'text,label\n"一\r\n二\n三",x\n四,y\n'}) / "a.csv"
    assert [tuple(record) for record in TextFiles(path).records()["train"]] == [
        ("一\r\n二\n三", "x", "a.csv:2"),
        ("四", "y", "a.csv:5"),
    ]


def test_splits_are_found_by_name_and_class_names_beside_them(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "train.txt": "a\t1\nb\t0\n",
        "dev.txt": "c\t1\n",
        "test.txt": "d\t0\n",
        "class.txt": "零\n一\n\n",
        "x.npz": b"\xff",
    }
    found = TextFiles(write(tmp_path, files))
    assert {split: [r.label for r in records] for split, records in found.records().items()} == {
        "train": ["一", "零"],
        "val": ["一"],
        "test": ["零"],
    }
    assert found.names == ["零", "一"]
    assert {path.name for path in found.paths} == {"train.txt", "dev.txt", "test.txt", "class.txt"}


SPLIT_ROWS = "一,x,train\n二,y,Validation\n三,x,测试集\n四,y,train\n五,x,none\n"


def test_a_column_names_the_split_of_each_row(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": f"text,label,split\n{SPLIT_ROWS}共 5 行,,\n"}) / "a.csv"
    assert read(path) == {"train": [("一", "x"), ("四", "y")], "val": [("二", "y")], "test": [("三", "x")]}
    files = TextFiles(path)
    assert "splits by the column split: train, val, test; 1 rows are of none and left out" in files.notes
    for records in files.records().values():
        list(records)
    assert [count for count, _ in files.report.counts.values()] == [1], "the footer is counted once"
    write(tmp_path, {"a.csv": "text,label,subset\n一,x,test\n二,y,test\n"})
    assert read(path, trains=False) == {"test": [("一", "x"), ("二", "y")]}
    with pytest.raises(UserError, match=r"a\.csv:1: no row is of train by the column subset"):
        TextFiles(path)
    write(tmp_path, {"a.csv": "text,label,set\n一,x,tennis\n二,y,chess\n"})
    assert read(path)["train"] == [("一", "x"), ("二", "y")], "no split is named"


@pytest.mark.parametrize("cell", ["", "tarin"])
def test_a_row_of_no_split_is_named(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path, {"a.csv": f"text,label,split\n{SPLIT_ROWS}六,y,{cell}\n七,x,test\n"}) / "a.csv"
    with pytest.raises(UserError, match=r"a\.csv:7: the split is "):
        read(path)
    rows = "".join(f"{number},x,train\n" for number in range(20))
    write(tmp_path, {"a.csv": f"text,label,split\n{SPLIT_ROWS}六,y,{cell}\n{rows}"})
    files = TextFiles(path, bad_rows="skip")
    assert sum(len(list(records)) for records in files.records().values()) == 24
    assert [count for count, _ in files.report.counts.values()] == [1]


@pytest.mark.parametrize("wrapped", ["", "cnews/", "a/b/"])
def test_split_tables_are_found_by_the_words_of_their_names(tmp_path: Path, wrapped: str) -> None:
    tables = {"train": "cnews.train.txt", "val": "cnews.val.txt", "test": "cnews.test.txt"}
    names = {"class.txt": "零\n一\n", "cnews.vocab.txt": "的\n", ".git/train.txt": "x"}
    write(tmp_path, {wrapped + name: content for name, content in names.items()})
    write(tmp_path, {wrapped + name: f"{split}\t1\n" for split, name in tables.items()} | {"README.md": "x"})
    assert read(tmp_path) == {split: [(split, "一")] for split in tables}
    assert noted(tmp_path)[0] == (
        "not read, because the splits are cnews.train.txt and cnews.val.txt and cnews.test.txt: cnews.vocab.txt"
    )


def test_lists_of_files_beside_class_folders_are_no_tables(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_text(f"text of {label}", encoding="utf-8")
    for split in ("train", "test"):
        (tmp_path / f"{split}_list.txt").write_text("a/1.txt\t0\nb/1.txt\t1\n", encoding="utf-8")
    assert [record.text for record in TextFiles(tmp_path).records()["train"]] == ["text of a", "text of b"]


def test_the_table_of_a_single_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"data/train-00000-of-00001.csv": "text,label\n一,x\n", "README.md": "二"})
    assert read(tmp_path) == {"train": [("一", "x")]}
    assert read(write(tmp_path / "more", {"pack/reviews.csv": "text,label\n一,x\n"})) == {"train": [("一", "x")]}
    write(tmp_path / "more", {"own.csv": "text,label\n二,y\n"})
    assert read(tmp_path / "more") == {"train": [("二", "y")]}, "a table outside comes first"


def test_a_test_table_by_another_name_without_train_is_only_a_table(tmp_path: Path) -> None:
    assert read(write(tmp_path, {"test_data.csv": "text,label\n一,x\n"})) == {"train": [("一", "x")]}


def test_class_names_stand_between_line_ends_alone(tmp_path: Path) -> None:
    write(tmp_path, {"train.txt": "a\t0\nb\t1\n", "class.txt": "x\u2028y\r\nz\x0b\r\n\n"})
    assert TextFiles(tmp_path).names == ["x y", "z"]


def test_class_names_that_no_label_counts_are_noted(tmp_path: Path) -> None:
    write(tmp_path, {"train.txt": "a\tx\nb\t1\n", "class.txt": "零\n一\n"})
    assert noted(tmp_path)[1] == "class.txt is not read: labels such as 'x' are not line numbers from 0"


def test_a_user_dictionary_is_named_with_the_line_that_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, {"bad.txt": "一\n\n二 0\n", "old.txt": "中文\n".encode("gb18030"), "good.txt": " 一 3\n\n"})
    assert read_words(tmp_path / "good.txt") == ["一 3"]
    with pytest.raises(UserError, match=r"bad\.txt:3: '二 0' is not an entry of a user dictionary"):
        read_words(tmp_path / "bad.txt")
    with pytest.raises(UserError, match=r"old\.txt:1: byte 0xd6 at position 1 is not utf-8; save the file in UTF-8"):
        read_words(tmp_path / "old.txt")
    with pytest.raises(UserError, match="is a folder; expected a file of words"):
        read_words(tmp_path)


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_class_folders_have_a_document_in_each_file(tmp_path: Path, prefix: str) -> None:
    files = {
        f"{prefix}甲/1.txt": "\ufeff一\n二",
        f"{prefix}甲/more/2.txt": "三",
        f"{prefix}乙/1.txt": "",
        ".git/x/1.txt": "no",
    }
    if prefix:
        files["test/甲/1.txt"] = "四"
    found = read(write(tmp_path, dict(files)))
    assert found.pop("train") == [("", "乙"), ("一\n二", "甲"), ("三", "甲")]
    assert found == ({"test": [("四", "甲")]} if prefix else {})


def noted(path: Path, **options: str) -> list[str]:
    files = TextFiles(path, **options)
    for records in files.records().values():
        list(records)
    return files.notes


def test_what_lies_beside_the_documents_is_noted(tmp_path: Path) -> None:
    write(
        tmp_path, {f"training/{name}": "一" for name in ("a/1.TXT", "a/2.html", "a/3.pdf", "b/dir.txt/1.txt", "x.txt")}
    )
    write(tmp_path, {"eval/a/1.txt": "一", "val/b/1.txt": "二", "note.txt": "三"})
    (tmp_path / "training/b/loop").symlink_to("..")
    assert read(tmp_path) == {"train": [("一", "a"), ("一", "b")], "val": [("二", "b")]}
    assert noted(tmp_path) == [
        "not read, because the classes are in training: eval",
        "skipped, not texts in a class by location and suffix: 4 (.html, .pdf, .txt, folder read elsewhere), such as "
        f"{tmp_path}/training/x.txt",
    ]


@pytest.mark.parametrize("other", ["readme.txt", "settings.json"])
def test_the_only_table_is_read_whatever_text_lies_beside(tmp_path: Path, other: str) -> None:
    write(tmp_path, {"data.csv": "text,label\n一,x\n", other: "三", "docs/a.txt": "四"})
    assert read(tmp_path) == {"train": [("一", "x")]}
    assert f"not read, because data.csv is the only table: {other}" in noted(tmp_path)


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"tables/x.tsv": "一\tx\n", "classes/a/1.txt": "", "classes/b/1.txt": ""})
    for name in ("tables/train.tsv", "classes/b/x.txt"):
        (tmp_path / name).symlink_to("nowhere")
        with pytest.raises(UserError, match=rf"{Path(name).name} is a broken link"):
            TextFiles(tmp_path / name.split("/")[0])


def test_what_can_be_no_path_and_no_encoding_is_named(tmp_path: Path) -> None:
    for path, message in (
        (Path("/dev/null"), "null is neither a file nor a folder; expected train"),
        (tmp_path / ("x" * 300), r"can't be a path \(File name too long\)"),
        (Path("a\0b"), r"can't be a path \(embedded null byte\)|does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            TextFiles(path)
    with pytest.raises(UserError, match=r"unknown encoding 'utf\\x008'"):
        TextFiles(tmp_path, encoding="utf\x008")


def test_of_several_candidates_the_choice_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": "category,sentiment,review\nx,+,一\ny,-,二\n"}) / "a.csv"
    files = TextFiles(path)
    assert [record.label for record in files.records()["train"]] == ["x", "y"]
    assert files.notes == [
        "columns: text = review, label = category (by their names in a.csv)",
        "label_column is category; for another: --data.label_column sentiment",
    ]
    assert read(path, label_column="sentiment")["train"] == [("一", "+"), ("二", "-")]


def test_a_headerless_table_with_the_label_first_is_recognised(tmp_path: Path) -> None:
    rows = "".join(f"{'xy'[i % 2]}\t文本{i}\n" for i in range(30))
    files = TextFiles(write(tmp_path, {"a.tsv": rows}) / "a.tsv")
    assert [tuple(r)[:2] for r in files.records()["train"]][:2] == [("文本0", "x"), ("文本1", "y")]
    assert files.notes == ["columns 2 (text) and 1 (label), no header"]


def test_a_label_column_first_is_recognised_though_its_names_are_long(tmp_path: Path) -> None:
    rows = "".join(f"{'运动和闲暇时间' if i % 2 else '国际和国内的政治'}\t文{i}\n" for i in range(40))
    assert read(write(tmp_path, {"a.tsv": rows}) / "a.tsv")["train"][0] == ("文0", "国际和国内的政治")


def test_columns_given_by_number_are_numbers_though_a_cell_is_called_so(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": '"1","some","desc"\n"2","more","desk"\n'}) / "a.csv"
    options = {"text_column": "3", "label_column": "1"}
    assert read(path, **options)["train"] == [("desc", "1"), ("desk", "2")]
    assert noted(path, **options) == ["columns 3 (text) and 1 (label), no header"]
    path = write(tmp_path, {"b.csv": "Class Index,Title,Text\n3,a,b\n"}) / "b.csv"
    assert read(path, **options)["train"] == [("b", "3")]
    assert noted(path, **options) == ["columns: text = Text, label = Class Index (by their names in b.csv)"]


def test_a_space_after_a_comma_belongs_to_no_cell(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": 'text, label\n"一, 二", "x"\n'}) / "a.csv"
    assert read(path)["train"] == [("一, 二", "x")]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_file_may_be_a_list_of_objects(tmp_path: Path, indent: int | None) -> None:
    rows = [{"text": "一", "label": 1}, {"text": "二", "label": 2}]
    path = write(tmp_path, {"a.json": "\n" + json.dumps(rows, indent=indent)}) / "a.json"
    assert read(path)["train"] == [("一", "1"), ("二", "2")]
    assert [r.place for r in TextFiles(path).records()["train"]] == ["a.json, element 1", "a.json, element 2"]
    with pytest.raises(UserError, match=r"^a\.json, element 3: no label"):
        read(write(tmp_path, {"a.json": json.dumps([*rows, {"text": "三", "label": None}])}) / "a.json")
    with pytest.raises(UserError, match=r"^a\.json, element 3: expected an object as each element, got \[1\]"):
        read(write(tmp_path, {"a.json": json.dumps([*rows, [1]])}) / "a.json")


def test_columns_without_names_go_by_number(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.tsv": "7\tx\t一\n8\ty\t二\n"}) / "a.tsv"
    assert read(path, text_column="3", label_column="2")["train"] == [("一", "x"), ("二", "y")]


@pytest.mark.parametrize("again", ["", "phrase,mood\n"])
@pytest.mark.parametrize("size", [6, 30])
def test_a_header_that_looks_like_a_record_is_refused_and_read_once_it_is_named(
    tmp_path: Path, size: int, again: str
) -> None:
    rows = [f"文本{i},{'xy'[i % 2]}\n" for i in range(size)]
    path = write(tmp_path, {"a.csv": "".join(["phrase,mood\n", *rows[:4], again, *rows[4:]])}) / "a.csv"
    with pytest.raises(
        UserError,
        match=r"a\.csv:1: the label 'mood' occurs only here.* --data\.text_column 'phrase' --data\.label_column 'mood'"
        r"; if not, .* --data\.text_column 1 --data\.label_column 2",
    ):
        read(path)
    assert read(path, text_column="phrase", label_column="mood")["train"][0] == ("文本0", "x")
    assert read(path, text_column="1", label_column="2")["train"][0] == ("phrase", "mood")


def test_of_many_columns_some_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.json": json.dumps({f"document {n} " * 9: "x" for n in range(1000)})})
    with pytest.raises(UserError, match=r"which column is the text\? There are: document 0 .{,900}, \.\.\.; use"):
        TextFiles(path / "a.json")


def test_a_title_above_a_header_that_looks_like_a_record_is_no_way_around(tmp_path: Path) -> None:
    rows = "Umfrage,\nphrase,mood\n" + "".join(f"文本{i},{'xy'[i % 2]}\n" for i in range(6))
    path = write(tmp_path, {"a.csv": rows}) / "a.csv"
    with pytest.raises(UserError, match=r"a\.csv:2: the label 'mood' occurs only here"):
        TextFiles(path, bad_rows="skip")
    assert len(read(path, label_column="mood")["train"]) == 6


def test_joined_files_may_each_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    rows = "\ufefftext,label\n文本,x\n\ufefftext,label\n文字,y\n"
    assert read(write(tmp_path, {"a.csv": rows}) / "a.csv")["train"] == [("文本", "x"), ("文字", "y")]


def test_folders_of_splits_may_hold_a_table_each(tmp_path: Path) -> None:
    tables = {f"default/{split}/0000.csv": f"text,label\n{split},x\n" for split in ("train", "validation", "test")}
    assert {split: texts for split, ((texts, _),) in read(write(tmp_path, tables)).items()} == {
        "train": "train",
        "val": "validation",
        "test": "test",
    }


def test_columns_that_pandas_numbers_are_names(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": ",0,1\n0,文本,x\n1,文字,y\n"}) / "a.csv"
    with pytest.raises(UserError, match=r"which column is the text\? There are: , 0, 1; use --data\.text_column NAME"):
        read(path)
    assert read(path, text_column="0", label_column="1")["train"] == [("文本", "x"), ("文字", "y")]


def test_files_without_a_suffix_are_texts_where_none_is_called_txt(tmp_path: Path) -> None:
    names = [f"20news-bydate-{split}/{group}/{n}" for split in ("train", "test") for group in "ab" for n in (51060, 7)]
    found = read(write(tmp_path, dict.fromkeys(names, "From: x\n\ntext")))
    assert {split: [label for _, label in texts] for split, texts in found.items()} == {
        "train": ["a", "a", "b", "b"],
        "test": ["a", "a", "b", "b"],
    }
    with pytest.raises(UserError, match="is a PNG picture"):
        read(write(tmp_path / "c", {"a/1": b"\x89PNG\r\n\x1a\n", "b/1": b"\x89PNG\r\n\x1a\n"}))


def test_tables_of_data_sets_are_no_texts_of_a_class(tmp_path: Path) -> None:
    tables = {f"{name}/data/{split}.txt": "文本\tx\n文字\ty\n" for name in "ab" for split in ("train", "dev")}
    with pytest.raises(UserError, match=r"dev\.txt and train\.txt are the splits of.*--data\.path \S+/a/data"):
        read(write(tmp_path, tables))


@pytest.mark.parametrize(
    ("train", "test", "options"),
    [
        ("text,label\na,1\nb,0\n", "text,label\nc,-1\nd,-1\n", {}),
        ("a\tx\nb\ty\n", "a\t\nb\t\n", {}),
        ("g,1,,a\ng,0,*,b\n", "index,sentence\n0,c\n1,d\n", {"text_column": "4", "label_column": "2"}),
    ],
)
def test_a_split_without_labels_is_left_out(tmp_path: Path, train: str, test: str, options: dict[str, str]) -> None:
    suffix = "tsv" if "\t" in train else "csv"
    path = write(tmp_path, {f"train.{suffix}": train, f"test.{suffix}": test})
    assert list(read(path, **options)) == ["train"]


def test_a_label_of_minus_one_that_train_has_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, {"train.csv": "text,label\na,1\nb,-1\n", "test.csv": "text,label\nc,-1\n"})
    assert read(path)["test"] == [("c", "-1")]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "big5"])
def test_other_encodings_are_read_when_named(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, {"a.tsv": "中文\tx\n文字\ty\n".encode(encoding)}) / "a.tsv"
    assert read(path, encoding=encoding)["train"] == [("中文", "x"), ("文字", "y")]
    with pytest.raises(UserError, match=r"a\.tsv:1: byte 0x.. at position \d+ is not utf-8"):
        read(path)


@pytest.mark.seconds
def test_a_line_of_ten_megabytes_is_a_line(tmp_path: Path) -> None:
    text = "天" * 3_500_000
    files = write(tmp_path, {"a.csv": f'text,label\n"{text}",x\n', "b.jsonl": json.dumps({"text": text, "label": "x"})})
    assert read(files / "a.csv")["train"] == read(files / "b.jsonl")["train"] == [(text, "x")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.tsv": ""}, r"a\.tsv is empty"),
        ({"train.csv": "text,label\na,x\n", "test.csv": "text,label\n"}, r"test\.csv is empty"),
        ({"a.csv": "text,label\n"}, r"a\.csv is empty"),
        ({"a.tsv": "一\tx\n二\n"}, r"^a\.tsv:2: 1 column, expected 2: a cell is missing"),
        ({"a.tsv": "一\tx\n二\t \n"}, r"^a\.tsv:2: no label"),
        ({"a.tsv": "一\tx\n二\ty\tz\n"}, r"^a\.tsv:2: 3 columns, expected 2"),
        ({"a.csv": "text,label\n一,二,x\n"}, r"^a\.csv:2: 3 columns, expected 2"),
        ({"a.tsv": "一,x\n"}, r"^a\.tsv:1: 1 column, and no header.*separator"),
        ({"a.csv": "a,b,c\n"}, r"^a\.csv:1: 3 columns, and no header"),
        ({"a.csv": 'text,label\n一,x\n"二,y\n三,x\n'}, r"^a\.csv:3: a quotation mark .* never closed"),
        ({"a.csv": 'text,label\n一,x\n"二,y\n三,"x\n'}, r"^a\.csv:3: the record that begins here is not CSV"),
        ({"a.csv": "title,body\n一,二\n"}, r"which column is the label\? There are: title, body;"),
        ({"a.csv": "text,content,id\n"}, r"which column is the label\? There are: text, content, id;"),
        (
            {"a.csv": "id,text,size\n1,一,2\n"},
            r"^a\.csv:1: which column is the label.*id, text, size.*--data\.label_column",
        ),
        ({"a.jsonl": '{"text": "一", "label": 1}\n{"text": "二"}\n'}, r"^a\.jsonl:2: no 'label'; there are: text"),
        ({"a.jsonl": '{"text": "一", "label": 1}\n{"text": "二", "label": null}\n'}, r"^a\.jsonl:2: no label"),
        ({"a.jsonl": '{"text": ["一"], "label": 1}\n'}, r"^a\.jsonl:1: 'text' is \['一'\]; expected a text"),
        ({"a.jsonl": '{"text": "一", "label": 1}\n{"text":\n'}, r"^a\.jsonl:2: the JSON ends at column"),
        ({"a.jsonl": '[{"text": "一", "label": 1}]\n'}, r"^a\.jsonl:1: expected an object on each line, got \["),
        ({"a.json": "[" * 100_000}, r"^a\.json: JSON nested too deeply|^a\.json: not JSON"),
        ({"a.jsonl": '{"text": "一", "label": 1}\n{"text": "二", "label": NaN}\n'}, r"^a\.jsonl:2: no label"),
        ({"a.jsonl": '{"text": "一", "label": Infinity}\n'}, r"^a\.jsonl:1: no label"),
        ({"a.csv": "text,text,label\n一,二,x\n"}, r"^a\.csv:1: 2 columns are called 'text'; rename all but one"),
        (
            {"train.csv": "text,label\n一,x\n", "val.csv": "label,text,label\nx,一,y\n"},
            r"^val\.csv:1: 2 columns are called 'label'",
        ),
        (
            {"a.tsv": '"一"二\t"x"\n二\t"y"\n'},
            r'^a\.tsv:1: the label is "x"; all labels are in quotation marks.* as \.csv',
        ),
        (
            {"train.tsv": "一\tx\n", "val.jsonl": '{"text": "一", "label": "x"}'},
            r"^val\.jsonl:1: a header or an object, but train has columns without",
        ),
        (
            {"a.tsv": b"\xe4\xb8\x80\tx\n\xe4\xb8\x80\xb5\xff\ty\n"},
            r"^a\.tsv:2: byte 0xb5 at position 4 is not utf-8; the file",
        ),
        ({"a.tsv": "中文\tx\n".encode("gb18030")}, r"^a\.tsv:1: byte .*--data\.encoding gb18030"),
        ({"a.tsv": "一\tx\n".encode("utf-16")}, r"^a\.tsv:1: byte 0xff .*--data\.encoding utf-16"),
        ({"a.tsv": "a\tx\nb\ty\n".encode("utf-16-le")}, r"^a\.tsv:1: 3 of 7 .* NUL; .*--data\.encoding utf-16-le"),
        ({"a.tsv": "a\tx\nb\ty\n".encode("utf-16-be")}, r"^a\.tsv:1: 4 of 8 .* NUL; .*--data\.encoding utf-16-be"),
        ({"a.tsv": b"a\tx\n\xff\xfe\ty\n"}, r"^a\.tsv:2: byte 0xff at position 1 is not utf-8; the file is damaged"),
        ({"a.tsv": "中文字\tx\n".encode() + b"\xd2\xbb\xb9\xfa\ty\n"}, r"^a\.tsv:2: byte .*; the file is damaged"),
        ({"a.tsv": "中文字".encode() + b"\xb9\xfa\tx\n"}, r"^a\.tsv:1: byte 0xb9 .*; the file is damaged"),
        ({"a.tsv": b"a\tx\nb\ty\n" + "一国\tx\n".encode("gb18030")}, r"^a\.tsv:3: .*--data\.encoding gb18030"),
        ({"a.csv": "text,label\r一,x\r二,y\r"}, r"^a\.csv: lines end in a lone CR; save the file with LF line ends"),
        ({"train.txt": "a\t0\n", "class.txt": "x\n\ny\n"}, r"class\.txt:2: an empty name"),
        ({"train.txt": "a\t0\n", "class.txt": "\nx\n"}, r"class\.txt:1: an empty name"),
        (
            {"train.txt": "a\t1\nb\t2\n", "class.txt": "x\ny\n"},
            r"^train\.txt:2: the label '2' has no line in class\.txt, which names 0 to 1; labels must begin at 0",
        ),
        ({"x/1.txt": b"ok\nno\xff", "y/1.txt": ""}, r"^x/1\.txt:2: byte 0xff at position 3 is not utf-8"),
        (
            {"train.csv": "text,label\na,x\n", "test.csv": "body,label\na,x\n"},
            r"^test\.csv:1: no column 'text' as in train",
        ),
        (
            {"train.txt": "a\t0\nb\t2\n", "class.txt": "x\ny\n"},
            r"^train\.txt:2: the label '2' has no line in class\.txt",
        ),
        ({"train.txt": "a\t0\n", "class.txt": "x\nx\n"}, r"class\.txt names 'x' twice"),
        ({"test.txt": "a\t0\n", "val.txt": "a\t0\n"}, "but no train file"),
        ({"train.txt": "a\t0\n", "dev.txt": "a\t0\n", "val.txt": ""}, r"dev\.txt and val\.txt both could be val"),
        ({"a/1.txt": "a", "b/1.txt": "a", "test/x/1.txt": "a"}, r"test: a split of the data, but .* no train folder"),
        ({"train/a/1.txt": "a", "val/a/1.txt": "", "dev/a/1.txt": ""}, "dev and val both could be val"),
        ({"a.tsv": "a\t0\n", "b.tsv": "a\t0\n"}, r"holds no documents.*has: a\.tsv, b\.tsv"),
        ({}, "holds no documents.* is empty"),
    ],
)
def test_bad_input_names_file_and_line(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(UserError, match=message):
        read(write(folder, files))


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    write(tmp_path, {"news.csv": "", "news.doc": ""})
    with pytest.raises(UserError, match=r"news\.tsv does not exist; .* has: news\.csv, news\.doc"):
        TextFiles(tmp_path / "news.tsv")
    with pytest.raises(UserError, match=r"unknown kind of file; known are \.tsv"):
        TextFiles(tmp_path / "news.doc")
    with pytest.raises(UserError, match="unknown encoding 'utf9'; did you mean 'utf-8'"):
        TextFiles(tmp_path / "news.csv", encoding="utf9")
    path = write(tmp_path, {"a.csv": "text,label\na,x\n"}) / "a.csv"
    with pytest.raises(UserError, match=r"a\.csv:1: --data\.label_column is 'lable'.* did you mean 'label'"):
        read(path, label_column="lable")
    write(tmp_path, {"b.csv": "TEXT,KIND\na,x\n"})
    with pytest.raises(UserError, match=r"--data\.label_column is 'kind', .* did you mean 'KIND'"):
        read(tmp_path / "b.csv", label_column="kind")
    with pytest.raises(UserError, match="can't be the same column"):
        read(path, label_column="text", text_column="text")
