"""Answer by quoting: the sentences, table rows and whole command blocks that carry the most of the question, with what stands
around them.

No weights: what a word is worth is its inverse document frequency in the knowledge base.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kb.index import Generation
from kb.records import Chunk, Hit, Quote, first_line
from kb.words import weighted_words
from kb.worth import Worth

_MAX_QUOTES = 2
_MAX_LINES = 60  # of one part of a quotation
_QUOTED = 800  # characters of a quotation, but for a single part that is longer
_PARAGRAPH = 400  # characters; a longer one is quoted by the sentence
_LED = 1000  # characters of a list or block that belongs to the line that introduces it
# Set on the questions of one corpus (see decisions):
_PASSAGE = 2.5  # what the rank of a passage weighs beside the share of the question that a part of it carries
_LABEL = 24  # characters: less is a title or a label, and no answer
_NEXT_SHARE = 0.7  # a further quotation is worth at least this share of the first
_ADDS = 0.05  # share of the question that a further passage must add

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_SENTENCE = re.compile(r".+?(?:[。！？!?；]+[”’」』）)]*|\.(?=\s|$)|$)\s*", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)、])\s+")
_NO_TEXT = re.compile(r"\s*(?:#|<!--|:::|\.\.(?:\s|$)|[-=|:+~^\s]+$)")  # headings, markers, rules, table borders


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a chunk that can be quoted by itself: a text, a table row, or a code block with what introduces it."""

    kind: Literal["text", "row", "code"]
    text: str
    start: int  # lines of the document, inclusive
    end: int


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer as Markdown pieces, and what it quotes; none where there is nothing to quote."""

    pieces: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()


def units(chunk: Chunk) -> list[Unit]:
    """The paragraphs (sentences of long ones), list items, table rows and code blocks of a chunk, in order.

    A line that ends in a colon takes along the list or block that it introduces.
    """
    found: list[Unit] = []
    in_list = False  # the last unit is a list with the line that introduces it
    for block in _blocks(chunk):
        before, item = found[-1] if found else None, bool(_BULLET.match(block.text))
        led = before is not None and before.kind == "text" and (_introduces(before) or block.kind == "code" or (in_list and item))
        if before and led and len(before.text) + len(block.text) <= _LED:
            gap = "" if item else "\n"
            kind = "code" if block.kind == "code" else before.kind
            found[-1] = Unit(kind, f"{before.text}\n{gap}{block.text}", before.start, block.end)
            in_list = item
        else:
            found.append(block)
            in_list = False
    return [part for unit in found for part in (_sentences(unit) if unit.kind == "text" else [unit])]


def _introduces(unit: Unit) -> bool:
    return unit.text.rstrip(" *`").endswith((":", "："))


def _blocks(chunk: Chunk) -> Iterator[Unit]:
    lines = chunk.text.split("\n")
    # A table that goes on here begins with its header lines again, which stand further up in the document.
    first = first_line(chunk.start, chunk.end, chunk.text)
    at, header, in_list = 0, "", False
    while at < len(lines):
        line, number, end = lines[at], max(first + at, chunk.start), at
        if fence := _FENCE.match(line):
            mark = fence.group(1)
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(mark)), len(lines) - 1)
            yield Unit("code", "\n".join(lines[at : end + 1]), number, first + end)
        elif line.startswith("    ") and line.strip() and not in_list:
            end = max(i for i in range(at, _indented_to(lines, at)) if lines[i].strip())
            code = textwrap.dedent("\n".join(lines[at : end + 1]))
            yield Unit("code", f"```\n{code}\n```", number, first + end)
        elif line.lstrip().startswith("|") and not _NO_TEXT.fullmatch(line):
            if not (at and lines[at - 1].lstrip().startswith("|")):
                header = line.strip()
            else:
                rule = re.sub(r"[^|]+", "---", header)
                yield Unit("row", f"{header}\n{rule}\n{line.strip()}", number, number)
        elif line.strip() and not _NO_TEXT.match(line):
            while end + 1 < len(lines) and _continues(lines[end + 1]):
                end += 1
            in_list = bool(_BULLET.match(line)) or (in_list and line.startswith(" "))
            yield Unit("text", "\n".join(lines[at : end + 1]).strip(), number, first + end)
        at = end + 1


def _indented_to(lines: list[str], at: int) -> int:
    """Where the indented block that starts at `at` ends, exclusive."""
    return next((i for i in range(at, len(lines)) if lines[i].strip() and not lines[i].startswith("    ")), len(lines))


def _continues(line: str) -> bool:
    """Whether a line goes on with the paragraph before it."""
    return bool(line.strip()) and not (
        _FENCE.match(line) or _BULLET.match(line) or _NO_TEXT.match(line) or line.lstrip().startswith("|")
    )


def _sentences(unit: Unit) -> Iterator[Unit]:
    if len(unit.text) <= _PARAGRAPH:
        yield unit
        return
    for match in _SENTENCE.finditer(unit.text):
        if text := match.group().strip():
            start = unit.start + unit.text.count("\n", 0, match.start())
            yield Unit("text", text, start, start + text.count("\n"))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an answer may stand: unit `at` of a passage, which lies in its chunk `chunk`."""

    hit: Hit
    at: int
    chunk: int
    score: float


def quote(question: str, before: Sequence[str], hits: Sequence[Hit], generation: Generation) -> Quoted:
    """Quote what answers `question`, asked after the questions `before`, out of `hits`: from one page, to read as one."""
    worth = Worth(weighted_words(question, before), generation)
    parts = {hit.n: units(hit.chunk) for hit in hits}
    carried = {hit.n: [worth.of(_above(hit)) | worth.of(unit.text) for unit in parts[hit.n]] for hit in hits}
    places = []
    for hit in hits:
        for at, unit in enumerate(parts[hit.n]):
            chunk, score = _chunk(hit, unit)
            share = sum(carried[hit.n][at].values()) / worth.total
            says = min(1.0, len(unit.text) / _LABEL)
            places.append(_Place(hit, at, chunk, share + says + _PASSAGE * score / (hits[0].score or 1)))
    if not places:
        return Quoted()
    places.sort(key=lambda place: -place.score)
    chosen = _choose(places, parts, carried, worth.total)
    return _quoted(sorted(chosen, key=lambda pair: pair[0].chunk.start), parts)


def _above(hit: Hit) -> str:
    """Where a passage stands: what its text need not repeat."""
    return "\n".join((hit.path, hit.title, *hit.chunk.heading))


def _chunk(hit: Hit, unit: Unit) -> tuple[int, float]:
    """Which chunk of a passage a unit lies in, and the score of that."""
    scores = ((n, score) for n, (start, end, score) in enumerate(hit.joined) if start <= unit.start <= end)
    return next(scores, (0, hit.score))


def _choose(
    places: Sequence[_Place], parts: Mapping[int, Sequence[Unit]], carried: Mapping[int, Sequence[dict[str, float]]], total: float
) -> list[tuple[Hit, list[int]]]:
    """The passages to quote, with the units of each: around the best places, one a chunk, of the page that has the best one."""
    chosen: dict[int, tuple[Hit, set[int]]] = {}
    quoted: set[tuple[int, int]] = set()
    known: dict[str, float] = {}
    for place in places:
        n = place.hit.n
        if place.score < _NEXT_SHARE * places[0].score or len(quoted) == _MAX_QUOTES:
            break
        if place.hit.chunk.document != places[0].hit.chunk.document or (n, place.chunk) in quoted:
            continue
        if n in chosen and place.at in chosen[n][1]:
            continue
        around = _around(parts[n], place.at)
        carries = known.copy()
        for at in around:
            carries |= carried[n][at]
        if chosen and n not in chosen and sum(carries.values()) - sum(known.values()) < _ADDS * total:
            continue
        known = carries
        quoted.add((n, place.chunk))
        chosen.setdefault(n, (place.hit, set()))[1].update(around)
    return [(hit, sorted(every)) for hit, every in chosen.values()]


def _around(parts: Sequence[Unit], at: int) -> range:
    """A unit with what stands after and before it in its passage, up to _QUOTED characters: an answer seldom is one sentence."""
    first = last = at
    size = len(parts[at].text)
    while True:
        if last + 1 < len(parts) and size + len(parts[last + 1].text) <= _QUOTED:
            last += 1
            size += len(parts[last].text)
        elif first > 0 and size + len(parts[first - 1].text) <= _QUOTED:
            first -= 1
            size += len(parts[first].text)
        else:
            return range(first, last + 1)


def _quoted(chosen: Sequence[tuple[Hit, Sequence[int]]], parts: Mapping[int, Sequence[Unit]]) -> Quoted:
    pieces, quotes = [], []
    for hit, every in chosen:
        excerpts: list[list[Unit]] = []
        for before, at in zip((-2, *every), every, strict=False):
            if at != before + 1:
                excerpts.append([])
            excerpts[-1].append(parts[hit.n][at])
        text = "\n\n…\n\n".join(map(_markdown, excerpts))
        pieces.append(f"{text}{' ' if excerpts[-1][-1].kind == 'text' else chr(10) * 2}[{hit.n}]\n\n")
        quotes += [Quote(hit.n, excerpt[0].start, excerpt[-1].end) for excerpt in excerpts]
    return Quoted(tuple(pieces), tuple(quotes))


def _markdown(parts: Sequence[Unit]) -> str:
    """Units that follow each other: text as one quotation, the rows of one table under one header."""
    text = ""
    before: Unit | None = None
    for unit in parts:
        lines = unit.text.split("\n")[:_MAX_LINES]
        gap = "\n\n" if before else ""
        if unit.kind == "text":
            lines = [f"> {line}" for line in lines]
            if before and before.kind == "text":
                gap = "\n" if unit.start <= before.end + 1 else "\n>\n"
        elif unit.kind == "code" and sum(bool(_FENCE.match(line)) for line in lines) % 2:
            lines.append(next(fence.group(1) for line in lines if (fence := _FENCE.match(line))))
        elif unit.kind == "row" and before and before.kind == "row" and before.text.split("\n")[:2] == lines[:2]:
            gap, lines = "\n", lines[2:]
        text += gap + "\n".join(lines)
        before = unit
    return text


def best_quote(claim: str, hit: Hit, generation: Generation) -> Quote:
    """The part of `hit` that a claim citing it rests on most: its best sentence, row or block, else all of it."""
    worth = Worth(weighted_words(claim, ()), generation)
    best = max(units(hit.chunk), key=lambda unit: worth.share(unit.text), default=None)
    if best is None or not worth.of(best.text):
        return Quote(hit.n, hit.chunk.start, hit.chunk.end)
    return Quote(hit.n, best.start, best.end)
