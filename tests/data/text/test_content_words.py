"""Content words, and texts whose content words a model does not know."""

from __future__ import annotations

from lightning_nn.data.text.content_words import UnknownContent, is_content
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.data.text.segmenter import Segmenter
from lightning_nn.data.text.vocabulary import Vocabulary


def test_words_of_grammar_numbers_and_signs_are_no_content_words() -> None:
    words = ["球队", "在", "最后", "一分钟", "进球", "，", "赢得", "了", "比赛", "。", "2026", "3.5"]
    assert [word for word in words if is_content(word)] == ["球队", "一分钟", "进球", "赢得", "比赛"]
    english = Segmenter("words")("The team didn't score until 9:15, which wasn't what it had hoped for.")
    assert [word for word in english if is_content(word)] == ["team", "score", "hoped"]
    assert [character for character in "我们的球队赢了" if is_content(character)] == ["球", "队", "赢"]


def test_a_text_is_unfamiliar_if_most_of_its_content_words_are_unknown() -> None:
    count, known = UnknownContent(), Vocabulary(["<unk>", "the", "was", "a", "good", "film"])
    for text in ("the film was a surprise", "a good surprise", "the the the surprise", "", "42 !", "<unk>"):
        count.add(text.split(), known)
    assert (count.texts, count.unfamiliar) == (5, 3), "half is not most; of a text without content all words count"
    assert (count.words, count.counted) == (["surprise"], 1), "of the first unfamiliar text"
    count.clear()
    assert (count.texts, count.unfamiliar, count.words) == (0, 0, [])


def test_a_sentence_on_football_is_unfamiliar_to_a_vocabulary_without_it() -> None:
    known = ["<unk>", "。", "，", "的", "在", "了", "最后", "比赛", "学校", "学生"]
    processor = TextProcessor(["education", "sports"], known, "jieba", [], 100, 100)
    processor.encode(["球队在最后一分钟进球，赢得了比赛。", "学生在学校的比赛。"])
    count = processor.unknown_words
    assert (count.texts, count.unfamiliar) == (2, 1)
    assert (count.words, count.counted) == (["球队", "一分钟", "进球", "赢得"], 5)
