from __future__ import annotations

import json
import unicodedata
import zipfile
from collections.abc import Callable
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_nn import CaptionData
from lightning_nn.data.captions.processor import CaptionProcessor
from lightning_nn.data.captions.source import CaptionSource
from lightning_nn.data.captions.words import CaptionVocabulary, Tokenizer
from lightning_nn.data.splits import Splits
from lightning_nn.errors import UserError

NAMES = [f"p{i}.png" for i in range(10)]
SPLIT = {name: "test" if i > 8 else "val" if i > 7 else "train" for i, name in enumerate(NAMES)}


def png(name: str) -> bytes:
    """A picture of one gray, the number in its name."""
    stream = BytesIO()
    Image.new("L", (6, 4), int(name[1])).save(stream, "png")
    return stream.getvalue()


def captions_of(name: str) -> list[str]:
    """Two captions of a picture, as they are read; the test picture has a word that train has not."""
    return [f"a dog number {name[1]}", "a zebra runs" if SPLIT[name] == "test" else "a dog runs"]


def pictures(folder: Path, names: list[str] = NAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(png(name))


def lines(pattern: str, header: str = "") -> str:
    """A line a caption, from its picture, number, text and split."""
    made = [
        pattern.format(name=name, stem=name[:-4], i=i, text=text, split=SPLIT[name])
        for name in NAMES
        for i, text in enumerate(captions_of(name))
    ]
    return "\n".join([header] * bool(header) + made) + "\n"


def lists(folder: Path) -> None:
    for split, named in (("train", "train"), ("val", "dev"), ("test", "test")):
        names = [name for name in NAMES if SPLIT[name] == split]
        (folder / f"Flickr_8k.{named}Images.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def made(path: Path, **options: Any) -> CaptionData:
    data = CaptionData(str(path), size=4, batch_size=2, **{"vocabulary": CaptionVocabulary(min_count=1), **options})
    data.prepare_once()
    return data


def read(data: CaptionData) -> dict[str, list[tuple[int, list[str]]]]:
    """Return the gray of each picture with its captions, by split."""
    found = {}
    for split, source in data.sources.items():
        assert isinstance(source, CaptionSource) and isinstance(data.processor, CaptionProcessor)
        found[split] = []
        for i in range(len(source)):
            batch = source[np.array([i])]
            assert batch.words is not None and batch.length is not None and batch.image.shape == (1, 3, 4, 4)
            texts = [data.processor.spell(words.tolist()) for words in batch.words.split(batch.length.tolist())]
            found[split].append((int(batch.image.max()), texts))
    return found


EXPECTED = {
    split: [(int(name[1]), captions_of(name)) for name in NAMES if SPLIT[name] == split]
    for split in ("train", "val", "test")
}

# ---------------------------------------------------------------------- forms


def as_table_with_zips(folder: Path) -> None:
    """Also captions in another language, by others than people, and a picture in no split."""
    text = lines("{stem}\t{split}\ten\thuman\t{i}\t{text} .", "image\tsplit\tlanguage\tkind\tindex\tcaption")
    text += "p1\ttrain\tzh\thuman\t0\t狗\np1\ttrain\ten\tmachine\t0\tno\np0x\tnone\ten\thuman\t0\tin no split\n"
    (folder / "captions.tsv").write_text(text, encoding="utf-8")
    for number in range(2):
        with zipfile.ZipFile(folder / f"part{number}.zip", "w") as archive:
            for name in NAMES[number::2]:
                archive.writestr(name, png(name))


def as_flickr8k(folder: Path) -> None:
    """The original has a caption of a picture that is not there, in no list."""
    text = lines("{name}#{i}\t{text} .") + "p0.png.1#0\tA man .\n"
    (folder / "Flickr8k.token.txt").write_text(text, encoding="utf-8")
    lists(folder)
    pictures(folder / "Flicker8k_Dataset")


def as_coco(folder: Path) -> None:
    for split in EXPECTED:
        names = [name for name in NAMES if SPLIT[name] == split]
        images = [{"id": 70 + int(name[1]), "file_name": name} for name in names]
        annotations = [{"image_id": 70 + int(name[1]), "caption": text} for name in names for text in captions_of(name)]
        file = folder / "annotations" / f"captions_{split}2017.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": annotations}), encoding="utf-8")
        pictures(folder / f"{split}2017", names)


def as_karpathy(folder: Path) -> None:
    images = [
        {"filename": name, "split": SPLIT[name], "sentences": [{"raw": text} for text in captions_of(name)]}
        for name in NAMES
    ]
    (folder / "dataset.json").write_text(json.dumps({"images": images, "dataset": "toy"}), encoding="utf-8")
    pictures(folder / "imgs")


def as_csv(folder: Path) -> None:
    (folder / "mine.csv").write_text(lines('imgs/{name},"{text}, ",{split}', "file,caption,split"), encoding="utf-8")
    pictures(folder / "imgs")


FORMS: list[Callable[[Path], None]] = [as_table_with_zips, as_flickr8k, as_coco, as_karpathy, as_csv]


@pytest.mark.parametrize("form", FORMS)
def test_published_forms_are_read_with_their_splits(form: Callable[[Path], None], tmp_path: Path) -> None:
    form(tmp_path)
    data = made(tmp_path)
    assert read(data) == EXPECTED
    assert data.provided_splits == ["train", "val", "test"]
    assert Path(data.place("val", 0)).name == "p8.png"
    assert data.processor.others == ["8", "9", "zebra"]


def as_flickr30k(folder: Path) -> Path:
    file = folder / "results.csv"
    file.write_text(lines("{name}| {i}| {text} .", "image_name| comment_number| comment"), encoding="utf-8")
    return file


def as_kaggle(folder: Path) -> Path:
    (folder / "captions.txt").write_text(lines('{name},"{text} ."', "image,caption"), encoding="utf-8")
    return folder


def as_tokens(folder: Path) -> Path:
    file = folder / "results_20130124.token"
    file.write_text(lines("{name}#{i}\t{text}"), encoding="utf-8")
    return file


@pytest.mark.parametrize("form", [as_flickr30k, as_kaggle, as_tokens])
def test_missing_splits_are_split_off_by_picture(form: Callable[[Path], Path], tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    data = made(form(tmp_path), splits=Splits(val=0.2, test=0.1))
    found = read(data)
    assert [len(found[split]) for split in ("train", "val", "test")] == [7, 2, 1]
    assert sorted(each for some in found.values() for each in some) == sorted(chain.from_iterable(EXPECTED.values()))
    assert "val is split off from train: 2 of 10 images" in data.notes
    assert read(made(form(tmp_path), splits=Splits(val=0.2, test=0.1))) == found
    assert data.digest(["train"]) != made(form(tmp_path), splits=Splits(val=0.2, seed=1)).digest(["train"])


def test_chinese_captions_by_word_and_by_character(tmp_path: Path) -> None:
    pictures(tmp_path)
    text = "".join(f"p{i}.png#zhc#0 两只狗在草地上奔跑。\n" for i in range(10))
    (tmp_path / "flickr8kzhc.caption.txt").write_text(text, encoding="utf-8")
    words, chars = (
        made(tmp_path, language="zh", vocabulary=CaptionVocabulary(tokens, min_count=1))
        for tokens in ("words", "chars")
    )
    assert read(words)["test"][0][1] == read(chars)["test"][0][1] == ["两只狗在草地上奔跑"]
    assert sorted(words.processor.words[3:]) == sorted(["两只", "狗", "在", "草地", "上", "奔跑"])
    assert sorted(chars.processor.words[3:]) == sorted("两只狗在草地上奔跑")
    assert words.processor.state_dict()["language"] == "zh" and chars.processor.state_dict()["tokens"] == "chars"


def as_imagefolder(folder: Path) -> None:
    """Hugging Face's: a table in the folder of each split, with the same names of files."""
    for split in EXPECTED:
        names = [name for name in NAMES if SPLIT[name] == split]
        place = folder / {"val": "validation"}.get(split, split)
        pictures(place, names)
        rows = []
        for number, name in enumerate(names):
            (place / name).rename(place / f"000{number}.png")
            rows += [json.dumps({"file_name": f"000{number}.png", "text": text}) for text in captions_of(name)]
        (place / "metadata.jsonl").write_text("\n".join(rows), encoding="utf-8")


def test_a_table_in_each_split_folder_names_the_pictures_beside_it(tmp_path: Path) -> None:
    as_imagefolder(tmp_path)
    data = made(tmp_path)
    assert read(data) == EXPECTED and data.provided_splits == ["train", "val", "test"]
    assert data.notes[0] == "captions: train/metadata.jsonl, image = file_name, caption = text"


def test_folders_of_splits_are_theirs_if_the_table_says_nothing(tmp_path: Path) -> None:
    for split in EXPECTED:
        pictures(tmp_path / split, [name for name in NAMES if SPLIT[name] == split])
    (tmp_path / "captions.csv").write_text(lines("{split}/{name},{text}", "image,caption"), encoding="utf-8")
    assert read(made(tmp_path)) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_the_search_reads_in_the_given_encoding(encoding: str, tmp_path: Path) -> None:
    pictures(tmp_path / "图")
    text = "图片,描述\n" + "".join(f"图/{name},两只狗在草地上奔跑\n" for name in NAMES)
    (tmp_path / "表.csv").write_bytes(text.encode(encoding))
    assert len(read(made(tmp_path, language="zh", encoding=encoding))["train"]) == 8


def test_names_are_the_same_in_either_case_and_with_accents_in_two_signs(tmp_path: Path) -> None:
    pictures(tmp_path)
    for name in NAMES:
        (tmp_path / name).rename(tmp_path / unicodedata.normalize("NFD", f"é{name[1]}.PNG"))
    (tmp_path / "c.csv").write_text(lines("é{stem},{text}", "image,caption").replace("ép", "é"), encoding="utf-8")
    assert sum(len(some) for some in read(made(tmp_path)).values()) == 10


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_names_in_an_archive_may_be_chinese(encoding: str, tmp_path: Path) -> None:
    """As Windows and older programs write them: without the flag that says UTF-8."""
    chinese = "猫狗".encode(encoding)
    with zipfile.ZipFile(tmp_path / "图片.zip", "w") as archive:
        for name in NAMES:
            archive.writestr("X" * len(chinese) + name, png(name))
    whole = (tmp_path / "图片.zip").read_bytes()
    (tmp_path / "图片.zip").write_bytes(whole.replace(b"X" * len(chinese), chinese))
    (tmp_path / "c.csv").write_text(lines("猫狗{name},{text}", "image,caption"), encoding="utf-8")
    assert sum(len(some) for some in read(made(tmp_path)).values()) == 10


def test_a_caption_has_at_most_so_many_words(tmp_path: Path) -> None:
    as_csv(tmp_path)
    with (tmp_path / "mine.csv").open("a", encoding="utf-8") as stream:
        stream.write("imgs/p0.png," + "dog " * 5000 + ",train\n")
    data = made(tmp_path)
    assert read(data)["train"][0][1][2] == " ".join(["dog"] * 100)
    assert "truncated: 1 caption of more than --data.max_words words (mine.csv:22)" in data.notes


# ---------------------------------------------------------------------- vocabulary and processor


def test_rare_words_are_unknown_to_the_model_and_known_to_the_metrics(tmp_path: Path) -> None:
    as_csv(tmp_path)
    data = made(tmp_path, vocabulary=CaptionVocabulary(min_count=2))
    assert data.processor.words == ["<unknown>", "<start>", "<end>", "a", "dog", "number", "runs"]
    assert data.processor.others == [*"0123456789", "zebra"]
    assert read(data) == EXPECTED
    assert data.describe() == {"channels": 3, "height": 4, "width": 4, "vocabulary_size": 7}
    assert data.summary[1] == ("train", "8", "16 (2 each)", "3.5", "14.29%")
    assert data.summary[3] == ("test", "1", "2 (2 each)", "3.5", "28.57%")
    (warning,) = (note for note in data.notes if note.startswith("warning: many words are unknown"))
    assert warning.endswith("14.3% in train, 14.3% in val, 28.6% in test; lower --data.vocabulary.min_count"), warning


def test_a_model_is_evaluated_on_other_data_with_its_own_vocabulary(tmp_path: Path) -> None:
    as_csv(tmp_path)
    trained = made(tmp_path, vocabulary=CaptionVocabulary(min_count=2)).processor
    again = CaptionProcessor(**trained.state_dict())
    assert again.others == [] and again.state_dict() == trained.state_dict()
    (tmp_path / "mine.csv").write_text("file,caption\nimgs/p3.png,A cat runs\n", encoding="utf-8")
    data = CaptionData(str(tmp_path), size=4, vocabulary=CaptionVocabulary(min_count=1))
    data.use_processor(again)
    data.evaluate_only("test")
    data.prepare_once()
    assert read(data) == {"test": [(3, ["a cat runs"])]}
    assert data.processor.words == trained.words and data.processor.others == ["cat"]


def test_the_words_of_markup_are_not_those_of_the_vocabulary(tmp_path: Path) -> None:
    pictures(tmp_path)
    text = "".join(f"p{i}.png\ta <end> of <start>\n" for i in range(10))
    (tmp_path / "c.tsv").write_text("image\tcaption\n" + text, encoding="utf-8")
    data = made(tmp_path)
    assert data.processor.words == ["<unknown>", "<start>", "<end>", "a", "of"]
    assert data.processor.others == ["<end>", "<start>"]
    assert read(data)["test"][0][1] == ["a <end> of <start>"]


def test_captions_are_read_again_only_if_they_or_the_pictures_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_flickr8k(tmp_path)
    first = made(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "__call__", lambda self, caption: pytest.fail("read again"))
        again = made(tmp_path)
    assert read(again) == read(first) == EXPECTED and again.notes == first.notes
    file = tmp_path / "Flickr8k.token.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("zebra", "horse"), encoding="utf-8")
    assert read(made(tmp_path))["test"] == [(9, ["a dog number 9", "a horse runs"])]
    (tmp_path / "Flicker8k_Dataset" / "p9.png").unlink()
    with pytest.raises(UserError, match=r"names an unknown picture, 'p9.png'"):
        made(tmp_path)


# ---------------------------------------------------------------------- faults

TABLE = lines("{name}\t{text}\t{split}", "image\tcaption\tsplit")


def damaged_zip(folder: Path) -> None:
    """A picture whose bytes in the archive have changed."""
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for name in NAMES:
            archive.writestr(name, png(name))
    whole = (folder / "all.zip").read_bytes()
    place = whole.index(png("p2.png")[-30:-12])
    (folder / "all.zip").write_bytes(whole[:place] + b"?" * 9 + whole[place + 9 :])


def faulty(folder: Path, fault: str) -> None:
    text = TABLE
    if fault == "missing picture":
        pictures(folder, [name for name in NAMES if name != "p2.png"])
    elif fault == "damaged member":
        damaged_zip(folder)
    else:
        pictures(folder)
    if fault == "empty caption":
        text = text.replace("a dog number 2", " . ")
    elif fault == "empty split":
        text = text.replace("number 2\ttrain", "number 2\t")
    elif fault == "missing column":
        text = text.replace("a dog number 2\t", "a dog number 2 ")
    elif fault == "damaged picture":
        (folder / "p2.png").write_bytes(png("p2.png")[:40])
    elif fault in ("unknown picture in a list", "picture without captions"):
        text = lines("{name}#{i}\t{text}")
        lists(folder)
        if fault == "picture without captions":
            text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("p2"))
        else:
            with (folder / "Flickr_8k.testImages.txt").open("a", encoding="utf-8") as stream:
                stream.write("nobody.jpg\n")
    (folder / "c.tsv").write_text(text, encoding="utf-8")
    if "#" in text:
        (folder / "c.tsv").rename(folder / "c.token")


FAULTS = {
    "missing picture": ("c.tsv:6: there is no picture 'p2.png'", "skipped: 2 lines with a picture that is not there"),
    "damaged member": ("c.tsv:6: ", "skipped: 1 picture that can't be read (c.tsv:6)"),
    "damaged picture": ("c.tsv:6: ", "skipped: 1 picture that can't be read (c.tsv:6)"),
    "empty caption": ("c.tsv:6: a caption without words, '.'", "skipped: 1 caption without words (c.tsv:6)"),
    "empty split": ("c.tsv:6: the split is ''; there are: ", "skipped: 1 row that can't be read (c.tsv:6)"),
    "missing column": ("c.tsv:6: 2 columns, expected 3", "skipped: 1 row that can't be read (c.tsv:6)"),
    "unknown picture in a list": (
        "Flickr_8k.testImages.txt:2: the list of test names an unknown picture, 'nobody.jpg'",
        "skipped: 1 line with a picture that is not there (Flickr_8k.testImages.txt:2)",
    ),
    "picture without captions": (
        "Flickr_8k.trainImages.txt:3: ",
        "skipped: 1 picture without captions (Flickr_8k.trainImages.txt:3)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_and_line_or_counted(fault: str, tmp_path: Path) -> None:
    faulty(tmp_path, fault)
    message, note = FAULTS[fault]
    with pytest.raises(UserError) as error:
        made(tmp_path)
    said = str(error.value)
    assert said.startswith(message) and said.endswith("--data.bad_rows skip") and "\n" not in said, said
    data = made(tmp_path, bad_rows="skip")
    assert any(each.startswith(note) for each in data.notes), data.notes
    found = read(data)
    gone = set() if fault in ("empty caption", "empty split", "missing column", "unknown picture in a list") else {2}
    assert {gray for some in found.values() for gray, _ in some} == set(range(10)) - gone


def test_too_many_faults_are_an_error_all_the_same(tmp_path: Path) -> None:
    pictures(tmp_path, NAMES[:6])
    (tmp_path / "c.tsv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(UserError, match="8 of 20 can't be read, more than the 20%"):
        made(tmp_path, bad_rows="skip")


@pytest.mark.parametrize("form", ["files", "empty file", "column", "damaged pictures"])
def test_a_given_split_of_which_nothing_is_left_is_an_error(form: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    if form == "files":
        rows = TABLE.replace("\t", ",").replace("p8.png,a", "p8.png,").splitlines()
        for split in EXPECTED:
            text = "".join(f"{row[: -len(split) - 1]}\n" for row in rows[1:] if row.endswith(split))
            text = text.replace("p8", "nobody") if split == "val" else text
            (tmp_path / f"{split}.csv").write_text("image,caption\n" + text, encoding="utf-8")
        message = r"val.csv: 2 of 2 can't be read, more than the 20%"
    elif form == "empty file":
        for split in EXPECTED:
            (tmp_path / f"{split}.csv").write_text("image,caption\n" + "p0.png,a dog\n" * (split == "train"), "utf-8")
        message = r"test.csv: no captions in it"
    elif form == "column":
        (tmp_path / "c.tsv").write_text(TABLE.replace("p8.png", "nobody.png"), encoding="utf-8")
        message = r"nothing is left of val; .* there is no picture 'nobody.png'"
    else:
        (tmp_path / "c.tsv").write_text(TABLE, encoding="utf-8")
        (tmp_path / "p8.png").write_bytes(b"no picture")
        message = r"nothing is left of val; .*p8.png"
    with pytest.raises(UserError, match=message):
        made(tmp_path, bad_rows="skip")
    with pytest.raises(UserError) as error:
        made(tmp_path)
    assert "bad_rows" not in str(error.value)


def test_a_picture_is_in_one_split(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "c.tsv").write_text(TABLE + "p2.png\ta cat\ttest\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"c.tsv:22: 'p2.png' is in test, but at c.tsv:6 in train"):
        made(tmp_path)
    (tmp_path / "c.tsv").unlink()
    (tmp_path / "c.token").write_text(lines("{name}#{i}\t{text}"), encoding="utf-8")
    lists(tmp_path)
    with (tmp_path / "Flickr_8k.testImages.txt").open("a", encoding="utf-8") as stream:
        stream.write("p2.png\n")
    with pytest.raises(UserError, match=r"'p2.png' of .* is also named at .*; choose one split"):
        made(tmp_path)


def test_two_pictures_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    as_csv(tmp_path)
    pictures(tmp_path / "other", ["p2.png"])
    assert read(made(tmp_path)) == EXPECTED  # the table names the folder
    (tmp_path / "mine.csv").write_text(TABLE.replace("\t", ","), encoding="utf-8")
    with pytest.raises(UserError, match=r"are both called 'p2.png'"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": None}, "say where your captions are"),
        ({"path": "nowhere"}, "nowhere: no such file or folder"),
        ({"vocabulary": {"tokens": "chars"}}, "--data.vocabulary.tokens chars is for Chinese"),
        ({"language": "de"}, "--data.language is 'de'"),
        ({"language": "zh"}, "no captions in zh; see --data.language"),
        ({"images": "nowhere"}, "nowhere: no such folder; see --data.images"),
        ({"size": 0}, "size is 0; it must be at least 1"),
        ({"splits": {"val": 0.0}}, "--data.splits.val is 0.0"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    as_table_with_zips(tmp_path)
    text = (tmp_path / "captions.tsv").read_text(encoding="utf-8").replace("\tzh\t", "\ten\t")
    (tmp_path / "captions.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        CaptionData(**{"path": str(tmp_path), **options}).prepare_once()
    assert message in str(error.value)


def test_captions_in_another_language_are_refused(tmp_path: Path) -> None:
    as_csv(tmp_path)
    with pytest.raises(UserError, match=r"mine.csv:2: captions are written with spaces: use --data.language en"):
        made(tmp_path, language="zh")
    (tmp_path / "mine.csv").write_text("file,caption\nimgs/p1.png,两只狗在草地上奔跑\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine.csv:2: captions are written without spaces: use --data.language zh"):
        made(tmp_path)
    text = lines("imgs/{name},{text},none", "file,caption,split")
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="no captions in en, and 20 of images in no split"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (None, "", "there is none of .tsv, .txt, .csv, .jsonl, .json, .parquet, .xlsx"),
        (
            "c.csv",
            "image,a,b\np0.png,x,y\n",
            "looked at: c.csv:1: no column of captions in image, a, b; call it c",
        ),
        ("c.csv", "a,b\nx,y\n", "looked at: c.csv:1: no column of pictures in a, b; call it image (images, file_name"),
        ("c.json", '{"version": 1, "shapes": []}', "looked at: c.json: "),
        ("c.jsonl", '{"image": "p0.png"}', "looked at: c.jsonl:1: no column of captions in image; call it caption"),
        ("c.csv", "图片,描述\np0.png,狗\n", "looked at: c.csv:1: bytes that are not utf-8; if this is an older"),
        (
            "p0.txt",
            "a dog",
            "texts beside the pictures, such as p0.txt, are not read: write them into a table",
        ),
        ("text.zip", "", "looked at: text.zip holds Flickr8k.token.txt: unpack it into this folder"),
    ],
    ids=str,
)
def test_a_folder_without_captions_says_what_is_missing(
    name: str | None, text: str, message: str, tmp_path: Path
) -> None:
    pictures(tmp_path)
    if name == "text.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("Flickr8k.token.txt", lines("{name}#{i}\t{text}"))
    elif name is not None:
        (tmp_path / name).write_bytes(text.encode("gb18030"))
    with pytest.raises(UserError) as error:
        made(tmp_path)
    said = str(error.value)
    assert said.startswith(f"{tmp_path}: no file of captions; {message}") and "\n" not in said, said


def test_of_several_files_of_captions_one_is_to_be_named(tmp_path: Path) -> None:
    pictures(tmp_path)
    for name in ("a.token", "b.token"):
        (tmp_path / name).write_text(lines("{name}#{i}\t{text}"), encoding="utf-8")
    with pytest.raises(UserError, match=r"several files of captions, a.token, b.token"):
        made(tmp_path)
    assert len(read(made(tmp_path / "a.token"))["train"]) == 8


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    as_table_with_zips(tmp_path)
    (tmp_path / "part0.zip").write_bytes((tmp_path / "part0.zip").read_bytes()[:50])
    with pytest.raises(UserError, match=r"part0.zip: can't be read as a zip archive"):
        made(tmp_path)
