"""Build the book: the course, the guides, the reference and the results, in both languages, as pages for a browser.

    pip install -e ".[docs]"
    python docs/make.py                    build/docs/en/index.html and build/docs/zh/index.html
    python docs/make.py --language zh --out FOLDER

The pages need no network and no server. Formulas are MathML; Chinese words of the search index are cut by jieba.
"""

from __future__ import annotations

import argparse
import html
import json
import logging
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import lightning_nn  # noqa: E402
from lightning_nn.lessons.catalogue import CHAPTERS, LANGUAGES, Language, Text, entries  # noqa: E402
from lightning_nn.lessons.lesson import load  # noqa: E402

TITLE = Text("Neural networks, a course that runs", "神经网络：一门可以运行的课")
ABOUT = Text(
    "Each lesson is one statement, shown by a small run that takes seconds on a laptop, without a network: a table, a "
    "figure, and claims with their numbers, checked with three seeds. Read the lessons in their order; run each as you "
    "read it, turn its knob, and see when a claim no longer holds.",
    "每一课讲一个论断，由一次小小的运行来展示：在笔记本上几秒钟就能跑完，不用联网，给出一张表、一幅图，"
    "以及带数字的论断，用三个随机种子验证过。按顺序读下去；边读边运行，拧一拧旋钮，看看论断到什么时候就不成立了。",
)
PICTURE = Text("Momentum: two ways down a ravine, and through two traps", "动量：下峡谷的两条路，冲过两个陷阱")
GUIDE = Text("Guide", "使用指南")
MORE = Text("Reference", "参考")
GLOSSARY, RESULTS = Text("Glossary", "术语表"), Text("Results", "结果")
REFERENCE = Text("Public names", "公开的名字")
HELD = Text("{holds} of {claims} claims hold", "{claims} 条论断中 {holds} 条成立")
CHINESE = {"Next": "下一页", "Previous": "上一页"}  # words of the theme that Sphinx has no translation of
OTHER: dict[Language, tuple[Language, str]] = {"en": ("zh", "中文"), "zh": ("en", "English")}
WIDE = "\u2018-\u201d\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"  # Chinese characters and their punctuation
EXTENSIONS = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml"]


def build(language: Language, out: Path, *, reference: bool = True) -> None:
    """Build the book of one language.

    Args:
        language: of the book.
        out: folder of the books; this one is written to its folder `language`.
        reference: also document the public names, which imports torch.

    Raises:
        RuntimeError: a page has an error.
    """
    import jieba
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    jieba.setLogLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary, patch_docutils(), docutils_namespace():
        source = Path(temporary) / "source"
        write_sources(language, source, reference=reference)
        shutil.rmtree(out / language, ignore_errors=True)
        app = Sphinx(
            srcdir=source,
            confdir=None,
            outdir=out / language,
            doctreedir=Path(temporary) / "doctrees",
            buildername="html",
            confoverrides=settings(language),
            status=None,
            warning=sys.stderr,
        )
        if language == "zh":
            app.connect("html-page-context", _translate_theme)
        app.build(force_all=True)
        if app.statuscode:
            raise RuntimeError(f"the book in {language} has errors; see above")


def _translate_theme(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Translate the words of the theme that Sphinx leaves in English."""
    from sphinx.locale import get_translation

    translate = get_translation("sphinx")
    context["_"] = lambda text: CHINESE.get(text) or translate(text)


def settings(language: Language) -> dict[str, Any]:
    """Return the settings of Sphinx."""
    return {
        "project": TITLE.into(language),
        "language": {"en": "en", "zh": "zh_CN"}[language],
        "extensions": EXTENSIONS,
        "html_theme": "furo",
        "html_title": TITLE.into(language),
        "html_math_renderer": "mathml",
        "html_search_language": language,
        "html_static_path": ["_static"],
        "html_js_files": [("frames.js", {"defer": "defer"}), *(["search.js"] if language == "zh" else [])],
        "html_css_files": ["book.css"],
        "html_copy_source": False,
        "html_show_copyright": False,
        "html_show_sphinx": False,
        "myst_enable_extensions": ["dollarmath"],
        "napoleon_use_ivar": True,
        "autodoc_typehints": "description",
        "autodoc_member_order": "bysource",
        "suppress_warnings": ["myst.xref_missing", "myst.header", "autodoc", "docutils", "ref.python"],
    }


def write_sources(language: Language, source: Path, *, reference: bool = True) -> None:
    """Write the pages of one language as Sphinx reads them."""
    for folder in (DOCS / "course" / language, DOCS / "guide" / language):
        for page in sorted(folder.glob("*.md")):
            target = source / folder.parent.name / language / page.name
            target.parent.mkdir(parents=True, exist_ok=True)
            text = adapt(page.read_text(encoding="utf-8"), page, language)
            if folder.parent.name == "course" and page.stem in entries():
                text = add_sliders(text, page.stem, language)
            target.write_text(text, encoding="utf-8")
    shutil.copytree(DOCS / "course" / "figures", source / "course" / "figures")
    shutil.copytree(DOCS / "book", source / "_static")
    shutil.copytree(DOCS / "course" / "figures", source / "_static" / "frames", ignore=_only_frames)
    shutil.copytree(DOCS / "gallery", source / "gallery")
    for page, title in ((DOCS / "course" / "glossary.md", GLOSSARY), (DOCS / "results.md", RESULTS)):
        text = page.read_text(encoding="utf-8").replace(f"# {title.en}\n", f"# {title.into(language)}\n", 1)
        (source / page.name).write_text(adapt(text, page, language), encoding="utf-8")
    if reference:
        (source / "reference.rst").write_text(write_reference(language), encoding="utf-8")
    (source / "index.md").write_text(write_index(language, reference=reference), encoding="utf-8")


def adapt(text: str, page: Path, language: Language) -> str:
    """Return a page for the book.

    The other language is another book, files outside of it are named, not linked, and a line of Chinese that goes on in
    the next one is joined to it, since browsers show a line break as a space.
    """
    other, name = OTHER[language]
    here = page.relative_to(DOCS).with_suffix(".html").as_posix().replace(f"/{language}/", f"/{other}/")
    up = "../" * len(page.relative_to(DOCS).parts)
    text = re.sub(rf"^\[{name}\]\([^)]*\)$", f'<a href="{up}{other}/{here}">{name}</a>', text, flags=re.M)

    def link(match: re.Match[str]) -> str:
        target = match[2].partition("#")[0]
        if "://" in target or not target:
            return match[0]
        file = (page.parent / target).resolve()
        inside = file.is_relative_to(DOCS / "course") or file.is_relative_to(DOCS / "guide" / language)
        return match[0] if inside else match[1]

    text = re.sub(r"(?<!!)\[([^]\n]*)\]\(([^)\s]*)\)", link, text)
    return re.sub(rf"(?<=[{WIDE}])\n *(?=[{WIDE}])", "", text)


def _only_frames(folder: str, names: list[str]) -> list[str]:
    """Return the figures that stand beside the folders of frames, which are pages' images."""
    return [name for name in names if Path(folder) == DOCS / "course" / "figures" and name.endswith(".png")]


def add_sliders(text: str, name: str, language: Language) -> str:
    """Return the page of a lesson with a slider after its figure for each knob that has frames."""
    frames = json.loads((DOCS / "course" / "results" / f"{name}.json").read_text(encoding="utf-8")).get("frames", {})
    sliders = "".join(f"\n{slider(name, knob, drawn, language)}\n" for knob, drawn in frames.items())
    return re.sub(
        rf"^(!\[[^]]*\]\(\.\./figures/{name}\.png\))$", lambda match: match[1] + "\n" + sliders, text, flags=re.M
    )


def slider(name: str, knob: str, drawn: list[dict[str, Any]], language: Language) -> str:
    """Return the slider of a knob; it is hidden until frames.js moves it to the figure."""
    lesson = load(name)
    frames = [
        {
            "file": f"../../_static/frames/{name}/{knob}-{number}.png",
            "text": f"{knob} = {frame['value']} ({HELD.into(language).format(**frame)})",
        }
        for number, frame in enumerate(drawn)
    ]
    values = [frame["value"] for frame in drawn]
    start = values.index(lesson.defaults[knob])
    label = f"{knob}{': ' if language == 'en' else '：'}{lesson.knobs[knob].about.into(language)}"
    return (
        f'<div class="frames" data-figure="{name}" data-frames="{html.escape(json.dumps(frames))}" hidden>'
        f'<label for="frame-{knob}">{html.escape(label)}</label>'
        f'<input id="frame-{knob}" type="range" min="0" max="{len(drawn) - 1}" step="1" value="{start}">'
        f'<output for="frame-{knob}" aria-live="polite"></output></div>'
    )


def write_index(language: Language, *, reference: bool) -> str:
    """Return the first page: what the course is, the lessons by chapter, the guides and the rest."""
    contents = [f"# {TITLE.into(language)}\n\n{ABOUT.into(language)}\n"]
    contents.append(f"```bash\npython train.py lesson\npython train.py lesson {CHAPTERS[0].lessons[0].name}\n```\n")
    contents.append(f"![{PICTURE.into(language)}](course/figures/momentum.png)\n")
    for number, chapter in enumerate(CHAPTERS, 1):
        pages = {f"course/{language}/{entry.name}": entry.title.into(language) for entry in chapter.lessons}
        contents.append(toctree(f"{number}. {chapter.title.into(language)}", pages, language))
    guides = [f"guide/{language}/{page.stem}" for page in sorted((DOCS / "guide" / language).glob("*.md"))]
    contents.append(toctree(GUIDE.into(language), dict.fromkeys(guides, ""), language))
    rest = ["glossary", "results", *(["reference"] if reference else [])]
    contents.append(toctree(MORE.into(language), dict.fromkeys(rest, ""), language))
    return "\n".join(contents)


def toctree(caption: str, pages: dict[str, str], language: Language) -> str:
    """Return a list of pages, each with what it is about, and the same for the sidebar, as MyST has it."""
    colon = ": " if language == "en" else "："
    rows = "\n".join(f"- {{doc}}`{page}`{colon + about if about else ''}" for page, about in pages.items())
    names = "\n".join(pages)
    return f"## {caption}\n\n{rows}\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```\n"


def write_reference(language: Language) -> str:
    """Return the page of the public names, which Sphinx fills from their docstrings."""
    title = REFERENCE.into(language)
    parts = [title, "=" * 2 * len(title), ""]
    parts += [f".. autoclass:: lightning_nn.{name}\n   :no-index-entry:\n" for name in lightning_nn.__all__]
    parts += [
        ".. automodule:: lightning_nn.layers\n   :members:\n",
        ".. automodule:: lightning_nn.lessons\n   :members:\n",
    ]
    return "\n".join(parts)


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", choices=LANGUAGES, help="only this one")
    parser.add_argument("--out", type=Path, default=DOCS.parent / "build" / "docs", help="folder of the books")
    options = parser.parse_args()
    for language in [options.language] if options.language else LANGUAGES:
        build(language, options.out)
        print(options.out / language / "index.html")


if __name__ == "__main__":
    main()
