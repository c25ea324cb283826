"""Tables of values as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from lightning_nn.sanitize import is_formula, without_controls
from lightning_nn.tasks.artifacts import Table


def csv_text(table: Table) -> str:
    """Write a table as CSV; a list of texts is JSON, a fraction has six decimals.

    It begins with the byte order mark by which a spreadsheet knows UTF-8; texts that it would read as formulas have a '
    before them.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerows([_cell(value) for value in row] for row in [table.columns, *table.rows])
    return "\ufeff" + out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    text = without_controls(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f"'{text}" if isinstance(value, str) and is_formula(text) else text
