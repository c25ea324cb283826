"""Signs written in place of others are read as what they mean."""

import pytest

from lightning_nn.data.normalization import unescape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Came at noon.\\n\\nThe soup was cold.\\nWe left.", "Came at noon.\n\nThe soup was cold.\nWe left."),
        ("good food\\nbad service\\ngood price", "good food\nbad service\ngood price"),
        ('She said \\"go.\\"\\r\\nThen left', 'She said "go."\nThen left'),
        ("Q:\\nWhat?\\nA:\\nNothing", "Q:\nWhat?\nA:\nNothing"),
        ("cost $5.\\nCheap", "cost $5.\nCheap"),
        ("味道好\\n服务差", "味道好\n服务差"),
        ("list\\n- milk\\n- eggs\\n", "list\n- milk\n- eggs\n"),
        ("Saved.\\n\\nSee C:\\new\\notes and go on", "Saved.\n\nSee C:\\new\\notes and go on"),
        ("Cold.<br /><br />Rude.<BR>Late.<b>No</b>", "Cold.\n\nRude.\nLate.<b>No</b>"),
        ("Tom &amp; Jerry&#39;s &lt;br&gt;&#x4e2d;", "Tom & Jerry's \n中"),
        ("it&nbsp;is", "it\xa0is"),
    ],
)
def test_line_breaks_and_entities_are_read(text: str, expected: str) -> None:
    assert unescape(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It lies in C:\\new and in C:\\Users\\nick.",
        "user CORP\\nsmith cannot log in",
        "the share \\\\server\\new is full",
        "open ..\\new or %TEMP%\\new. Then stop",
        "Let $\\nu$ be the rate and $\\mu,\\nabla f$ the rest",
        "a \\neq b and \\nabla f",
        'How do I replace "\\n" in Java?',
        'printf("a\\n");',
        "replace \\n with a space",
        "two lines\nof code: s = 'a\\nB'",
        "R&D; AT&T; a<b; ?a=1&copy=2&lang=en",
        "a < br > b &unknown; &;",
    ],
)
def test_what_may_be_a_path_a_formula_or_code_stays(text: str) -> None:
    assert unescape(text) == text


def test_long_runs_take_linear_time() -> None:
    for sign in ("\\", "\\n", "&", "<br", "a\\na", "\\n ", "a\\nb ", "x:\\ "):
        unescape(sign * 20_000)
