"""Names of options on a command line."""

from __future__ import annotations

import pytest

from lightning_nn.cli.parser import full_names

OPTIONS = ["data.path", "data.seed", "data.splits.seed", "data.vocabulary.min_count", "model.search.beam"]
OPTIONS += ["model.encoder.network", "model.other.network"]


@pytest.mark.parametrize(
    ("argv", "full"),
    [
        ("--data.min_count 3", "--data.vocabulary.min_count 3"),
        ("--model.beam=5 --data.path x", "--model.search.beam=5 --data.path x"),
        ("--data.vocabulary.min_count 3 -c min_count", "--data.vocabulary.min_count 3 -c min_count"),
        ("--data.seed 1", "--data.seed 1"),
        ("--model.network x", "--model.network x"),
        ("--min_count 3 --model.min_count 3", "--min_count 3 --model.min_count 3"),
    ],
)
def test_the_name_of_a_group_may_be_left_out_where_no_other_option_is_called_so(argv: str, full: str) -> None:
    assert full_names(argv.split(), OPTIONS) == full.split()
