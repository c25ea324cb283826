from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from lightning_nn.data.tables.rows import ReadingReport
from lightning_nn.data.tables.table import form_of, open_table
from lightning_nn.data.text.documents import TextFiles
from lightning_nn.errors import UserError

TABLE = "text,label\n一，二,x\n三,y\n"
CELLS = [{"text": "一，二", "label": "x"}, {"text": "三", "label": "y"}]


def cells(file: Path, **options: str) -> list[Any]:
    return [row.cells for row in open_table(file, **options).rows]


def workbook(file: Path, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.create_sheet("second").append(["no"])
    for row in rows:
        book.worksheets[0].append(row)
    book.save(file)
    return file


def parquet(file: Path, columns: dict[str, list[Any]], names: list[str] | None = None) -> Path:
    table = pyarrow.table(columns)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, file)
    return file


def test_packed_tables_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.CSV.gz").write_bytes(gzip.compress(TABLE.encode("gb18030")))
    assert cells(tmp_path / "a.CSV.gz", encoding="gb18030") == CELLS
    (tmp_path / "b.gz").write_bytes(gzip.compress(TABLE.encode()))
    assert cells(tmp_path / "b.gz", form="csv") == CELLS
    assert [form_of(Path(name)) for name in ("a.tsv.gz", "a.gz", "a.xlsx.gz", "a.parquet", "a.doc")] == [
        "tsv",
        None,
        None,
        "parquet",
        None,
    ]


def test_a_gzip_file_that_no_text_makes_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as file:
        for _ in range(70):
            file.write(bytes(1 << 20))
    with pytest.raises(UserError, match=r"bomb\.csv\.gz unpacks to over 64 MB, 200 times its size"):
        cells(tmp_path / "bomb.csv.gz")
    (tmp_path / "half.csv.gz").write_bytes(gzip.compress(TABLE.encode())[:-9])
    with pytest.raises(UserError, match=r"half\.csv\.gz is damaged or not complete"):
        cells(tmp_path / "half.csv.gz")


def test_a_workbook_is_the_rows_of_its_first_sheet(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", [["text", "label", None], ["一，二", 1], [], ["三", 2.0], [None, 2.5]])
    table = open_table(file)
    rows = list(table.rows)
    assert table.columns == ["text", "label"] and table.place == "a.xlsx:1"
    assert [[*row.cells.values()] for row in rows] == [["一，二", "1"], ["三", "2"], ["", "2.5"]]
    assert [row.place for row in rows] == ["a.xlsx:2", "a.xlsx:4", "a.xlsx:5"]
    file = workbook(tmp_path / "b.xlsx", [["text", "label"], ["一", 1], ["二", 2.0]])
    assert [tuple(record) for record in TextFiles(file).records()["train"]] == [
        ("一", "1", "b.xlsx:2"),
        ("二", "2", "b.xlsx:3"),
    ]


def test_a_workbook_by_another_name_and_with_several_sheets(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["text", "label"], ["一", 1]):
        book.create_sheet("Daten" if len(book.worksheets) == 1 else "More").append(row)
    book.save(tmp_path / "a.bin")
    report = ReadingReport()
    assert open_table(tmp_path / "a.bin", form="xlsx", report=report).columns == ["text", "label"]
    assert [*report.notes()] == [
        "1 workbook with several sheets, of which the first that holds rows is read (Daten of a.bin)"
    ]


def test_a_parquet_file_gives_rows_by_name_and_the_names_of_its_classes(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", {"text": ["一", "二", None], "label": [1, 0, -1]}, ["neg", "pos"])
    assert cells(file) == [
        {"text": "一", "label": "pos"},
        {"text": "二", "label": "neg"},
        {"text": None, "label": None},
    ]
    assert open_table(file).place == "a.parquet, row 1"
    file = parquet(tmp_path / "b.parquet", {"text": ["一", "二"], "label": [1, 0]})
    assert [record.label for record in TextFiles(file).records()["train"]] == ["1", "0"]
    file.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(UserError, match=r"b\.parquet is damaged or not a Parquet file"):
        cells(file)


def office(file: Path, inside: str) -> bytes:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(inside, "x")
    return file.read_bytes()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json", "a.zip", "x/a.txt"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("xl/workbook.xml", "is an Excel workbook, not text: rename it to .xlsx"),
        ("word/document.xml", "is a Word document, not text: save"),
        ("data.csv", "is an Office file, not text"),
        (b"PK\x05\x06", "is a zip archive, not text: unpack it"),
        (b"\x1f\x8b\x08", r"is a gzip file, not text: end its name in \.gz"),
        (b"PAR1\x15", r"is a Parquet file, not text: rename it to \.parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"is an old Office file \(\.xls or \.doc\), not text: save it as"),
        (b"%PDF-1.7\n", "is a PDF document, not text"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG picture, not text: expected text"),
        (b"\xff\xd8\xff\xe0", "is a JPEG picture, not text"),
        (bytes(257) + b"ustar", "is a tar archive, not text: unpack it"),
    ],
)
def test_binary_files_are_named_for_what_they_are(tmp_path: Path, name: str, kind: str | bytes, message: str) -> None:
    file = tmp_path / "data" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(kind if isinstance(kind, bytes) else office(tmp_path / "zip", kind))
    if name.startswith("x/"):
        (file.parent.parent / "y").mkdir()
        (file.parent.parent / "y" / "1.txt").write_text("一", encoding="utf-8")
        file = file.parent.parent
    with pytest.raises(UserError, match=message) as caught:
        list(TextFiles(file, encoding="gb18030").records()["train"])
    assert "--data.encoding" not in str(caught.value)


def test_a_text_called_by_a_binary_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text(TABLE, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.xlsx is not an Excel workbook"):
        cells(tmp_path / "a.xlsx")
    parquet(tmp_path / "b.parquet", {"text": ["一"]}).rename(tmp_path / "b.xlsx")
    with pytest.raises(UserError, match=r"b\.xlsx is a Parquet file, not text: rename it to \.parquet"):
        cells(tmp_path / "b.xlsx")
