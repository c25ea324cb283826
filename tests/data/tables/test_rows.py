"""Report on what happened while documents were read."""

import pytest

from lightning_nn.data.tables.rows import ReadingReport, Skipping
from lightning_nn.data.text.corpus_building import EMPTY_CLASSES, NO_WORDS
from lightning_nn.errors import UserError


def test_a_kind_is_counted_and_its_first_places_are_named() -> None:
    report = ReadingReport()
    for line in range(2, 1202):
        report.add(NO_WORDS, f"a.csv:{line}")
    report.add(EMPTY_CLASSES, "void")
    assert report.count(NO_WORDS) == 1200
    assert list(ReadingReport(report.counts).notes()) == [
        "skipped: 1,200 documents without words (a.csv:2, a.csv:3, a.csv:4, ...)",
        "not a category, because no document of it has words: 1 label (void)",
    ]


def test_a_fifth_of_the_rows_may_be_left_out_and_no_more() -> None:
    skipping = Skipping("skip", ReadingReport())
    skipping.check("a.csv", 20, 100, "a.csv:3")
    with pytest.raises(UserError, match=r"a.csv: 21 of 100 can't be read, more than the 20% .* The first: a.csv:3"):
        skipping.check("a.csv", 21, 100, "a.csv:3")
