"""Images and their masks in folders: which file belongs to which, and to which split.

The folders that a file lies in say its role, image or mask, and its split; what they say besides, and the name of the
file, tell which mask belongs to which image.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from lightning_nn.data.images.image_files import SUFFIXES, image_files
from lightning_nn.data.segmentation.classes import decode_list
from lightning_nn.data.tables.folders import SPLIT_OF, SPLITS, is_neutral, split_words
from lightning_nn.errors import UserError

_IMAGE_WORDS = (
    "image images img imgs pic pics picture pictures photo photos jpeg jpg frame frames original originals input "
    "inputs rgb sat leftimg 图 图像 图片 圖片 原图 影像"
)
_MASK_WORDS = (
    "mask masks label labels annotation annotations annot annots ann anno annos gt gts groundtruth truth target "
    "targets seg segmentation segmentations trimap trimaps manual matte mattes 掩码 掩膜 掩模 标签 标注 遮罩"
)
_FILLER_WORDS = "class png raw fine coarse st nd full dir ground left bit"
_SHOWN_WORDS = (  # of folders that show masks, or something else of them
    "visualization visualizations viz vis overlay overlays preview object objects instance instances npy color colors "
    "colored colour colours superpixels"
)
_IMAGE, _MASK, _FILLERS, _SHOWN = (
    frozenset(words.split(" ")) for words in (_IMAGE_WORDS, _MASK_WORDS, _FILLER_WORDS, _SHOWN_WORDS)
)
_STEMS = _MASK | {"L", "labelIds", "labelTrainIds"}  # words of the names of masks beside their images
_PREFERRED = ("labelTrainIds", "labelIds", "machine")  # of several masks of an image; the others show the same
_LOSSY = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
_LISTS = ("ImageSets/Segmentation", "ImageSets", "annotations", ".")  # folders of lists of the splits
_TOKENS = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
_REMEDY = (
    "expected images/ and masks/, train/images/ and train/masks/, images/train/ and masks/train/, train/ and "
    "trainannot/, or JPEGImages/ and SegmentationClass/; a mask is called like its image, or all masks with the same "
    "addition, such as _mask"
)

Role = Literal["image", "mask", "shown"]


class Pair(NamedTuple):
    """An image file and the file of its mask."""

    image: Path
    mask: Path


class FoundPairs(NamedTuple):
    """Images with their masks.

    Attributes:
        splits: pairs by the name of the split, in the order of their names.
        notes: remarks for the user, such as folders that are passed over.
        are_trimaps: whether the masks are those of Oxford's pets.
    """

    splits: dict[str, list[Pair]]
    notes: list[str]
    are_trimaps: bool


class _File(NamedTuple):
    """An image or a mask, and what its folders say of it.

    Attributes:
        parts: folders that say neither role nor split.
        kind: the folder that says the role; "" for none.
    """

    path: Path
    split: str | None
    role: Role | None
    parts: tuple[str, ...]
    kind: str

    @property
    def stem(self) -> str:
        return self.path.stem


def find_pairs(root: Path) -> FoundPairs:
    """Find the images and masks of each split.

    Folders are known by the words of their names: `images`, `img_dir`, `JPEGImages`; `masks`, `annotations`,
    `SegmentationClass`; `train`, `valid`, `Test`, in any order, as in `train/images`, `images/train` and `trainannot`.
    Images and masks may also share a folder, if all masks have the same addition to their names, or images alone are
    JPEG. Where no folder names a split, lists do: `train.txt`, `val.txt`, `test.txt` or `trainval.txt` in the folder
    itself, in `annotations` or in `ImageSets/Segmentation`. Without them all is train.

    Args:
        root: the folder.

    Raises:
        UserError: there is no such folder, no mask belongs to an image, some images have none or several, nothing is
            left of a split that is given, or a list names what is not there.
    """
    if not root.is_dir():
        raise UserError(f"{root}: {'not a folder' if root.exists() else 'there is no such folder'}; see --data.path")
    paths, others = image_files(root)
    root = _innermost(root, paths)
    files, passed = _with_roles(_files(root, paths))
    images = [file for file in files if file.role == "image"]
    masks = [file for file in files if file.role == "mask"]
    if not images or not masks:
        raise _nothing_found(root, paths, others)
    pairs, matched, addition = _match(root, images, masks)
    lists = {} if any(file.split for file in images) else _lists(root)
    if lists:
        splits = _listed(root, lists, pairs)
    else:
        passed += _check_alone(pairs, matched, images, masks)
        splits = _by_split(pairs, passed)
        _check_splits(splits, files)
    notes = [f"masks are called like their images, with {addition!r} added"] if addition else []
    if lists and (unlisted := len(pairs) - len({pair.image for split in splits.values() for pair in split})) > 0:
        notes.append(f"not read, as no list names them: {unlisted:,} images with masks")
    if passed:
        folders = Counter(str(file.path.parent.relative_to(root)) for file in passed)
        named = ", ".join(f"{folder} ({count:,})" for folder, count in list(folders.items())[:4])
        more = ", ..." if len(folders) > 4 else ""
        notes.append(f"passed over, with no counterpart or in no split: files in {named}{more}")
    return FoundPairs(splits, notes, (root / "annotations/trimaps").is_dir())


def _innermost(root: Path, paths: Sequence[Path]) -> Path:
    """Return the folder that holds all files, but none that a split is called by: its name says nothing of them."""
    for parts in zip(*{path.parent.relative_to(root).parts for path in paths}, strict=False):
        if len(set(parts)) > 1 or set(_words(parts[0])) & SPLIT_OF.keys():
            break
        root /= parts[0]
    return root


def _files(root: Path, paths: Sequence[Path]) -> list[_File]:
    """Tell role and split of each file by its folders."""
    told: dict[Path, _File] = {}
    for path in paths:
        if path.parent not in told:
            told[path.parent] = _told(path, path.parent.relative_to(root).parts)
    return [told[path.parent]._replace(path=path) for path in paths]


def _told(path: Path, folders: tuple[str, ...]) -> _File:
    split, role, kind, rest = None, None, "", []
    is_pure = False
    for folder in folders:
        words = _words(folder)
        its_split = next((SPLIT_OF[word] for word in words if word in SPLIT_OF), None)
        its_role: Role | None = "mask" if _MASK & {*words} else "image" if _IMAGE & {*words} else None
        if its_role and _SHOWN & {*words}:
            its_role = "shown"
        pure = all(w in _MASK or w in _IMAGE or w in _FILLERS or is_neutral(w) for w in words)
        split = split or its_split
        if its_role and (pure or not is_pure):  # the innermost folder that says nothing else, if there is one
            role, kind, is_pure = its_role, folder, pure
        if not its_role and not its_split:
            rest.append(folder)
    return _File(path, split, role, tuple(rest), kind)


def _words(folder: str) -> list[str]:
    chinese = [word for word in sorted(_MASK | _IMAGE) if not word.isascii() and word in folder]
    return [*split_words(folder, also=_MASK | _IMAGE), *chinese]


def _with_roles(files: Sequence[_File]) -> tuple[list[_File], list[_File]]:
    """Give each file its role, and set those apart that have none."""
    roles = {file.role for file in files}
    if "mask" not in roles and "shown" in roles and "image" in roles:
        files = [file._replace(role="mask") if file.role == "shown" else file for file in files]
    elif "mask" not in roles:
        return _beside(files), []
    if "image" not in roles:
        files = [file._replace(role=file.role or "image") for file in files]
    known = [file for file in files if file.role in ("image", "mask")]
    return known, [file for file in files if file.role not in ("image", "mask")]


def _beside(files: Sequence[_File]) -> list[_File]:
    """Tell masks from the images beside them, by a word in their names or by the kind of their files."""
    named = [file for file in files if _STEMS & {*_ends(file.stem)}]
    if 0 < len(named) < len(files):
        masks = set(named)
    else:
        stems = Counter((file.path.parent, file.stem) for file in files)
        lossy = {(file.path.parent, file.stem) for file in files if file.path.suffix.lower() in _LOSSY}
        masks = {
            file
            for file in files
            if stems[key := (file.path.parent, file.stem)] == 2
            and key in lossy
            and file.path.suffix.lower() not in _LOSSY
        }
    return [file._replace(role="mask" if file in masks else "image") for file in files]


def _ends(stem: str) -> tuple[str, str]:
    """Return the first and the last word of a name."""
    tokens = [token for token in _TOKENS.findall(stem) if token[0].isalnum()]
    words = [token if token in _STEMS else token.lower() for token in tokens if not token.isdecimal()] or [""]
    return words[0], words[-1]


def _match(root: Path, images: Sequence[_File], masks: Sequence[_File]) -> tuple[dict[_File, Path], set[Path], str]:
    """Find the mask of each image that has one, all masks that belong to an image, and the addition to their names."""
    index: dict[tuple[str | None, tuple[str, ...], str], _File | None] = {}
    for image in images:
        if other := index.get(key := (image.split, image.parts, image.stem)):
            raise UserError(f"{image.path} and {other.path}: two files of one name; remove one")
        index[key] = image
    for image in images:
        if (core := _core(image.stem)) != image.stem:
            key = image.split, image.parts, core
            index[key] = None if key in index else image
    candidates: dict[_File, dict[tuple[str, str], Path]] = defaultdict(dict)
    splits = {image.split for image in images}
    for mask in masks:
        for core, addition in _shorter(mask.stem):
            wanted = (index.get((split, mask.parts, core)) for split in ({mask.split} if mask.split else splits))
            if its := [image for image in wanted if image is not None]:
                for image in its:
                    if twin := candidates[image].get(kind := (mask.kind, addition)):
                        raise UserError(f"{mask.path} and {twin}: two files of one name; remove one")
                    candidates[image][kind] = mask.path
                break
    if not candidates:
        raise _unmatched(root, images, masks)
    chosen: dict[_File, tuple[str, str]] = {}
    for image, kinds in candidates.items():
        if (best := _preferred(kinds)) is None:
            raise _several(image, sorted(kinds.values()))
        chosen[image] = best
    pairs = {image: candidates[image][best] for image, best in chosen.items()}
    _check_additions(pairs, chosen)
    matched = {path for kinds in candidates.values() for path in kinds.values()}
    additions = {addition for _, addition in chosen.values()}
    return pairs, matched, additions.pop() if len(additions) == 1 else ""


def _check_additions(pairs: dict[_File, Path], chosen: dict[_File, tuple[str, str]]) -> None:
    """Refuse masks of one folder and split whose names have different additions: one may be of another image.

    Raises:
        UserError: names two of them.
    """
    first: dict[tuple[str | None, str], _File] = {}
    for image, (folder, addition) in chosen.items():
        known = first.setdefault((image.split, folder), image)
        other = chosen[known][1]
        if _plain(addition) != _plain(other):
            raise UserError(
                f"{pairs[known]} would be the mask of {known.path.name}, with {_shown(other)} added to its name, and "
                f"{pairs[image].name} that of {image.path.name}, with {_shown(addition)}; expected the same addition "
                "to the names of all masks: rename those that differ, or add masks that are missing"
            )


def _shown(addition: str) -> str:
    return repr(addition) if addition else "nothing"


def _plain(addition: str) -> str:
    """Return the letters and digits of an addition; none of the suffix of an image, as in `cat.jpg.png`."""
    return "" if addition.lower() in SUFFIXES else re.sub(r"[\W_]", "", addition.lower())


def _preferred(kinds: dict[tuple[str, str], Path]) -> tuple[str, str] | None:
    if len(kinds) == 1:
        return next(iter(kinds))
    for word in _PREFERRED:
        if chosen := [kind for kind in kinds if word in kind[1] or word in kind[0]]:
            return chosen[0] if len(chosen) == 1 else None
    return None


def _shorter(stem: str) -> Iterator[tuple[str, str]]:
    """Yield a name, and what remains of it without its last or first words, the longest first, with what is removed."""
    yield stem, ""
    tokens = _TOKENS.findall(stem)
    for n in range(1, len(tokens)):
        for core in ("".join(tokens[:-n]).rstrip(" _-."), "".join(tokens[n:]).lstrip(" _-.")):
            yield core, stem[len(core) :] if stem.startswith(core) else stem[: -len(core)]


def _core(stem: str) -> str:
    """Remove words such as img, or the name of a split, from the ends of the name of an image."""
    tokens = _TOKENS.findall(stem.removesuffix("8bit"))
    while tokens and _says_nothing(tokens[-1]):
        tokens.pop()
    while tokens and _says_nothing(tokens[0]):
        tokens.pop(0)
    return "".join(tokens)


def _says_nothing(token: str) -> bool:
    word = token.lower()
    return word in _IMAGE or word in SPLIT_OF or not word[0].isalnum()


def _check_alone(
    pairs: dict[_File, Path], matched: set[Path], images: Sequence[_File], masks: Sequence[_File]
) -> list[_File]:
    """Refuse images and masks without the other; return the files of folders that hold nothing else.

    Raises:
        UserError: names the first, and where the other is missing.
    """
    passed: list[_File] = []
    for missing, files, others, done in (
        ("mask", images, masks, {image.path for image in pairs}),
        ("image", masks, images, matched),
    ):
        whole = {file.path.parent for file in files if file.path in done}
        alone = [file for file in files if file.path not in done and file.path.parent in whole]
        passed += [file for file in alone if _SHOWN & {*_ends(file.stem)}]
        if alone := [file for file in alone if not _SHOWN & {*_ends(file.stem)}]:
            more = f" (and {len(alone) - 1:,} more)" if len(alone) > 1 else ""
            near = next((other for other in others if other.split == alone[0].split), others[0])
            raise UserError(
                f"{alone[0].path}{more}: its {missing} is not in {near.path.parent}; add it, or remove the file"
            )
        passed += [file for file in files if file.path.parent not in whole]
    return passed


def _by_split(pairs: dict[_File, Path], passed: list[_File]) -> dict[str, list[Pair]]:
    has_splits = any(image.split for image in pairs)
    splits: dict[str, list[Pair]] = {}
    for image in sorted(pairs, key=lambda image: (image.parts, image.stem)):
        if has_splits and not image.split:
            passed.append(image)
        else:
            splits.setdefault(image.split or "train", []).append(Pair(image.path, pairs[image]))
    return {split: splits[split] for split in SPLITS if split in splits}


def _check_splits(splits: Mapping[str, list[Pair]], files: Sequence[_File]) -> None:
    """Refuse a given split of which nothing is left; images of test without masks are those to predict.

    Raises:
        UserError: names its folder.
    """
    for split in ("val", "test"):
        of_split = [file for file in files if file.split == split]
        if of_split and split not in splits and (split == "val" or len({file.role for file in of_split}) > 1):
            raise UserError(
                f"{of_split[0].path.parent}: no mask belongs to an image of {split}, {len(of_split):,} files; add what "
                f"is missing, or move them away to split {split} off from train"
            )


def _unmatched(root: Path, images: Sequence[_File], masks: Sequence[_File]) -> UserError:
    """Say how the names of images and masks differ."""
    image = images[0]
    several = [m.path for m in masks if m.stem == image.stem or (image.parts and m.parts == image.parts)]
    if len(several) > 1:
        return _several(image, several)
    return UserError(
        f"{root}: no mask belongs to an image, such as {image.path.relative_to(root)} and "
        f"{masks[0].path.relative_to(root)}: a mask is called like its image, or all masks with the same addition, "
        "such as _mask, in folders of the same names"
    )


def _several(image: _File, masks: Sequence[Path]) -> UserError:
    return UserError(
        f"{image.path}: {len(masks)} masks, {masks[0]} and {masks[1]}{', ...' * (len(masks) > 2)}; each image needs "
        "one, with the number of the class of each pixel: join them, or move those of another kind out of the folder"
    )


def _nothing_found(root: Path, paths: Sequence[Path], others: Sequence[Path]) -> UserError:
    """Say what a folder holds in the place of images with masks."""
    kinds = Counter(file.suffix.lower() for file in others)
    for suffix, content, remedy in (
        (".json", "polygons", "labelme's labelme2voc.py draws them, as an export as masks does"),
        (".xml", "polygons", "an export as masks draws them"),
        (".npy", "arrays", "save them as PNG"),
        (".mat", "arrays", "save them as PNG"),
        (".txt", "YOLO's polygons", "an export as masks draws them"),
    ):
        if paths and kinds[suffix] * 4 >= len(paths):
            return UserError(
                f"{root}: {len(paths):,} images without masks, and {kinds[suffix]:,} files {suffix}, which may hold "
                f"{content}: masks must be images, a value or a colour for each class; {remedy}"
            )
    return UserError(f"{root}: no masks found among {len(paths):,} image files; {_REMEDY}")


def _lists(root: Path) -> dict[str, Path]:
    """Find the list of each split, and of both train and val as `trainval`."""
    for folder in _LISTS:
        files = {file.stem.lower(): file for file in sorted((root / folder).glob("*.txt")) if file.is_file()}
        lists = {SPLIT_OF[stem]: file for stem, file in files.items() if stem in SPLIT_OF}
        if lists or "trainval" in files:
            return lists | {stem: file for stem, file in files.items() if stem == "trainval"}
    return {}


def _listed(root: Path, lists: dict[str, Path], pairs: dict[_File, Path]) -> dict[str, list[Pair]]:
    """Match the images that lists name, one in a line; a second path in it must be that of the mask."""
    names: dict[str, _File | None] = {}
    for image in pairs:
        for tail in _tails(image.path.relative_to(root)):
            names[tail] = None if tail in names else image
    splits: dict[str, list[Pair]] = {}
    for split, file in lists.items():
        splits[split] = []
        for number, line in enumerate(re.split("\r\n|\r|\n", decode_list(file.read_bytes(), file, guess=True)), 1):
            if not line.strip() or line.startswith("#"):
                continue
            named, rest = _named(names, line.strip())
            if named is None:
                folder = next(iter(pairs)).path.parent
                raise UserError(
                    f"{file}:{number}: {line.split()[0]} is not in {folder}, has no mask, or is there twice"
                )
            mask = pairs[named]
            if Path(rest).suffix.lower() in SUFFIXES and Path(rest).name != mask.name:
                raise UserError(f"{file}:{number}: {rest} is not the mask of {named.path}, which is {mask} by its name")
            splits[split].append(Pair(named.path, mask))
        if split in ("val", "test") and not splits[split]:
            raise UserError(f"{file}: a list of {split} without images; name them, or remove it to split off {split}")
    whole = splits.pop("trainval", [])
    if "train" not in splits and whole:
        val = {pair.image for pair in splits.get("val", [])}
        splits["train"] = [pair for pair in whole if pair.image not in val]
    if not splits.get("train"):
        folder = next(iter(lists.values())).parent
        raise UserError(f"{folder}: no list of train: write the names of its images into train.txt, one in each line")
    return {split: splits[split] for split in SPLITS if splits.get(split)}


def _named(names: dict[str, _File | None], line: str) -> tuple[_File | None, str]:
    """Return the image that a line names, with or without folders and suffix, and the second word of the line."""
    line = line.replace("\\", "/")
    first, _, rest = line.partition(" ") if " " in line else line.partition("\t")
    readings = [(line, ""), (first, rest.strip())]
    if "/" in rest or Path(first).suffix.lower() in SUFFIXES:  # two paths, unless a name has a space
        readings.reverse()
    for text, more in readings:
        for tail in _tails(Path(text)):
            if names.get(tail) is not None:
                return names[tail], more.split(" ")[0]
    return None, ""


def _tails(path: Path) -> Iterator[str]:
    """Yield a path without none, one, two and so on of its outer folders, each with and without its suffix."""
    for start in range(len(path.parts)):
        tail = "/".join(path.parts[start:])
        yield tail
        yield re.sub(r"\.[^./]+$", "", tail)
