"""A document to the passages that are searched and cited. Pure: the same document gives the same chunks.

Sections are cut at headings; small blocks of a section are packed up to the target length; code and tables stay whole.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ingest.blocks import Block, markdown, text
from ingest.cut import Page, Unit
from ingest.rst import rst
from kb.records import Chunk, Document, DocumentKind

VERSION = "1"  # goes into every chunk's id: change it when the same document would give other chunks

_BLOCKS: dict[DocumentKind, Callable[[list[str]], Iterator[Block]]] = {"markdown": markdown, "rst": rst, "text": text}
_TINY = 80  # characters besides headings: less is joined with a neighbour
_NOISE = 100  # characters: what is not indexed but no longer than this may stand within a chunk

_NOT_WORDS = (
    re.compile(r"!\[[^\[\]]*\](?:\([^()]*\)|\[[^\[\]]*\])"),
    re.compile(r"\[\s*\]\([^()]*\)"),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"<[^<>]*>"),
)


def split(document: Document, chunk_chars: int) -> list[Chunk]:
    """The chunks of `document`, about `chunk_chars` characters long, code and tables up to four times that.

    The text of a chunk is found as it is in lines start..end of the document: whole lines, or a part where a line is
    longer than a chunk. Where a long table is cut, each further part begins with the table's header lines again.
    Navigation, comments, front matter, embedded images and chunks of nothing but headings or images are left out.
    """
    drafts = _join_tiny(list(_pack(document, chunk_chars)), chunk_chars)
    if any(draft.body for draft in drafts):
        drafts = [draft for draft in drafts if draft.body]
    chunks: list[Chunk] = []
    for draft in drafts:
        span = draft.span
        passage = span.repeat + document.text[span.a : span.b]
        if _has_words(passage):
            name = "\0".join((document.key, str(len(chunks)), passage, VERSION))
            identity = f"{document.key}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
            place = span.first + 1, span.last + 1
            chunks.append(Chunk(identity, document.key, len(chunks), draft.path, *place, passage))
    return chunks


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk in the making: from its first unit to its last.

    `body` counts characters besides headings; `cut`: something was left out before it; `before` is the span without
    the last unit.
    """

    span: Unit
    path: tuple[str, ...]
    body: int
    cut: bool
    last: Unit | None = None
    before: Unit | None = None

    def grown(self, unit: Unit) -> "_Draft":
        size = unit.b - unit.a
        return replace(self, span=self.span.to(unit), body=self.body + size, last=unit, before=self.span)


def _pack(document: Document, limit: int) -> Iterator[_Draft]:
    """Blocks to drafts: a new one at each heading, and where the next unit would make it longer than `limit`."""
    page = Page(document.text, limit)
    sections: list[Block] = []
    path: tuple[str, ...] = ()
    draft: _Draft | None = None
    cut = False
    for block in _BLOCKS[document.kind](page.lines):
        if block.kind == "heading":
            while sections and sections[-1].level >= block.level:
                sections.pop()
            sections.append(block)
            path = tuple(section.title for section in sections if section.title)
        for unit in page.units(block):
            if unit is None and page.size(block) <= _NOISE:
                continue
            if draft and unit and block.kind != "heading":
                if _fits(draft, unit, limit):
                    draft = draft.grown(unit)
                    continue
                if draft.before and draft.last and unit.whole and _introduces(draft.last, document.text, limit):
                    size = draft.last.b - draft.last.a
                    yield replace(draft, span=draft.before, body=draft.body - size)
                    draft = _Draft(draft.last, path, size, cut=False).grown(unit)
                    continue
            if draft:
                yield draft
            draft = _Draft(unit, path, 0 if block.kind == "heading" else unit.b - unit.a, cut) if unit else None
            cut = unit is None
    if draft:
        yield draft


def _fits(draft: _Draft, unit: Unit, limit: int) -> bool:
    if unit.repeat:
        return False
    if unit.whole and draft.body < limit // 4:  # code and tables stay with the words before them
        limit *= 2
    return draft.body == 0 or unit.b - draft.span.a <= limit


def _introduces(unit: Unit, text: str, limit: int) -> bool:
    """Whether these are a few words that end in a colon: they go with the code or table that follows."""
    return not unit.whole and unit.b - unit.a <= limit // 4 and text[unit.a : unit.b].rstrip().endswith((":", "："))


def _join_tiny(drafts: list[_Draft], limit: int) -> list[_Draft]:
    """A tiny draft goes to the one before if that is the same section, else to the next under the same parent."""
    kept: list[_Draft] = []
    for i, draft in enumerate(drafts):
        if draft.body < _TINY:
            back = bool(kept) and _joinable(kept[-1], draft, draft, limit)
            ahead = i + 1 < len(drafts) and _joinable(draft, drafts[i + 1], draft, limit)
            if ahead and not (back and kept[-1].path == draft.path):
                drafts[i + 1] = _joined(draft, drafts[i + 1])
                continue
            if back and draft.body:
                kept[-1] = _joined(kept[-1], draft)
                continue
        kept.append(draft)
    return kept


def _joinable(first: _Draft, second: _Draft, tiny: _Draft, limit: int) -> bool:
    other = second if tiny is first else first
    parent = tiny.path[:-1]
    is_heading = tiny is first and tiny.body == 0 and tiny.span.b - tiny.span.a <= limit // 2
    near = is_heading or second.span.b - first.span.a <= limit * 2
    return near and other.path[: len(parent)] == parent and not second.cut and not second.span.repeat


def _joined(first: _Draft, second: _Draft) -> _Draft:
    path = second.path if second.body >= first.body else first.path
    return _Draft(first.span.to(second.span), path, first.body + second.body, first.cut)


def _has_words(passage: str) -> bool:
    """Whether anything is left of the passage without images, comments and tags."""
    if "![" in passage or "<" in passage:
        for pattern in _NOT_WORDS:
            passage = pattern.sub(" ", passage)
    return any(map(str.isalnum, passage))
