"""Foreign formats to Markdown: html, docx, pptx, xlsx through unstructured; epub and odt through pandoc; pdf.

Runs in the reader process (ingest/reader.py) only: these libraries take seconds to import and may hang or crash.
"""

import html
import importlib
import io
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.files import Unreadable, read_file
from ingest.pdf import read_pdf
from kb.decode import decode

if TYPE_CHECKING:
    from spacy.language import Language
    from unstructured.documents.elements import Element

_PANDOC = frozenset({"epub", "odt"})
_ZIPPED = frozenset({"docx", "pptx", "xlsx", "epub", "odt"})
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MARKUP = re.compile(r"^(?= {0,3}(?:#{1,6}(?:\s|$)|`{3,}|~{3,}|-{3,}\s*$|={3,}\s*$|<))", re.MULTILINE)
_PAGE = re.compile(r"^# \(?p\. \d+\)?$", re.MULTILINE)
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)
_CORE_TITLE = re.compile(r"<dc:title[^<>]*>([^<]*)</dc:title>")
_NO_TITLE = frozenset({"powerpoint presentation", "word document", "untitled", "document", "presentation"})
_HEAP_EXHAUSTED = 'exitcode "251"'  # how a program of GHC's ends then, in pypandoc's words
_OLE = b"\xd0\xcf\x11\xe0"


def prepare(kind: str) -> None:
    """Import what reading a format takes, so that a process forked from this one has it at once."""
    if kind == "pdf":
        importlib.import_module("pdfminer.high_level")
        return
    if kind in _PANDOC:
        importlib.import_module("pypandoc")
    _partition("html" if kind in _PANDOC else kind)


def to_markdown(path: Path, kind: str, limit: int, room: int) -> tuple[str, str]:
    """The title ("" if it has none) and the Markdown text of a file of at most `limit` bytes.

    A program that this starts may take `room` bytes of memory.

    Raises:
        Unreadable: with the reason. MemoryError. Anything else that escapes means that the file is broken.
    """
    data, _ = read_file(path, limit)
    if data.startswith(_OLE):
        raise Unreadable("broken", "protected by a password, or an Office format from before 2007")
    if kind in _ZIPPED and not zipfile.is_zipfile(io.BytesIO(data)):
        raise Unreadable("broken", f"not the zip archive that a .{kind} is; it may be cut short")
    if kind == "pdf":
        title, pages = read_pdf(data)
        text = _blocks_to_text(_pages(pages))
    elif kind in ("html", "htm"):
        title, text = _html(_decoded(data))
    elif kind in _PANDOC:
        title, text = _html(_through_pandoc(path, kind, room))
        title = "" if title == path.stem else title
    else:
        elements = _partition(kind)(file=io.BytesIO(data), languages=[""], **_OPTIONS.get(kind, {}))
        title, text = _core_title(data), _blocks_to_text(_RENDER.get(kind, _document)(elements))
    text = _UNPRINTABLE.sub("", text)
    if not any(map(str.isalnum, _PAGE.sub("", text))):
        raise Unreadable("empty", "no text layer; it may be a scan" if kind == "pdf" else "no text was found in it")
    return " ".join(_UNPRINTABLE.sub("", title).split()), text


_OPTIONS: dict[str, dict[str, Any]] = {"pptx": {"include_slide_notes": True}}


def _partition(kind: str) -> Any:
    """unstructured's function for a format."""
    from unstructured.nlp import tokenize

    _sentences()  # made before the fork, not by each child again
    tokenize._load_spacy_model = _sentences
    kind = "html" if kind == "htm" else kind
    return getattr(importlib.import_module(f"unstructured.partition.{kind}"), f"partition_{kind}")


@cache
def _sentences() -> "Language":
    """What cuts sentences for unstructured, which would fetch a spaCy model from the network at the first paragraph it sees.

    All it asks of that model are sentences, which spaCy's own rules give without one.
    """
    import spacy

    language = spacy.blank("en")
    language.add_pipe("sentencizer")
    return language


def _decoded(data: bytes) -> str:
    """A page's text: in UTF-8 or the charset that it declares, or else as any text."""
    declared = _CHARSET.search(data[:4096])
    for encoding in ("utf-8", declared[1].decode() if declared else "utf-8"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return decode(data)[0]


def _through_pandoc(path: Path, kind: str, room: int) -> str:
    """HTML of an epub or odt. --sandbox: pandoc opens no other file and no address."""
    import pypandoc

    heap = f"-M{room * 7 // 8}"  # the rest is for the pages of its program
    options = ["--sandbox", "--standalone", "+RTS", heap, "-RTS"]
    try:
        return str(pypandoc.convert_file(str(path), "html", format=kind, extra_args=options))
    except RuntimeError as error:
        if _HEAP_EXHAUSTED in str(error):
            raise MemoryError from error
        raise


def _html(page: str) -> tuple[str, str]:
    title = _TITLE.search(page)
    if not page.strip():
        return "", ""
    elements = _partition("html")(text=page, languages=[""])
    return html.unescape(title[1]) if title else "", _blocks_to_text(_document(elements))


def _core_title(data: bytes) -> str:
    """The title among an Office file's properties, unless it is what the program puts there by itself."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        if "docProps/core.xml" not in package.namelist():
            return ""
        with package.open("docProps/core.xml") as core:
            found = _CORE_TITLE.search(core.read(64 * 1024).decode("utf-8", "replace"))
    title = html.unescape(found[1]).strip() if found else ""
    return "" if title.lower() in _NO_TITLE else title


_Blocks = Iterator[tuple[str, bool]]  # Markdown, and whether it is a list item, which follows another without a gap


def _document(elements: "list[Element]") -> _Blocks:
    """html and docx: their headings have levels."""
    for element in elements:
        if element.category == "Title":
            yield "#" * min(6, 1 + (element.metadata.category_depth or 0)) + " " + " ".join(element.text.split()), False
        else:
            yield from _block(element)


def _slides(elements: "list[Element]") -> _Blocks:
    """pptx: a section a slide, under its title and number."""
    page = None
    for element in elements:
        if element.category == "PageBreak":
            continue
        new, page = element.metadata.page_number != page, element.metadata.page_number
        is_title = new and element.category == "Title" and not element.metadata.category_depth
        if new:
            title = " ".join(element.text.split()) + " " if is_title else ""
            yield f"# {title}(p. {page})", False
        if not is_title:
            yield from _block(element)


def _sheets(elements: "list[Element]") -> _Blocks:
    """xlsx: a section a sheet."""
    name = None
    for element in elements:
        if element.metadata.page_name != name:
            name = element.metadata.page_name
            yield f"# {name}", False
        yield from _block(element)


def _pages(pages: list[list[str]]) -> _Blocks:
    """pdf: a section a page."""
    for number, paragraphs in enumerate(pages, start=1):
        if paragraphs:
            yield f"# p. {number}", False
            yield from ((_escaped(paragraph), False) for paragraph in paragraphs)


_RENDER = {"pptx": _slides, "xlsx": _sheets}


def _block(element: "Element") -> _Blocks:
    text = element.text.strip()
    kind = element.category
    if not text or kind in ("Image", "Header", "Footer", "PageNumber", "PageBreak"):
        return
    if kind == "CodeSnippet":
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        yield f"{fence}\n{element.text.strip(chr(10))}\n{fence}", False
    elif kind == "Table" and element.metadata.text_as_html:
        yield _pipe_table(element.metadata.text_as_html), False
    elif kind == "ListItem":
        yield "  " * max(0, (element.metadata.category_depth or 0) - 1) + "- " + " ".join(text.split()), True
    else:
        yield _escaped(text), False


def _escaped(text: str) -> str:
    """A paragraph so that none of its lines reads as a heading, a fence or a tag."""
    return _MARKUP.sub(r"\\", text)


def _pipe_table(table: str) -> str:
    from lxml.html import fragment_fromstring

    rows = [
        [" ".join(cell.text_content().split()).replace("|", r"\|") for cell in row.iterchildren("td", "th")]
        for row in fragment_fromstring(table).iter("tr")
    ]
    width = max(map(len, rows), default=0)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return "\n".join([*lines[:1], "|" + " --- |" * width, *lines[1:]])


def _blocks_to_text(blocks: _Blocks) -> str:
    parts: list[str] = []
    item_before = False
    for block, is_item in blocks:
        parts.append(("\n" if item_before and is_item else "\n\n") + block)
        item_before = is_item
    return "".join(parts).lstrip("\n") + "\n"
