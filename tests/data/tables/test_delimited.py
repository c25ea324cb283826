from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lightning_nn.data.tables.reading import read_lines
from lightning_nn.data.tables.rows import HEADERS, TITLES
from lightning_nn.data.tables.table import table_of_lines
from lightning_nn.data.text.documents import FOOTERS, TextFiles
from lightning_nn.errors import UserError

GOOD = [('一, "二"', "x"), ("三；\n四", "y"), ("五", "x")]


def table(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_bytes(content.encode("utf-8"))
    return folder / name


def pairs(file: Path, **options: Any) -> list[tuple[str, str]]:
    return [(record.text, record.label) for record in TextFiles(file, **options).records()["train"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"一, ""二""",x\n"三；\n四",y\n五,x\n'),
        ("a.csv", 'sep=,\r\ntext,label\r\n"一, ""二""",x\r\n"三；\n四",y\r\n五,x\r\n'),
        ("a.csv", '\ufeffsep=;\r\ntext;label\r\n"一, ""二""";x\r\n"三；\n四";y\r\n五;x\r\n'),
        ("a.csv", 'text;label\r\n"一, ""二""";x\r\n"三；\n四";y\r\n五;x\r\n'),
        ("a.csv", 'text;label\n一, "二";x\n"三；\n四";y\n五;x\n'),
        ("a.csv", 'text\tlabel\n"一, ""二"""\tx\n"三；\n四"\ty\n五\tx\n'),
        ("a.csv", 'text,label\n"一, \\"二\\"",x\n"三；\n四",y\n五,x\n'),
        ("a.csv", 'A report\n\n# made on Monday, by hand\ntext,label\n"一, ""二""",x\n"三；\n四",y\n五,x\n'),
        ("a.csv", 'A report,\ntext,label\n"一, ""二""",x\n"三；\n四",y\n五,x\n,\nTotal,3\n'),
        ("a.csv", 'text,label\n"一, ""二""",x\ntext,label\n"三；\n四",y\n五,x\n共 3 行\n'),
        ("a.csv", 'phrase,mood\n"一, ""二""",x\nphrase,mood\n"三；\n四",y\n五,x\n(3 rows)\n'),
        ("a.tsv", 'text\tlabel\n"一, ""二"""\tx\n"三；\n四"\ty\n五\tx\n'),
        ("a.tsv", 'text\tlabel\n"一, ""二"""\t"x"\n"三；\n四"\t"y"\n"五"\t"x"\n'),
        ("a.tsv", '五\tx\n"三；\n四"\ty\n"一, ""二"""\tx\n'),
        ("a.txt", '一, "二";x\n"三；\n四";y\n五;x\n'),
        ("a.txt", 'text|label\n一, "二"|x\n"三；\n四"|y\n五|x\n'),
        ("a.txt", 'text,label\n"一, ""二""",x\n"三；\n四",y\n五,x\n'),
    ],
)
def test_the_dialects_of_spreadsheets_and_programs_give_the_same_records(
    tmp_path: Path, name: str, content: str
) -> None:
    options = {"text_column": "phrase", "label_column": "mood"} if content.startswith("phrase") else {}
    assert sorted(pairs(table(tmp_path, name, content), **options)) == sorted(GOOD)


def test_commas_of_sentences_without_a_header_separate_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.txt:1: 1 column, and no header"):
        TextFiles(table(tmp_path, "a.txt", "a dog, a cat\na cow, a hen\n"))
    assert pairs(table(tmp_path, "a.txt", "a dog, a cat;x\na cow, a hen;y\n")) == [
        ("a dog, a cat", "x"),
        ("a cow, a hen", "y"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "评价内容,商品类目",
        "新闻标题,所属分类",
        "review_text,product_category",
        "Review Text,类别名称",
        "reviewBody,classLabel",
        "text,news_category",
    ],
)
def test_a_header_may_end_in_a_common_name(header: str, tmp_path: Path) -> None:
    file = table(tmp_path, "a.csv", f"编号,{header},review_id,评论时间\n1,一,x,7,8\n2,二,y,7,8\n")
    assert pairs(file) == [("一", "x"), ("二", "y")]


@pytest.mark.parametrize(
    "header",
    [
        "评价内容,评论内容,商品类目",
        "评价内容,商品类目,新闻分类",
        "review_id,stars,product_category",
        "评论时间,数,商品类目",
    ],
)
def test_a_header_that_is_not_certain_is_refused(header: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.csv:1: (which column is the|3 columns, and no header)"):
        TextFiles(table(tmp_path, "a.csv", f"{header}\n一,二,x\n三,四,y\n"))


def test_what_is_left_out_is_counted_with_its_place(tmp_path: Path) -> None:
    content = "# of 2024\ntext,label\n一,x\n二,y\ntext,label\n三,x\nTotal: 3\n"
    files = TextFiles(table(tmp_path, "a.csv", content))
    assert [record.place for record in files.records()["train"]] == ["a.csv:3", "a.csv:4", "a.csv:6"]
    assert files.report.counts == {
        TITLES: (1, ["a.csv:1"]),
        HEADERS: (1, ["a.csv:5"]),
        FOOTERS: (1, ["a.csv:7"]),
    }


@pytest.mark.parametrize("header", [",text,label", "Text , Label", ",0,1"])
def test_headers_of_joined_tables_are_no_records_whatever_their_first_name(tmp_path: Path, header: str) -> None:
    rows = ["1,一,x", "2,二,y"] if header[0] == "," else ["一,x", "二,y"]
    content = "\n".join([header, rows[0], header, rows[1], header.upper(), ""])
    options = {"text_column": "0", "label_column": "1"} if "0" in header else {}
    assert pairs(table(tmp_path, "a.csv", content), **options) == [("一", "x"), ("二", "y")]


def test_a_table_joined_to_one_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^a\.csv:4: another header, label, text: tables with other columns"):
        pairs(table(tmp_path, "a.csv", "text,label\n一,x\n二,y\nlabel,text\nx,三\n"))


def test_quotation_marks_that_are_text_stay_in_tsv(tmp_path: Path) -> None:
    content = '"Good" film\tx\nHe said "no\ty\n"quoted"\tx\n'
    assert pairs(table(tmp_path, "a.tsv", content)) == [
        ('"Good" film', "x"),
        ('He said "no', "y"),
        ('"quoted"', "x"),
    ]
    content = '"an open one\tx\nand "another"\ty\nlast "\tx\n'
    assert [text for text, _ in pairs(table(tmp_path, "b.tsv", content))] == [
        '"an open one',
        'and "another"',
        'last "',
    ]


def test_texts_and_labels_that_look_like_footers_or_titles_stay(tmp_path: Path) -> None:
    content = "".join(
        f"{text},{label}\n" for text, label in [("#fun and more", "1"), ("total failure", "0"), ("sum", "x")]
    )
    assert [text for text, _ in pairs(table(tmp_path, "a.csv", content))] == ["#fun and more", "total failure", "sum"]


def test_backslashes_that_escape_nothing_stay(tmp_path: Path) -> None:
    content = 'text,label\n"C:\\new \\"一\\"",x\n"二\\n三",y\n'
    assert pairs(table(tmp_path, "a.csv", content)) == [('C:\\new "一"', "x"), ("二\\n三", "y")]


@pytest.mark.parametrize(
    "content",
    [
        "__label__x 一 二\n__label__y 三\n",
        "__label__x\t一 二\n\n__label__y\t三\n",
        "一 二\t__label__x\n三\t__label__y\n",
    ],
)
def test_labels_of_fasttext_are_read(tmp_path: Path, content: str) -> None:
    assert pairs(table(tmp_path, "a.txt", content)) == [("一 二", "x"), ("三", "y")]


def test_several_labels_of_fasttext_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^a\.txt:2: 2 labels, 'x' and 'y': a document has one label.*multi-label"):
        pairs(table(tmp_path, "a.txt", "__label__x 一\n__label__x __label__y 二\n"))


@pytest.mark.parametrize(
    "whole",
    [
        {"text": {"0": "一", "7": "二"}, "label": {"0": 1, "7": 0}},
        {"columns": ["text", "label"], "index": [0, 7], "data": [["一", 1], ["二", 0]]},
        {"0": {"text": "一", "label": 1}, "7": {"text": "二", "label": 0}},
        {"text": ["一", "二"], "label": [1, 0]},
        {"schema": {"fields": []}, "data": [{"text": "一", "label": 1}, {"text": "二", "label": 0}]},
        [{"text": "一", "label": 1}, {"text": "二", "label": 0}],
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_every_form_of_json_that_pandas_writes_is_read(tmp_path: Path, whole: Any, indent: int | None) -> None:
    file = table(tmp_path, "a.json", json.dumps(whole, indent=indent))
    assert pairs(file) == [("一", "1"), ("二", "0")]


def test_columns_are_joined_by_name_and_by_number(tmp_path: Path) -> None:
    file = table(tmp_path, "a.csv", "title,description,class\n一,二,x\n三,四,y\n")
    files = TextFiles(file, text_column="title, description")
    assert next(files.records()["train"]).text == "一\n二"
    assert files.text_column == "title,description"
    file = table(tmp_path, "b.csv", "1,一,二\n2,三,四\n")
    files = TextFiles(file, text_column="2,3", label_column="1")
    assert [record.text for record in files.records()["train"]] == ["一\n二", "三\n四"]
    assert files.text_column == "2,3"
    with pytest.raises(UserError, match=r"--data\.text_column is 'titel', .* did you mean 'title'"):
        TextFiles(tmp_path / "a.csv", text_column="titel,description")


def test_a_headerless_table_whose_classes_are_named_beside_is_read_as_published(tmp_path: Path) -> None:
    table(tmp_path, "train.csv", '"2","一","二"\n"1","三","四"\n')
    table(tmp_path, "classes.txt", "World\nSports\n")
    table(tmp_path, "readme.txt", "About it\n")
    assert pairs(tmp_path) == [("一\n二", "Sports"), ("三\n四", "World")]
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"3 columns, and no header.*--data\.text_column 2,3 --data\.label_column 1"):
        TextFiles(tmp_path)


@pytest.mark.parametrize(
    "names", ["text_a\ttext_b", "sentence1\tsentence2", "premise\thypothesis", "query\ttitle", "question\tsentence"]
)
def test_pairs_of_texts_are_refused_or_joined_when_named(tmp_path: Path, names: str) -> None:
    file = table(tmp_path, "a.tsv", f"{names}\tlabel\n一\t二\t1\n三\t四\t0\n")
    joined = names.replace("\t", ",")
    with pytest.raises(UserError, match=rf"are a pair of texts.*--data\.text_column {joined}"):
        TextFiles(file)
    assert pairs(file, text_column=joined) == [("一\n二", "1"), ("三\n四", "0")]


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_names_of_rows_that_r_writes_have_no_header(tmp_path: Path, suffix: str) -> None:
    rows = '"text","label"\n"1","一","x"\n"2","二","y"\n'
    assert pairs(table(tmp_path, f"a.{suffix}", rows.replace(",", "\t") if suffix == "tsv" else rows)) == [
        ("一", "x"),
        ("二", "y"),
    ]


def test_prodigy_s_export_is_named(tmp_path: Path) -> None:
    rows = [{"text": text, "label": "x", "_input_hash": 1, "answer": "reject"} for text in "一二"]
    file = table(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"Prodigy's export.*--data\.label_column label, or accept"):
        TextFiles(file)
    assert pairs(file, label_column="label") == [("一", "x"), ("二", "x")]


def test_label_studio_s_full_export_is_named(tmp_path: Path) -> None:
    whole = [{"id": 1, "annotations": [], "data": {"text": "一"}}]
    with pytest.raises(UserError, match="this is Label Studio's full JSON; export as CSV or JSON-MIN"):
        pairs(table(tmp_path, "a.json", json.dumps(whole)))


def test_shards_of_a_split_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("# x", encoding="utf-8")
    for number, label in enumerate("xyx"):
        table(tmp_path, f"data/train-0000{number}-of-00003.jsonl", f'{{"text": "{number}", "label": "{label}"}}\n')
    table(tmp_path, "data/test-00000-of-00001.jsonl", '{"text": "t", "label": "x"}\n')
    files = TextFiles(tmp_path)
    assert pairs(tmp_path) == [("0", "x"), ("1", "y"), ("2", "x")]
    assert files.splits == ["train", "test"] and len(files.paths) == 4
    (tmp_path / "data/train-00001-of-00003.jsonl").unlink()
    with pytest.raises(UserError, match="2 of 3 shards are there"):
        TextFiles(tmp_path)


def test_a_packed_table_is_a_split_and_the_only_table(tmp_path: Path) -> None:
    import gzip

    for name in ("only/a.csv.gz", "splits/train.csv.gz", "splits/test.csv.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress("text,label\n一,x\n二,y\n".encode()))
    assert pairs(tmp_path / "only") == [("一", "x"), ("二", "y")]
    assert TextFiles(tmp_path / "splits").splits == ["train", "test"]


def test_a_stream_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.lines = ["text;label\n", "一;x\n", "二;y\n"]
            self.read_lines = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            line = self.lines.pop(0).encode() if self.lines else b""
            self.read_lines += 1
            buffer[: len(line)] = line
            return len(line)

    raw = Slow()
    lines = read_lines(io.BufferedReader(raw), "standard input", "utf-8")
    table = table_of_lines(lines, "standard input", "utf-8", "csv", size=1)
    assert table.columns == ["text", "label"]
    assert raw.read_lines <= 2
    assert next(table.rows).cells == {"text": "一", "label": "x"} and raw.read_lines <= 3
