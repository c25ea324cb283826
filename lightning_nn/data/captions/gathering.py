"""Gathering of captions by picture: pictures found, captions split into words, or a fault named or counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lightning_nn.data.captions.files import CaptionLine
from lightning_nn.data.captions.finding import read_list
from lightning_nn.data.captions.pictures import Pictures
from lightning_nn.data.images.reading import ImageFile
from lightning_nn.data.text.reading_report import EMPTY_CAPTIONS, NO_CAPTION, NO_PICTURE, ReadingReport
from lightning_nn.data.text.table_records import BadRows, Skipping
from lightning_nn.data.text.tables import BadRowError
from lightning_nn.errors import UserError

_COUNTED = ("outside", "total", "bad")


class CaptionedPicture(NamedTuple):
    """A picture with its captions.

    Attributes:
        file: the picture.
        split: it belongs to; "" if the data does not say.
        place: of its first caption, such as "captions.tsv:17".
        captions: words of each caption.
    """

    file: ImageFile
    split: str
    place: str
    captions: list[list[str]]


class Gathering:
    """Pictures with their captions.

    Args:
        pictures: all there are.
        tokenize: splits a caption into words.
        bad_rows: what to do about a line that can't be used.

    Attributes:
        report: of what was left out.
        found: the pictures in the order of their first captions.
        outside: captions of pictures that are in no split.
        total: lines that were read, without those.
        bad: lines that can't be used, and the first of their faults.
    """

    def __init__(self, pictures: Pictures, tokenize: Callable[[str], list[str]], bad_rows: BadRows) -> None:
        self.pictures, self.tokenize, self.report = pictures, tokenize, ReadingReport()
        self.skipping = Skipping(bad_rows, self.report)
        self.found: dict[ImageFile, CaptionedPicture] = {}
        self.outside = self.total = 0
        self.bad: list[str] = []

    def refuse(self, error: BadRowError, what: str = "lines") -> None:
        """Raise an error, or count it and go on.

        Raises:
            UserError: lines are not skipped.
        """
        self.skipping.handle(error, str(error).partition(": ")[0], what)
        self.bad.append(str(error))

    def add(self, lines: Mapping[str, Iterable[CaptionLine | BadRowError]], lists: Mapping[str, Path]) -> None:
        """Read all captions.

        Args:
            lines: of the file of each split; "" for a file that holds all.
            lists: file that names the pictures of each split; empty if the captions say, or nobody does.

        Raises:
            UserError: a line can't be used and lines are not skipped, or a picture is in two splits.
        """
        listed = self._listed(lists)
        for split, some in lines.items():
            for line in some:
                try:
                    self._add(line, split, listed)
                except BadRowError as error:
                    self.total += 1
                    self.refuse(error)
        for file, (split, place) in (listed or {}).items():
            if file not in self.found:
                self.refuse(BadRowError(f"{place}: {file} of {split} has no captions", NO_CAPTION))

    def _add(
        self, line: CaptionLine | BadRowError, split: str, listed: Mapping[ImageFile, tuple[str, str]] | None
    ) -> None:
        if isinstance(line, BadRowError):
            raise line
        name, caption, place, said = line
        file = self.pictures.find(name)
        of_list = listed.get(file, (None, ""))[0] if listed is not None and file is not None else None
        belongs = (split or said) if listed is None else of_list
        if belongs is None:
            self.outside += 1
            return
        if file is None:
            raise BadRowError(f"{place}: there is no picture {name[:80]!r}", NO_PICTURE)
        if caption is None:
            raise BadRowError(f"{place}: {name[:80]!r} has no captions", NO_CAPTION)
        words = self.tokenize(caption)
        if not words:
            raise BadRowError(f"{place}: a caption without words, {caption[:40]!r}", EMPTY_CAPTIONS)
        known = self.found.setdefault(file, CaptionedPicture(file, belongs, place, []))
        if known.split != belongs:
            raise UserError(f"{place}: {name!r} is in {belongs}, but at {known.place} in {known.split}; choose one")
        known.captions.append(words)
        self.total += 1

    def save(self, file: Path) -> None:
        """Write what was gathered."""
        numbers = {picture: number for number, picture in enumerate(self.pictures.files)}
        found = [[numbers[each.file], *each[1:]] for each in self.found.values()]
        state = {"found": found, "report": self.report.counts, **{name: getattr(self, name) for name in _COUNTED}}
        file.write_text(json.dumps(state), encoding="utf-8")

    def restore(self, file: Path) -> None:
        """Read what was saved of the same pictures, in the same order."""
        state = json.loads(file.read_text(encoding="utf-8"))
        pictures = (CaptionedPicture(self.pictures.files[number], *rest) for number, *rest in state["found"])
        self.found = {each.file: each for each in pictures}
        self.report.counts = ReadingReport(state["report"]).counts
        for name in _COUNTED:
            setattr(self, name, state[name])

    def _listed(self, lists: Mapping[str, Path]) -> dict[ImageFile, tuple[str, str]] | None:
        """Return split and place of each picture that a list names; None without lists."""
        listed: dict[ImageFile, tuple[str, str]] = {}
        for split, name, place in _named(lists):
            file = self.pictures.find(name)
            if file is None:
                self.refuse(BadRowError(f"{place}: the list of {split} names an unknown picture, {name!r}", NO_PICTURE))
            elif listed.setdefault(file, (split, place))[0] != split:
                raise UserError(f"{place}: {name!r} of {split} is also named at {listed[file][1]}; choose one split")
        return listed if lists else None


def _named(lists: Mapping[str, Path]) -> Iterator[tuple[str, str, str]]:
    for split, file in lists.items():
        for name, place in read_list(file):
            yield split, name, place
