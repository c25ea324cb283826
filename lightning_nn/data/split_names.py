"""Names of folders and files that say which split they hold: train, test_set, seg_train, cnews.val.txt, 训练集."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lightning_nn.data.normalization import normalize_text
from lightning_nn.errors import UserError

_NAMES = {
    "train": ("train", "training", "训练", "訓練"),
    "val": ("val", "dev", "valid", "validation", "验证", "驗證", "校验", "开发"),
    "test": ("test", "testing", "测试", "測試"),
}
SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}

# Words that say nothing about a class, so that `train_data` is a split, but `training_shoes` is not.
_NEUTRAL_WORDS = (
    "all clean cleaned corpora corpus csv data dataset datasets doc docs document documents example examples file "
    "files final full gz image images img imgs jpg json jsonl labeled labelled new of parquet part photo photos pic "
    "pics picture pictures processed raw sample samples seg set sets split splits subset text texts the tsv txt v "
    "xlsx 图 图像 图片 圖片 数据 數據 文件 文本 文档 样本 集 集合 語料 语料"
)
_NEUTRAL = frozenset(_NEUTRAL_WORDS.split(" "))
_CHINESE = "|".join(sorted((word for word in (*SPLIT_OF, *_NEUTRAL) if not word.isascii()), key=len, reverse=True))
_WORD = re.compile(rf"{_CHINESE}|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]")


def find_named_splits(root: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Find the folder or file that certainly holds each split, by the words of its name.

    `train` itself comes first, then a split word with neutral words or numbers (`train_data`, `TestSet`, `val2017`),
    then names that are alike but for the split word, one of them train (`cnews.train.txt`, `cnews.test.txt`).

    Args:
        root: named in errors.
        paths: folders and files of one folder.

    Raises:
        UserError: two for one split.
    """
    groups: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    for path in paths:
        words = list(split_words(path.name))
        if len(splits := splits_in(path.name)) == 1:
            rest = tuple(word for word in words if word not in SPLIT_OF and not _neutral(word))
            groups.setdefault(rest, {}).setdefault(splits.pop(), []).append(path)
    found = groups.pop((), {})
    if "train" not in found:
        for group in groups.values():
            if "train" in group and len(group) > 1:
                for split, more in group.items():
                    found.setdefault(split, []).extend(more)
    return {split: _only(root, split, some) for split, some in found.items()}


def is_exact(path: Path) -> bool:
    """Return whether a folder or file is called by a split word alone."""
    return path.name.lower() in SPLIT_OF or path.stem.lower() in SPLIT_OF


def splits_in(name: str) -> set[str]:
    """Return the splits that the words of a name speak of."""
    return {SPLIT_OF[word] for word in split_words(name) if word in SPLIT_OF}


def is_neutral(name: str) -> bool:
    """Return whether a name says nothing of a class, such as `images`, `data_2` or `test_images`."""
    return all(word in SPLIT_OF or _neutral(word) for word in split_words(name))


def distinct_name(name: str) -> tuple[str, ...]:
    """Return the words of a name that tell it from others: not those that are neutral, unless it is a number."""
    return tuple(word for word in split_words(name) if name.isdecimal() or not _neutral(word))


def _only(root: Path, split: str, paths: list[Path]) -> Path:
    first, *more = [path for path in paths if is_exact(path)] or paths
    if more:
        raise UserError(
            f"{root}: {first.name} and {more[0].name} both could be {split}; keep one of them, or join them; "
            "rename what is a class"
        )
    return first


def split_words(name: str, also: Collection[str] = ()) -> Iterator[str]:
    """Yield the words of a name in lower case, compounds such as `trainset` in two.

    Args:
        name: of a folder or file.
        also: words that may be the second half of a compound, as `annot` in `trainannot`.
    """
    name = normalize_text(name)
    if name.lower() in SPLIT_OF:
        yield name.lower()
        return
    for word in map(str.lower, _WORD.findall(name)):
        rests = {split: word[len(split) :] for split in SPLIT_OF if word.startswith(split)}
        first = next((split for split, rest in rests.items() if rest in _NEUTRAL or rest in also), None)
        yield from (word,) if first is None else (first, word[len(first) :])


def _neutral(word: str) -> bool:
    return word in _NEUTRAL or word.isdecimal()
