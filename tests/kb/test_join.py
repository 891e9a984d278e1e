"""Neighbours that were found are one passage, and what is quoted of it stands where the question is answered."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ingest.split import split
from kb.catalog import DocumentInfo
from kb.fold import Passage
from kb.join import JOINED, join
from kb.records import Chunk, Document, first_line

LINES = [
    "# Setup",
    "## Install",
    "Some words about it.",
    "```",
    "x = 1",
    "| a | b |",
    "|---|---|",
    "| 1 | 2 |",
    "- item",
    "",
    "中文一行。",
]


def passages(text: str, chunk_chars: int, path: str = "a.md") -> list[Passage]:
    """All chunks of a document, as if each was found; the first is the best."""
    document = Document(path, "docs", path, path, path, text, "markdown")
    chunks = split(document, chunk_chars)
    info = DocumentInfo(path, "docs", path, path, len(text.encode()), len(chunks), ())
    return [Passage(chunk, info, 1 / (n + 1)) for n, chunk in enumerate(chunks)]


def bare(text: str) -> str:
    return "".join(text.split())


def test_neighbours_become_one_and_others_do_not() -> None:
    text = "\n".join(
        f"## Part {n}\n\nWhat part {n} says, in a sentence of its own that is long enough for a chunk by itself.\n"
        for n in range(9)
    )
    found = passages(text, 120)
    assert len(found) == 9
    ranked = [replace(found[at], score=1 / (rank + 1)) for rank, at in enumerate((4, 8, 5, 1, 3))]
    first, second, third = join(ranked, 5)
    assert [n for n in range(9) if f"What part {n} says" in first.chunk.text] == [3, 4, 5]
    assert (first.chunk.id, first.score, first.chunk.heading) == (found[4].chunk.id, 1, ("Part 4",))
    assert first.joined == [
        (one.chunk.start, one.chunk.end, score) for one, score in zip(found[3:6], (1 / 5, 1, 1 / 3), strict=True)
    ]
    assert (second.chunk.ordinal, third.chunk.ordinal) == (8, 1)
    assert len(join(ranked, 1)) == 1


def test_a_joined_passage_has_a_length() -> None:
    text = "\n".join(f"## Part {n}\n\n{'word ' * 150}\n" for n in range(12))
    joined = join(passages(text, 1000), 8)
    assert all(len(passage.chunk.text) <= JOINED + 2 for passage in joined)
    assert len(joined) == 4


def test_a_table_that_goes_on_has_its_header_once() -> None:
    rows = "\n".join(f"| flag-{n} | what flag {n} does, in some words |" for n in range(45))
    found = passages(f"# Flags\n\n| flag | meaning |\n|---|---|\n{rows}\n", 200)
    assert len(found) > 2
    [joined] = join(found, 3)
    assert joined.chunk.text.count("| flag | meaning |") == 1
    assert joined.chunk.text.count("what flag") == 45
    [later] = join(found[1:], 3)
    assert later.chunk.text.count("| flag | meaning |") == 1
    assert first_line(later.chunk.start, later.chunk.end, later.chunk.text) == later.chunk.start - 2


@given(st.lists(st.sampled_from(LINES), max_size=60), st.data())
def test_every_found_chunk_is_in_one_passage_that_stands_in_the_document(lines: list[str], data: st.DataObject) -> None:
    text = "\n".join(lines)
    every = passages(text, 80)
    found = data.draw(st.permutations(every)) if every else []
    found = found[: data.draw(st.integers(0, len(found)))]
    ranked = [replace(passage, score=1 / (rank + 1)) for rank, passage in enumerate(found)]
    joined = join(ranked, len(ranked))
    assert sorted(place for passage in joined for place in passage.joined) == sorted(_place(passage) for passage in ranked)
    assert [passage.score for passage in joined] == sorted((passage.score for passage in joined), reverse=True)
    for passage in joined:
        chunk = passage.chunk
        standing = text.split("\n")[chunk.start - 1 : chunk.end]
        own = chunk.text.split("\n")[chunk.start - first_line(chunk.start, chunk.end, chunk.text) :]
        assert bare("\n".join(own)) in bare("\n".join(standing))
        for start, end, _ in passage.joined:
            assert chunk.start <= start <= end <= chunk.end
        if len(passage.joined) > 1:
            assert [bare(line) for line in own] == [bare(line) for line in standing]


def _place(passage: Passage) -> tuple[int, int, float]:
    chunk: Chunk = passage.chunk
    return chunk.start, chunk.end, passage.score
