"""Inputs of predict: lines and tables of every form, with a record for whatever is in them."""

from __future__ import annotations

import gzip
import io
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from lightning_nn.data.processor import Record
from lightning_nn.data.text.processor import read_inputs
from lightning_nn.errors import UserError

HEADER = "id,text,label\n"
ROWS = '0,一。,1\n1,"二，\n三",-1\n'


def read(file: Path | str | None, trained: str = "", stdin: bytes = b"", **options: Any) -> tuple[list[Record], str]:
    """Return the records and what is said."""
    said: list[str] = []
    given = {"text": None, "encoding": "utf-8", "form": None, "text_column": None, **options}
    name = None if file is None else str(file)
    records = list(
        read_inputs(Namespace(files=[name] if name else [], stdin=io.BytesIO(stdin), say=said.append, **given), trained)
    )
    return records, "\n".join(said)


def write(file: Path, text: str, encoding: str = "utf-8") -> Path:
    file.write_bytes(text.encode(encoding))
    return file


def raws(records: list[Record]) -> list[str]:
    return [record.raw for record in records]


def errors(records: list[Record]) -> list[str | None]:
    return [record.error for record in records]


def test_texts_one_by_one_can_all_be_read() -> None:
    assert read(None, text=["一", ""])[0] == [Record("一", {"input": "一"}), Record("", {"input": ""})]
    with pytest.raises(UserError, match="text_column text is for a table"):
        read(None, text=["一"], text_column="text")


def test_a_text_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "\ufeff一\r\n二\u2028三\n")
    assert raws(read(file)[0]) == ["一", "二\u2028三"] and errors(read(file)[0]) == ["", ""]
    assert raws(read("-", encoding="gb18030", stdin="一\n二".encode("gb18030"))[0]) == ["一", "二"]
    assert raws(read("-", encoding="utf-16", stdin="一\n二".encode("utf-16"))[0]) == ["一", "二"]
    file.write_bytes(gzip.compress("一\n".encode()))
    assert raws(read(file.rename(tmp_path / "a.txt.gz"))[0]) == ["一"]
    for missing in (tmp_path, tmp_path / "missing.txt"):
        with pytest.raises(UserError, match="one text per line"):
            read(missing)


def test_a_line_that_can_not_be_read_is_a_record_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("一\n \n".encode() + b"a\xff\n" + "三".encode())
    records, _ = read(tmp_path / "a.txt")
    assert raws(records) == ["一", "", "", "三"] and records[2].cells == {"input": "a\ufffd"}
    assert [bool(error) for error in errors(records)] == [False, True, True, False]
    assert "a.txt:2: no text" in str(records[1].error) and "a.txt:3: byte 0xff" in str(records[2].error)


@pytest.mark.parametrize("where", ["file", "stdin", "gz"])
def test_the_table_of_training_with_all_its_columns(where: str, tmp_path: Path) -> None:
    content = (HEADER + ROWS).encode()
    if where == "stdin":
        records, said = read("-", "text", stdin=content, form="csv")
    else:
        file = tmp_path / ("a.csv" if where == "file" else "a.csv.gz")
        file.write_bytes(content if where == "file" else gzip.compress(content))
        records, said = read(file, "text")
    assert records == [
        Record("一。", {"id": "0", "text": "一。", "label": "1"}, "", ["id", "text", "label"]),
        Record("二，\n三", {"id": "1", "text": "二，\n三", "label": "-1"}, "", ["id", "text", "label"]),
    ]
    assert said.startswith("text: text of") and said.endswith("as in training")


@pytest.mark.parametrize(
    ("content", "trained", "given", "text"),
    [
        ("id,review\n1,一\n", "review", None, "一"),
        ("id,content\n1,一\n", "review", None, "一"),  # by its name
        ("content,label\n一,x\n", "", None, "一"),
        ("评语,n\n一,2\n", "评语", None, "一"),
        ("评语,n\n一,2\n", "text", "评语", "一"),
        ("text,n\n一,2\n", "text", "n", "2"),
        ("text,n\n一,2\n", "text", "1", "一"),
        ("x,一\n", "2", None, "一"),  # without a header
        ("一\n", "1", None, "一"),
        ("x,一,y\n", "text", "2", "一"),
        ("title,body\n一,二\n", "title,body", None, "一\n二"),
        ("title,body\n一,二\n", "text", "body,title", "二\n一"),
    ],
)
def test_the_column_of_the_text(content: str, trained: str, given: str | None, text: str, tmp_path: Path) -> None:
    records, said = read(write(tmp_path / "a.csv", content), trained, text_column=given)
    assert raws(records) == [text] and errors(records) == [""] and "a.csv" in said


@pytest.mark.parametrize(
    ("content", "trained", "given"),
    [
        ("id,remark\n1,一\n", "review", None),
        ("title,content\n一,二\n", "review", None),
        ("title,content\n一,二\n", "2", None),  # numbers are of tables without a header
        ("一,二\n三,四\n", "", None),
        ("一\n二\n", "2", None),
        ("一\n二\n", "text", None),
        ("text,text\n一,二\n", "text", None),
        ("text,n\n一,2\n", "text", "txt"),
        ("text,n\n一,2\n", "text", "3"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_columns_there_are(
    content: str, trained: str, given: str | None, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        read(write(tmp_path / "a.csv", content), trained, text_column=given)
    first = content.partition("\n")[0].replace(",", ", ")
    assert "a.csv:1" in str(caught.value)
    assert first in str(caught.value) or "text_column" in str(caught.value) or "called 'text'" in str(caught.value)


def test_each_row_is_a_record(tmp_path: Path) -> None:
    content = HEADER.encode() + "0,一,1\n1,二\n2, ,1\n".encode() + b"3,\xff,1\n" + b'x"y,"a"b,1\n'
    (tmp_path / "a.csv").write_bytes(content + HEADER.encode() + "5,三,1\n".encode())
    records, said = read(tmp_path / "a.csv", "text")
    assert raws(records) == ["一", "", "", "", "", "三"]
    expected = ["", ":3: 2 columns, expected 3", ":4: no text", ":5: bytes that are not utf-8", ":6: the record", ""]
    for error, words in zip(errors(records), expected, strict=True):
        assert words in str(error) and bool(words) == bool(error)
    assert [record.cells.get("id") for record in records] == ["0", "1", "2", "3", None, "5"]
    assert "the header, repeated 1 time" in said and "a.csv:7" in said


def test_a_quotation_mark_that_swallows_the_rest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv:3: a quotation mark"):
        read(write(tmp_path / "a.csv", HEADER + '0,一,1\n1,"二,1\n2,三,1\n'), "text")


def test_lines_of_json(tmp_path: Path) -> None:
    lines = ["{", '{"text": "一", "n": 1.5}', "[1]", '{"n": 2}', '{"text": {"a": 1}}', '{"text": "二", "new": null}']
    file = write(tmp_path / "a.jsonl", "\n".join(lines))
    records, _ = read(file, "text")
    assert raws(records) == ["", "一", "", "", "", "二"]
    assert [bool(error) for error in errors(records)] == [True, False, True, True, True, False]
    assert records[1].cells == {"text": "一", "n": 1.5} and records[0].columns == ["text", "n", "new"]
    assert "a.jsonl:1" in str(records[0].error) and "a.jsonl:4: no 'text'; there are: n" in str(records[3].error)
    assert read("-", "text", stdin=lines[1].encode(), form="jsonl")[0][0].raw == "一"
    only = write(tmp_path / "only.json", json.dumps([{"remark": "一"}, {"remark": "二"}]))
    assert raws(read(only)[0]) == ["一", "二"]


def test_lines_with_tabs_are_a_table_if_the_model_was_trained_on_one(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "一\tx\n\n二\ty\n")
    for trained, given in (("1", None), ("text", "1")):
        records, said = read(file, trained, text_column=given)
        assert raws(records) == ["一", "二"] and "--data.format text" in said
        assert records[0].cells == {"column_1": "一", "column_2": "x"}
    assert raws(read("-", "1", stdin=file.read_bytes())[0]) == ["一", "二"]
    with pytest.raises(UserError, match="which column is the text"):
        read(file, "text")
    assert raws(read(file, "1", form="text")[0]) == ["一\tx", "", "二\ty"]
    records, said = read(file)
    assert raws(records) == ["一\tx", "", "二\ty"] and "--data.format tsv" in said
    assert raws(read(write(file, "一\tx\n二\n"), "1")[0]) == ["一\tx", "二"]


def test_a_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["text", "n"], ["一", 1], [None, 2]):
        book.worksheets[0].append(row)
    book.save(tmp_path / "a.xlsx")
    records, _ = read(tmp_path / "a.xlsx", "text")
    assert raws(records) == ["一", ""] and "no text" in str(records[1].error)
    (tmp_path / "a.xlsx").rename(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"a\.txt is an (Excel workbook|Office file)"):
        read(tmp_path / "a.txt")
    with pytest.raises(UserError, match="needs a file"):
        read("-", form="xlsx")


def test_a_parquet_table(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["一", None], "n": [1.0, 2.0]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    records, said = read(tmp_path / "a.parquet", "text")
    assert said == f"text: text of {tmp_path / 'a.parquet'}, as in training"
    assert [record.cells for record in records] == [{"text": "一", "n": 1.0}, {"text": None, "n": 2.0}]
    assert raws(records) == ["一", ""] and errors(records) == ["", "a.parquet, row 2: no text in text"]
    (tmp_path / "a.parquet").rename(tmp_path / "a.bin")
    assert raws(read(tmp_path / "a.bin", "text", form="parquet")[0]) == ["一", ""]


def test_a_table_in_another_encoding_is_told_which(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text,label\nGröße und Maße für Öl,x\n", "cp1252")
    records, _ = read(file, "text")
    assert errors(records) == [
        f"{file}:2: bytes that are not utf-8; if this is a Western file, use --data.encoding cp1252"
    ]
    with pytest.raises(UserError, match=r"a\.txt:1: byte 0xff .*--data\.encoding utf-16$"):
        read(write(tmp_path / "a.txt", "文本\n文字\n", "utf-16"))


def test_binary_files_are_refused_by_their_bytes(tmp_path: Path) -> None:
    for name in ("a.docx", "a.txt", "a", "a.csv"):
        (tmp_path / name).write_bytes(b"%PDF-1.7\n\xff\xfe")
        with pytest.raises(UserError, match="a PDF document"):
            read(tmp_path / name, "text")
    with pytest.raises(UserError, match="standard input is a PNG picture"):
        read("-", stdin=b"\x89PNG\r\n\x1a\n\0\0")


@pytest.mark.seconds
def test_a_gzip_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
        file.write(b"text,n\n")
        for _ in range(70):
            file.write(b"1," + b"2" * (1 << 20) + b"\n")
    with pytest.raises(UserError, match="unpacks to over 64 MB"):
        read(tmp_path / "a.csv.gz", "text")


def test_a_table_without_rows_and_texts_beside_a_table_are_refused(tmp_path: Path) -> None:
    for content, words in (("", "is empty"), (HEADER, "no rows")):
        with pytest.raises(UserError, match=words):
            read(write(tmp_path / "a.csv", content), "text")
    with pytest.raises(UserError, match="other columns"):
        read(write(tmp_path / "a.csv", HEADER + ROWS), "text", text=["一"])


def test_columns_of_the_same_name_are_all_kept(tmp_path: Path) -> None:
    records, said = read(write(tmp_path / "a.csv", "text,n,n,\n一,1,2,3\n"), "text")
    assert records[0].cells == {"text": "一", "n": "1", "n_2": "2", "": "3"} and "n_2" in said
