"""Answers that quote: which places of a page, and under which number."""

from dataclasses import replace
from pathlib import Path

import pytest

import ingest
import kb
from kb.llm.extract import Quoted, quote
from kb.records import Found

PAGE = """# Server

## Port

The server listens on port 23333. {filler}

## Certificates

The server wants its certificates in one folder. {filler}

## Password

The password of the server is set with `--api-keys`. {filler}

## Elsewhere

{long}
"""


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory, models: Path) -> kb.KnowledgeBase:
    """A page of three sections that follow each other, and pages about other things."""
    home, docs = tmp_path_factory.mktemp("manual"), tmp_path_factory.mktemp("docs")
    (home / "models").symlink_to(models)
    filler = "\n\n".join(f"More is said about point {n} in the same breath." for n in range(13))
    (docs / "server.md").write_text(PAGE.format(filler=filler, long="Nothing of that kind. " * 200), "utf-8")
    for name in ("bread", "carpet", "orchid"):
        (docs / f"{name}.md").write_text(f"# {name.title()}\n\nHow a {name} is kept, cleaned and looked after.\n", "utf-8")
    settings = kb.load_settings(data_base=home)
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    return kb.KnowledgeBase.open("default", settings)


def quoted(base: kb.KnowledgeBase, question: str) -> tuple[Found, Quoted]:
    snapshot = base.snapshot()
    found = base.search(question, (), snapshot)
    return found, quote(question, (), found.hits, snapshot)


def test_two_places_of_a_joined_passage_are_one_citation(manual: kb.KnowledgeBase) -> None:
    found, answer = quoted(manual, "port and password of the server")
    assert found.hits[0].path == "server.md"
    assert len(found.hits[0].joined) == 3
    [piece] = answer.pieces
    assert piece.index("port 23333") < piece.index("\n\n…\n\n") < piece.index("--api-keys")
    assert piece.count("[1]") == 1
    assert [one.n for one in answer.quotes] == [1, 1]
    first, second = answer.quotes
    assert first.end + 1 < second.start


def test_what_adds_nothing_is_not_quoted(manual: kb.KnowledgeBase) -> None:
    _, answer = quoted(manual, "where does the server want its certificates")
    assert len({one.n for one in answer.quotes}) == 1
    assert "one folder" in "".join(answer.pieces)
    assert all(len(piece) < 2000 for piece in answer.pieces)


def test_hits_of_before_passages_were_joined_are_quoted_too(manual: kb.KnowledgeBase) -> None:
    found, answer = quoted(manual, "port of the server")
    bare = [replace(hit, joined=()) for hit in found.hits]
    assert "port 23333" in "".join(quote("port of the server", (), bare, manual.snapshot()).pieces)
    assert "port 23333" in "".join(answer.pieces)


@pytest.mark.parametrize(("score", "cited"), [(1.0, {1, 2}), (0.7, {1})])
def test_a_further_passage_is_quoted_where_it_is_nearly_as_good(manual: kb.KnowledgeBase, score: float, cited: set[int]) -> None:
    question, snapshot = "port and password of the server", manual.snapshot()
    best = manual.search(question).hits[0]
    of_page = sorted(snapshot.chunks(sorted(snapshot.chunk_ids())).values(), key=lambda chunk: (chunk.document, chunk.ordinal))
    port, password = (next(c for c in of_page if says in c.text) for says in ("port 23333", "--api-keys"))
    hits = [replace(best, n=n, chunk=chunk, score=own, joined=()) for n, chunk, own in ((1, port, 1.0), (2, password, score))]
    assert {one.n for one in quote(question, (), hits, snapshot).quotes} == cited
