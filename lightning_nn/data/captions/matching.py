"""Matching of captions to image files: captions split into words by image, or a fault named or counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lightning_nn.data.captions.files import (
    EMPTY_CAPTIONS,
    LONG_CAPTIONS,
    NO_CAPTION,
    NO_PICTURE,
    CaptionLine,
    read_list,
)
from lightning_nn.data.images.image_files import ImageFile, ImageIndex
from lightning_nn.data.tables.rows import MOST_BAD, BadRowError, BadRows, ReadingReport, too_many
from lightning_nn.errors import UserError

_STATE = ("notes", "given", "outside", "total", "bad")


class CaptionedImage(NamedTuple):
    """An image with its captions.

    Attributes:
        file: the image.
        split: it belongs to; "" if the data does not say.
        place: of its first caption, such as "captions.tsv:17".
        captions: words of each caption.
    """

    file: ImageFile
    split: str
    place: str
    captions: list[list[str]]


class Matching:
    """Images with their captions.

    Args:
        images: all there are.
        tokenize: splits a caption into words.
        max_words: number of words to which a caption is truncated.
        bad_rows: what to do about a line that can't be used.

    Attributes:
        report: of what was left out.
        found: the images in the order of their first captions.
        notes: remarks on how the files are read, for the user.
        given: the splits that lists, files or captions name.
        outside: captions of images that are in no split.
        total: lines that were read, without those.
        bad: faults of lines that can't be used.
    """

    def __init__(
        self, images: ImageIndex, tokenize: Callable[[str], list[str]], max_words: int, bad_rows: BadRows
    ) -> None:
        self.images, self.tokenize, self.max_words, self.report = images, tokenize, max_words, ReadingReport()
        self.skips, self._crowded = bad_rows == "skip", False
        self.found: dict[ImageFile, CaptionedImage] = {}
        self.outside = self.total = 0
        self.notes: list[str] = []
        self.given: list[str] = []
        self.bad: list[str] = []
        self._known: dict[tuple[str, Path], ImageFile | None] = {}
        self._listed: dict[ImageFile, tuple[str, str]] | None = None

    def refuse(self, error: BadRowError) -> None:
        """Count a line that can't be used."""
        self.report.add(error.kind, str(error).partition(": ")[0])
        self.bad.append(str(error))
        self.total += 1

    def check(self, name: str) -> None:
        """Refuse what was gathered if it has faults; advise to skip them only if that leaves enough.

        Args:
            name: of the data.

        Raises:
            UserError: lines are not skipped, too many are, or nothing is left of a split that was given.
        """
        kept = {picture.split for picture in self.found.values()}
        lost = [split for split in self.given if split not in kept]
        bad, total, few = len(self.bad), self.total, len(self.bad) <= MOST_BAD * self.total
        if self.bad and not self.skips:
            remedy = f"; to leave out such lines, {bad:,} of {total:,}: --data.bad_rows skip"
            more = f"; {bad:,} of {total:,} can't be used" if bad > 1 else ""
            raise UserError(self.bad[0] + (remedy if few and not (lost or self._crowded) else more))
        if not few:
            raise too_many(name, bad, total, self.bad[0])
        if lost:
            first = f"; the first fault: {self.bad[0]}" if self.bad else ""
            raise UserError(f"{name}: nothing is left of {lost[0]}{first}; to split it off from train, remove it")

    def add_lists(self, lists: Mapping[str, Path], encoding: str) -> None:
        """Read which picture is in which split, before any captions.

        Args:
            lists: file that names the pictures of each split; empty if the captions say, or nobody does.
            encoding: of the files.

        Raises:
            UserError: a picture is in two splits.
        """
        listed: dict[ImageFile, tuple[str, str]] = {}
        for split, file in lists.items():
            self._give(split)
            for name, place in read_list(file, encoding):
                picture = self._image(name, file.parent)
                if picture is None:
                    fault = f"{place}: the list of {split} names an unknown picture, {name!r}"
                    self.refuse(BadRowError(fault, NO_PICTURE))
                elif listed.setdefault(picture, (split, place))[0] != split:
                    raise UserError(
                        f"{place}: {name!r} of {split} is also named at {listed[picture][1]}; choose one split"
                    )
        self._listed = listed if lists else None

    def add(self, split: str, file: Path, lines: Iterable[CaptionLine | BadRowError]) -> None:
        """Read the captions of a file.

        Args:
            split: of the file; "" if it holds all.
            file: named in errors; images beside it come first.
            lines: read from it.

        Raises:
            UserError: too many lines are skipped, or a picture is in two splits.
        """
        self._give(split)
        total, bad = self.total, len(self.bad)
        try:
            for line in lines:
                try:
                    self._add(line, split, file.parent)
                except BadRowError as error:
                    self.refuse(error)
        except BadRowError as error:  # no line of the file can be read
            raise UserError(str(error)) from None
        bad, total, first = len(self.bad) - bad, self.total - total, "".join(self.bad[bad : bad + 1])
        if bad > MOST_BAD * total:
            self._crowded = True
            if self.skips:
                raise too_many(str(file), bad, total, first)

    def check_lists(self) -> None:
        """Count images that a list names, but that have no captions."""
        for file, (split, place) in (self._listed or {}).items():
            if file not in self.found:
                self.refuse(BadRowError(f"{place}: {file} of {split} has no captions", NO_CAPTION))

    def _add(self, line: CaptionLine | BadRowError, split: str, folder: Path) -> None:
        if isinstance(line, BadRowError):
            raise line
        name, caption, place, said = line
        file = self._image(name, folder)
        if self._listed is not None:
            belongs = self._listed[file][0] if file in self._listed else None
        else:
            belongs = split or said
        if belongs is None:
            self.outside += 1
            return
        self._give(belongs)
        if file is None:
            raise BadRowError(f"{place}: there is no picture {name[:80]!r}", NO_PICTURE)
        if caption is None:
            raise BadRowError(f"{place}: {name[:80]!r} has no captions", NO_CAPTION)
        words = self.tokenize(caption)
        if not words:
            raise BadRowError(f"{place}: a caption without words, {caption[:40]!r}", EMPTY_CAPTIONS)
        known = self.found.setdefault(file, CaptionedImage(file, belongs, place, []))
        if known.split != belongs:
            raise UserError(f"{place}: {name!r} is in {belongs}, but at {known.place} in {known.split}; choose one")
        if len(words) > self.max_words:
            self.report.add(LONG_CAPTIONS, place)
        known.captions.append(words[: self.max_words])
        self.total += 1

    def _image(self, name: str, folder: Path) -> ImageFile | None:
        """Return the image that a name means; None if there is none.

        Raises:
            UserError: several images have this name.
        """
        if (key := (name, folder)) not in self._known:  # each image has several captions
            images = self.images.find(name, folder)
            if len(images) > 1:
                raise UserError(
                    f"{images[0]} and {images[1]} are both called {name!r}; keep one, or name their folders too"
                )
            self._known[key] = images[0] if images else None
        return self._known[key]

    def _give(self, split: str) -> None:
        if split and split not in self.given:
            self.given.append(split)

    def save(self, file: Path) -> None:
        """Write what was gathered."""
        numbers = {picture: number for number, picture in enumerate(self.images.files)}
        rows = [[numbers[picture.file], *picture[1:]] for picture in self.found.values()]
        state = {"found": rows, "report": self.report.counts, **{name: getattr(self, name) for name in _STATE}}
        file.write_text(json.dumps(state), encoding="utf-8")

    def restore(self, file: Path) -> None:
        """Read what was saved of the same images, in the same order."""
        state = json.loads(file.read_text(encoding="utf-8"))
        images = (CaptionedImage(self.images.files[number], *rest) for number, *rest in state["found"])
        self.found = {picture.file: picture for picture in images}
        self.report.counts = ReadingReport(state["report"]).counts
        for name in _STATE:
            setattr(self, name, state[name])
