from __future__ import annotations

from pathlib import Path

import pytest

from lightning_nn.data.tables.reading import suggest_encoding
from lightning_nn.data.text.documents import TextFiles
from lightning_nn.errors import UserError


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("The alt it’s text 0.\n", "cp1252"),
        ("café, naïve “quoted” – dash", "cp1252"),
        ("Größe und Maße für Öl", "cp1252"),
        ("这家店的服务很差，菜不新鲜。", "gb18030"),
        ("体育\tNBA final of the year, in English mostly, 很好", "gb18030"),
        ("這家店的服務很差，菜不新鮮。", "big5"),
        ("この店のサービスはとても悪い。", "shift_jis"),
        ("plain", "utf-16"),
        ("plain", "utf-16-le"),
        ("plain", "utf-16-be"),
    ],
)
def test_the_encoding_is_the_one_that_decodes_to_sense(text: str, encoding: str) -> None:
    assert suggest_encoding(text.encode(encoding)) == encoding


def test_the_lines_below_a_short_header_tell_its_encoding(tmp_path: Path) -> None:
    rows = "評論,標籤\n" + "這家店的服務很差，菜不新鮮。,差\n" * 9
    (tmp_path / "a.csv").write_bytes(rows.encode("big5"))
    with pytest.raises(UserError, match=r"a\.csv:1: .*--data\.encoding big5"):
        TextFiles(tmp_path / "a.csv")
    rows = "text,label\nxna\xefve,a\n".encode("latin-1") + "naïve,b\n".encode() * 20
    (tmp_path / "a.csv").write_bytes(rows)
    with pytest.raises(UserError, match=r"a\.csv:2: .*--data\.encoding cp1252; to leave such rows out"):
        TextFiles(tmp_path / "a.csv")


def test_english_with_curved_quotes_is_not_told_to_be_chinese(tmp_path: Path) -> None:
    for name in ("x/1.txt", "y/1.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"From: a@example.org\n\nThe alt it\x92s text 0.\n")
    with pytest.raises(UserError, match=r"x/1\.txt:3: byte 0x92 .*if this is a Western file.*--data\.encoding cp1252"):
        list(TextFiles(tmp_path).records()["train"])
    assert next(TextFiles(tmp_path, "cp1252").records()["train"]).text.endswith("The alt it’s text 0.\n")
