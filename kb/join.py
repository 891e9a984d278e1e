"""Passages that follow each other on a page become one: an answer does not end where a chunk was cut."""

from collections.abc import Sequence
from dataclasses import replace

from kb.fold import Passage
from kb.records import Chunk, first_line

JOINED = 2400  # characters of a joined passage, at most
_GAP = 2  # from the last line of a chunk to the first of the next: what is between is one empty line


def join(ranked: Sequence[Passage], limit: int) -> list[Passage]:
    """The first `limit` of `ranked` (best first), each together with its neighbours among `ranked`, which then stand for
    themselves no more.

    A joined passage has the score, id, place and headings of its best chunk.
    """
    free = {(passage.info.key, passage.chunk.ordinal): passage for passage in ranked}
    joined: list[Passage] = []
    for passage in ranked:
        key, at = passage.info.key, passage.chunk.ordinal
        if len(joined) == limit:
            break
        if free.pop((key, at), None) is None:
            continue
        own, whole = [passage], passage.chunk
        first = last = at
        while True:
            beside = [free[key, next_to] for next_to in (first - 1, last + 1) if (key, next_to) in free]
            wider = [(other, chunk) for other in beside if (chunk := _together(whole, other.chunk))]
            if not wider:
                break
            other, whole = max(wider, key=lambda pair: pair[0].score)
            own.append(free.pop((key, other.chunk.ordinal)))
            first, last = min(first, other.chunk.ordinal), max(last, other.chunk.ordinal)
        own.sort(key=lambda one: one.chunk.ordinal)
        also = list(dict.fromkeys(path for one in (passage, *own) for path in one.also))
        places = [(one.chunk.start, one.chunk.end, one.score) for one in own]
        joined.append(replace(passage, chunk=whole, also=also, joined=places))
    return joined


def _together(whole: Chunk, other: Chunk) -> Chunk | None:
    """`whole` with a neighbour; None where they do not follow each other closely, or would be too long."""
    above, below = sorted((whole, other), key=lambda chunk: chunk.start)
    gap = below.start - above.end
    if not 1 <= gap <= _GAP or len(above.text) + len(below.text) > JOINED:
        return None
    lines = below.text.split("\n")[below.start - first_line(below.start, below.end, below.text) :]
    return replace(whole, start=above.start, end=below.end, text=above.text + "\n" * gap + "\n".join(lines))
