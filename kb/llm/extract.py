"""Answer by quoting: the sentences, table rows and whole command blocks that carry the most of the question, with what stands
around them.

No weights: what a word is worth is its inverse document frequency in the knowledge base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kb.index import Generation
from kb.records import Hit, Quote, above
from kb.units import FENCE, Unit, units
from kb.words import weighted_words
from kb.worth import Worth

_MAX_QUOTES = 2
_MAX_LINES = 60  # of one part of a quotation
_QUOTED = 800  # characters of a quotation, but for a single part that is longer
# Set on the questions of one corpus (see decisions):
_PASSAGE = 2.5  # what the rank of a passage weighs beside the share of the question that a part of it carries
_LABEL = 24  # characters: less is a title or a label, and no answer
_NEXT_SHARE = 0.7  # a further quotation is worth at least this share of the first,
_FURTHER_SHARE = 0.9  # one from a further passage this
_ADDS = 0.05  # share of the question that a further passage must add


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer as Markdown pieces, and what it quotes; none where there is nothing to quote."""

    pieces: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()


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
    carried: dict[int, list[dict[str, float]]] = {}
    places = []
    for hit in hits:
        stands = worth.of(above(hit))
        carried[hit.n] = [stands | worth.of(unit.text) for unit in parts[hit.n]]
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
        if chosen and n not in chosen and place.score < _FURTHER_SHARE * places[0].score:
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
        elif unit.kind == "code" and sum(bool(FENCE.match(line)) for line in lines) % 2:
            lines.append(next(fence.group(1) for line in lines if (fence := FENCE.match(line))))
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
