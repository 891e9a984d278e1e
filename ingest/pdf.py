"""The text of a PDF in reading order, by page. It is pdfminer that reads it, as in unstructured's "fast" strategy."""

import io
import re
from typing import Any

from ingest.files import Unreadable

_UNMAPPED = re.compile(r"\(cid:\d+\)")  # what pdfminer writes where a font does not say which character it shows
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_CJK_JOINT = re.compile(rf"(?<=[{_CJK}])\n(?=[{_CJK}])")
_HYPHEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_NO_TITLE = re.compile(r"\W*|untitled.*|microsoft (word|powerpoint) - .*|.*\.(docx?|pptx?|tex|dvi|indd|pdf)", re.IGNORECASE)


def read_pdf(data: bytes) -> tuple[str, list[list[str]]]:
    """The title ("" if none is found) and the paragraphs of each page.

    Raises:
        Unreadable: a password is needed, or the fonts do not say which characters they show. pdfminer's own errors
            mean that the file is broken.
    """
    from pdfminer.high_level import extract_pages
    from pdfminer.layout import LAParams
    from pdfminer.pdfdocument import PDFPasswordIncorrect

    try:
        layout = extract_pages(io.BytesIO(data), laparams=LAParams())
        pages = [[box for box in page if hasattr(box, "get_text")] for page in layout]
        title = _property_title(data) or _largest(pages[0] if pages else [])
    except PDFPasswordIncorrect as error:
        raise Unreadable("broken", "protected by a password") from error
    texts = [[_paragraph(box.get_text()) for box in page] for page in pages]
    whole = "".join(text for page in texts for text in page)
    if 10 * len(_UNMAPPED.findall(whole)) > len(whole):
        raise Unreadable("broken", "its fonts do not say which characters they show")
    return title, [[clean for text in page if (clean := _UNMAPPED.sub("", text)) and not clean.isdecimal()] for page in texts]


def _paragraph(text: str) -> str:
    """The lines of a box as one: hyphenated words whole again, Chinese without spaces where lines met."""
    return " ".join(_CJK_JOINT.sub("", _HYPHEN.sub("", text.strip())).split())


def _property_title(data: bytes) -> str:
    from pdfminer.pdfdocument import PDFDocument
    from pdfminer.pdfparser import PDFParser
    from pdfminer.pdftypes import resolve1
    from pdfminer.utils import decode_text

    for properties in PDFDocument(PDFParser(io.BytesIO(data))).info:
        title = resolve1(properties.get("Title"))
        text = decode_text(title).strip() if isinstance(title, bytes) else ""
        if not _NO_TITLE.fullmatch(text):
            return text
    return ""


def _largest(boxes: list[Any]) -> str:
    """The paragraph in the largest letters of a page, the topmost of equals, if it is short enough for a title."""
    sizes = [(_letter_size(box), _paragraph(box.get_text())) for box in boxes]
    largest = max((size for size, _ in sizes), default=0)
    return next((text for size, text in sizes if size == largest and 3 <= len(text) <= 200), "")


def _letter_size(box: Any) -> float:
    """The size of the first letter in a box, in points."""
    while box is not None and not hasattr(box, "size"):
        box = next((part for part in box if hasattr(part, "get_text")), None) if hasattr(box, "__iter__") else None
    return round(box.size, 1) if box is not None else 0.0
