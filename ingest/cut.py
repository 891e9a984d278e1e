"""A block to the units that chunks are packed from: itself, or where it is too long its lines and sentences."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from ingest.blocks import Block

_WHOLE = 4  # code and tables are kept whole up to this many times the target length

_SENTENCE_ENDS = ("。", "！", "？", "；", "…", "。”", "！”", "？”", ". ", "! ", "? ", "; ")
_IMAGE = re.compile(r"data:[\w/+.;=-]{0,100};base64,[A-Za-z0-9+/=]{64,}")


class Unit(NamedTuple):
    """Characters `a` to `b` of a document, on lines `first` to `last` (from 0).

    `whole`: code or a table. `repeat`: the header lines of a table that goes on here, to stand before the text.
    """

    a: int
    b: int
    first: int
    last: int
    whole: bool = False
    repeat: str = ""

    def to(self, other: "Unit") -> "Unit":
        """From the beginning of this unit to the end of a later one."""
        return self._replace(b=other.b, last=other.last)


class Page:
    """The text of a document, its lines (parted by \\n alone), and the target length of a chunk."""

    def __init__(self, text: str, limit: int) -> None:
        self.lines = text.split("\n")
        self._text = text
        self._limit = limit
        self._starts = list(accumulate((len(line) + 1 for line in self.lines), initial=0))
        self._has_images = ";base64," in text

    def size(self, block: Block) -> int:
        """Length in characters."""
        return self._starts[block.end] - 1 - self._starts[block.start]

    def units(self, block: Block) -> Iterator[Unit | None]:
        """The units of a block in order; None where something is left out."""
        a, b = self._starts[block.start], self._starts[block.end] - 1
        whole = block.kind in ("code", "table")
        if block.kind == "drop":
            yield None
        elif block.kind == "heading" or self._may_stay(a, b, _WHOLE if whole else 1):
            yield Unit(a, b, block.start, block.end - 1, whole)
        else:
            yield from self._by_lines(block, whole)

    def _may_stay(self, a: int, b: int, times: int) -> bool:
        return b - a <= self._limit * times and not self._image_within(a, b)

    def _image_within(self, a: int, b: int) -> bool:
        return self._has_images and self._text.find(";base64,", a, b) >= 0

    def _by_lines(self, block: Block, whole: bool) -> Iterator[Unit | None]:
        """Lines packed up to the limit, twice that for code and tables. A line longer than that is cut."""
        times = 2 if whole else 1
        rows = block.start + block.header
        repeat = "".join(f"{line}\n" for line in self.lines[block.start : rows])
        if len(repeat) > self._limit // 2:
            repeat = ""
        packed: Unit | None = None
        for at in range(block.start, block.end):
            a, b = self._starts[at], self._starts[at + 1] - 1
            if not self._may_stay(a, b, times):
                if packed is not None:
                    yield packed
                packed = None
                yield from self._by_sentences(at, a, b, whole, repeat if at > rows else "")
            elif packed is not None and (b - packed.a + len(packed.repeat) <= self._limit * times or at <= rows):
                packed = packed._replace(b=b, last=at)
            else:
                if packed is not None:
                    yield packed
                packed = Unit(a, b, at, at, whole, repeat if at >= rows else "")
        if packed is not None:
            yield packed

    def _by_sentences(self, at: int, a: int, b: int, whole: bool, repeat: str) -> Iterator[Unit | None]:
        """Line `at`, which is characters `a` to `b`, in parts up to the limit, without embedded images."""
        images = _IMAGE.finditer(self._text, a, b) if self._image_within(a, b) else iter(())
        for image in images:
            yield from (Unit(*part, at, at, whole, repeat) for part in self._parts(a, image.start()))
            yield None
            a = image.end()
        yield from (Unit(*part, at, at, whole, repeat) for part in self._parts(a, b))

    def _parts(self, a: int, b: int) -> Iterator[tuple[int, int]]:
        while b - a > self._limit:
            cut = self._cut(a)
            yield from _stripped(self._text, a, cut)
            a = cut
        yield from _stripped(self._text, a, b)

    def _cut(self, a: int) -> int:
        """Where the part that begins at `a` ends: after the last sentence within the limit, else a word, else there."""
        text, least, most = self._text, a + self._limit // 4, a + self._limit
        cut = max((at + len(end) for end in _SENTENCE_ENDS if (at := text.rfind(end, least, most)) >= 0), default=0)
        cut = cut or text.rfind(" ", least, most) + 1 or most
        while cut > least and _continues(text, cut):
            cut -= 1
        return cut if cut > least else most


def _stripped(text: str, a: int, b: int) -> Iterator[tuple[int, int]]:
    """`a` and `b` without the white space at both ends, if anything is between."""
    part = text[a:b]
    inner = part.strip()
    if inner:
        a += len(part) - len(part.lstrip())
        yield a, a + len(inner)


def _continues(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before: accents, joiners, skin tones, parts of a syllable."""
    character = text[at]
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Me")
        or character == "\u200d"
        or text[at - 1] == "\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u1160" <= character <= "\u11ff"
    )
