"""Data module of the user's own images with captions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import Index
from lightning_nn.data.cache import entry, remembered_fingerprint
from lightning_nn.data.captions.files import BAD_PICTURES, find_caption_files, read_captions
from lightning_nn.data.captions.matching import CaptionedImage, Matching
from lightning_nn.data.captions.processor import Language
from lightning_nn.data.captions.source import CaptionSet, CaptionSource, view_captions
from lightning_nn.data.captions.words import CaptionVocabulary, Tokenizer
from lightning_nn.data.images.conversion import MAX_PIXELS, ImageForm
from lightning_nn.data.images.decoding import decode
from lightning_nn.data.images.image_files import ImageIndex
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.data.splits import Splits, complete
from lightning_nn.data.tables.folders import SPLITS, find_named_splits
from lightning_nn.data.tables.reading import check_encoding
from lightning_nn.data.tables.rows import BadRowError, BadRows
from lightning_nn.data.text.segmenter import written_with_spaces
from lightning_nn.errors import UserError, choose

_FORMAT = 3  # of the cache
_SAMPLE = 200  # pictures whose captions tell the language


class CaptionData(DataModule):
    """Your images with captions: Flickr8k, Flickr30k, COCO, Flickr8k-CN, or a table of images and captions.

    The file of captions is a table with columns such as image and caption, or caption_1 to caption_5, and perhaps split
    (train, val, test, or none to leave it out), language (en, zh) and kind (human; others are left out); lines of
    PICTURE#NUMBER CAPTION; or JSON of COCO, Karpathy or BLIP. A cell may hold a list of captions. There may be one file
    for each split, also in its folder, such as train/metadata.csv. Lists such as Flickr_8k.trainImages.txt beside it
    say which image is in which split; a missing split is split off from train. Images may be in zip archives, text
    packed with gzip. All images are decoded once and kept in the cache.

    Args:
        path: the file of captions, or the folder that holds it.
        images: folder of the images, searched to any depth; that of `path` if not given.
        language: "en", or "zh" for Chinese.
        vocabulary: how captions become words, and which words the model knows.
        size: height and width in pixels to which images are resized.
        fit: "crop" scales the shorter side to `size` and crops the longer one on both sides; "squash" stretches.
        encoding: encoding of the captions and lists, such as utf-8 or gb18030.
        bad_rows: "error" to stop at the first line that can't be used: without words, of a missing or damaged image,
            or an image without captions; "skip" to count them and leave out up to a fifth.
        splits: what is split off from train if there is no such split.
        batch_size: images in a batch of one process, each with all its captions; "all" is the whole set.
        augment: random changes of training images; a flip makes left right, captions stay as they are.
        max_pixels: maximum number of pixels of an image; a larger one is refused before it is decoded.

    Example:
        >>> data = CaptionData("captions.csv", size=32)  # columns image and caption
        >>> data.prepare_once()
        >>> next(iter(data.train_dataloader())).image.shape[1:]
        torch.Size([3, 32, 32])
    """

    describes = ("channels", "height", "width", "vocabulary_size")

    def __init__(
        self,
        path: str | None = None,
        images: str | None = None,
        language: Language = "en",
        vocabulary: CaptionVocabulary = CaptionVocabulary(),
        size: int = 192,
        fit: Literal["crop", "squash"] = "crop",
        encoding: str = "utf-8",
        bad_rows: BadRows = "error",
        splits: Splits = Splits(),
        batch_size: BatchSize = 32,
        augment: Augment = NO_AUGMENT,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        choose("--data.language", language, Language)
        choose("--data.bad_rows", bad_rows, BadRows)
        check_encoding(encoding)
        for name, value in (("size", size), ("max_pixels", max_pixels)):
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        super().__init__(batch_size)
        self.path, self.images, self.encoding, self.bad_rows = path, images, encoding, bad_rows
        self.language, self.vocabulary, self.splits = language, CaptionVocabulary.of(vocabulary), Splits.of(splits)
        self.form, self.augment, self.max_pixels = ImageForm(3, size, size, fit), Augment.of(augment), max_pixels
        self.tokenize = Tokenizer(language, self.vocabulary.tokens)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Read the captions, decode the images that are not in the cache, and split off missing splits."""
        if self.path is None:
            raise UserError("say where your captions are: --data.path FILE or FOLDER; see --data captions --help")
        path = Path(self.path).expanduser()
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; see --data.path")
        root = Path(self.images).expanduser() if self.images else path if path.is_dir() else path.parent
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; see --data.images")
        images = ImageIndex(root, archives=True)
        if not images.files:
            raise UserError(f"{root}: no pictures in this folder or in zip archives there; name theirs: --data.images")
        matching = self._match(path, images)
        pictures = [*matching.found.values()]
        self._check_language(pictures, path, matching.outside)
        scale = getattr(self.fixed_processor, "scale", None)
        decoded = decode([picture.file for picture in pictures], root, self.form, self.max_pixels, scale)
        for i, reason in decoded.broken.items():
            matching.refuse(BadRowError(f"{pictures[i].place}: {reason}", BAD_PICTURES))
            del matching.found[pictures[i].file]
        matching.check(str(path))
        self.notes = [*matching.notes, *matching.report.notes(), *decoded.notes]
        if matching.outside:
            self.notes.append(f"left out: {matching.outside:,} captions of images that are in no split")
        if unused := len(matching.images.files) - len(pictures):
            self.notes.append(f"left out: {unused:,} images without captions in a split")
        readable = np.setdiff1d(np.arange(len(pictures)), np.array([*decoded.broken], np.int64))
        indices = self._splits(pictures, readable)
        self._files = {split: [str(pictures[i].file) for i in index] for split, index in indices.items()}
        captions = CaptionSet(
            decoded.images,
            self.form,
            indices,
            {split: [pictures[i].captions for i in index] for split, index in indices.items()},
            self.language,
            self.vocabulary.tokens,
            self.vocabulary.min_count,
            decoded.fingerprints,
            decoded.scale,
            self._files,
            self.notes,
        )
        self.open(view_captions(captions, self.fixed_processor, self.max_pixels))

    def _check_language(self, pictures: list[CaptionedImage], path: Path, outside: int) -> None:
        """Refuse captions in another language: English words of Chinese text would be whole sentences."""
        if not pictures:
            where = f", and {outside:,} of images in no split" if outside else ""
            raise UserError(f"{path}: no captions in {self.language}{where}; see --data.language")
        words = (" ".join(caption) for picture in pictures[:_SAMPLE] for caption in picture.captions)
        spaced = written_with_spaces(words)
        if spaced != (self.language == "en"):
            remedy = "with spaces: use --data.language en" if spaced else "without spaces: use --data.language zh"
            raise UserError(f"{pictures[0].place}: captions are written {remedy}")

    def _match(self, path: Path, images: ImageIndex) -> Matching:
        """Read the captions, or what the cache has of them."""
        files, lists, notes = find_caption_files(path, self.encoding, images.holds)
        matching = Matching(images, self.tokenize, self.vocabulary.max_words, self.bad_rows)

        def build(folder: Path) -> None:
            matching.notes += notes
            if lists:
                matching.notes.append(f"splits: by {', '.join(file.name for file in lists.values())}")
            matching.add_lists(lists, self.encoding)
            for split, file in files.items():
                lines = read_captions(file, self.language, self.encoding, images.holds, matching.notes)
                matching.add(split, file, lines)
            matching.check_lists()
            matching.check(str(path))
            matching.save(folder / "captions.json")

        settings = {
            "format": _FORMAT,
            "files": [[[split, str(file)] for split, file in some.items()] for some in (files, lists)],
            "pictures": hashlib.blake2b(
                "\n".join(map(str, images.files)).encode("utf-8", "surrogateescape")
            ).hexdigest(),
            "options": [
                self.language,
                self.vocabulary.tokens,
                self.encoding,
                self.bad_rows,
                self.vocabulary.max_words,
                *notes,
            ],
        }
        key = remembered_fingerprint([*files.values(), *lists.values()], settings)
        matching.restore(entry(f"captions-{key}", build) / "captions.json")
        return matching

    def _splits(self, pictures: list[CaptionedImage], readable: Index) -> dict[str, Index]:
        """Return the numbers of the pictures in each split; missing splits are split off from train."""
        named = {split: [i for i in readable if pictures[i].split == split] for split in (*SPLITS, "")}
        if named[""] and any(named[split] for split in SPLITS):
            place = pictures[named[""][0]].place
            raise UserError(f"{place}: a picture without a split, but others have one; name train, val or test")
        if named[""] and (places := self._split_folders(pictures)):
            by_folder = {folder: split for split, folder in places.items()}
            split_of = {i: by_folder[_folder(pictures[i])] for i in named[""]}
            named = {split: [i for i in split_of if split_of[i] == split] for split in (*SPLITS, "")}
            self.notes.append(
                f"splits: by the folders of the images, {', '.join(place.name for place in places.values())}"
            )
        named["train"] = named["train"] or named[""]
        indices = {split: np.array(named[split], np.int64) for split in SPLITS if named[split]}
        self.provided_splits = [*indices]
        if "train" not in indices and self.evaluation_split is None:
            raise UserError(f"{self.path}: no captions of train, only of {' and '.join(indices)}")
        indices, notes = complete(indices, self.splits, name=str(self.path), only=self.evaluation_split)
        self.notes += notes
        return indices

    def _split_folders(self, pictures: list[CaptionedImage]) -> dict[str, Path]:
        """Return the folder of each split if all pictures lie in such folders, such as train and val; else {}."""
        folders = {*map(_folder, pictures)}
        if not 2 <= len(folders) <= len(SPLITS):
            return {}
        places = find_named_splits(Path(str(self.path)), sorted(folders))
        return places if "train" in places and len(places) == len(folders) else {}

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Yield the fingerprints of the images, then the captions."""
        yield from super().contents(split)
        yield from cast(CaptionSource, self.sources[split]).captions

    def place(self, split: str, number: int) -> str:
        """Return the file of an image."""
        return self._files[split][number]


def _folder(picture: CaptionedImage) -> Path:
    return Path(str(picture.file)).parent
