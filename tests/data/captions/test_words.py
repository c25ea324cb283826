from __future__ import annotations

import pytest

from lightning_nn.data.captions.words import Tokenizer, english_words
from lightning_nn.errors import UserError
from tests.data.captions.ptb_fixture import PTB


@pytest.mark.parametrize("sentence", PTB)
def test_english_words_are_those_of_the_reference(sentence: str) -> None:
    assert english_words(sentence) == PTB[sentence].split()


@pytest.mark.parametrize(
    ("typographic", "words"),
    [
        ("A man’s bike", "a man 's bike"),
        ("“Dogs” and ‘cats’ and «birds»", "dogs and cats and birds"),
        ("A man – or a woman—smiles", "a man or a woman smiles"),
        ("A dog…runs to a…", "a dog runs to a"),
        ("a mother‑in‑law", "a mother-in-law"),
        ("it’s a “mid-air” trick…", "it 's a mid-air trick"),
    ],
)
def test_typographic_signs_are_those_of_a_typewriter(typographic: str, words: str) -> None:
    assert english_words(typographic) == words.split()


def test_chinese_is_cut_into_words_or_characters_without_punctuation() -> None:
    caption = "两只狗，在草地上奔跑。 ＡBC!"
    assert Tokenizer("zh", "words")(caption) == ["两只", "狗", "在", "草地", "上", "奔跑", "ABC"]
    assert Tokenizer("zh", "chars")(caption) == [*"两只狗在草地上奔跑ABC"]


@pytest.mark.parametrize("caption", ["", " ", " . ", "?!", "（）。"])
def test_a_caption_of_punctuation_has_no_words(caption: str) -> None:
    assert Tokenizer("zh", "words")(caption) == Tokenizer("zh", "chars")(caption) == []
    assert not caption.isascii() or Tokenizer("en", "words")(caption) == []


def test_english_is_not_split_into_characters() -> None:
    with pytest.raises(UserError, match=r"--data.vocabulary.tokens chars is for Chinese"):
        Tokenizer("en", "chars")
