"""The first passages are read again by their best part, where that can change their order."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import kb
from kb.catalog import DocumentInfo
from kb.fold import Passage
from kb.records import Chunk
from kb.reread import reread
from kb.worth import Worth

QUESTION = np.array([1.0, 0.0], dtype=np.float32)


class Reader:
    """Finds a text as near to QUESTION as the number at its end says."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        self.read += texts
        return np.array([[float(text.split()[-1]), 0.0] for text in texts], dtype=np.float32)


def passage(path: str, score: float, text: str) -> Passage:
    chunk = Chunk(f"{path}-0", path, 0, (), 1, 1 + text.count("\n"), text)
    info = DocumentInfo(path, "docs", path, path, len(text), 1, ())
    return Passage(chunk, info, score, joined=[(1, chunk.end, score)])


@pytest.fixture
def worth(base: kb.KnowledgeBase) -> Worth:
    return Worth({"port": 1.0}, base.snapshot())


def order(ranked: Sequence[Passage], worth: Worth, reader: Any, trust: float = 1.0, depth: int = 4) -> list[str]:
    return [one.info.path for one in reread(ranked, worth, QUESTION, trust, reader, depth)]


def test_the_nearest_part_comes_first(worth: Worth) -> None:
    ranked = [passage("a", 1.0, "# A\n\nSomething else, port 0.1"), passage("b", 0.9, "Words.\n\nThe port is 0.9"),
              passage("c", 0.85, "port 0.5"), passage("d", 0.3, "port 1.0")]  # fmt: skip
    reader = Reader()
    found = reread(ranked, worth, QUESTION, 1.0, reader, 4)  # type: ignore[arg-type]
    assert [one.info.path for one in found] == ["b", "c", "a", "d"]
    assert reader.read == ["Something else, port 0.1", "The port is 0.9", "port 0.5"]  # d is too far behind
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert [one.joined[0][2] for one in found] == pytest.approx([one.score for one in found])


def test_it_reads_no_more_than_it_is_told_and_nothing_where_it_would_change_nothing(worth: Worth) -> None:
    ranked = [passage(path, 1.0, f"port 0.{n}") for n, path in enumerate("abcd")]
    copies = [replace(one) for one in ranked]
    reader = Reader()
    assert order(copies, worth, reader, depth=2) == ["b", "a", "c", "d"]
    assert len(reader.read) == 2
    for trust, depth in ((0.0, 4), (1.0, 0), (1.0, 1)):
        unread = SimpleNamespace(passages=lambda texts: pytest.fail("it was read"))
        assert order([replace(one, score=1 - n / 9) for n, one in enumerate(ranked)], worth, unread, trust, depth) == list("abcd")
    assert order([], worth, Reader()) == []


def test_a_model_that_reads_little_moves_little(worth: Worth) -> None:
    def ranked() -> list[Passage]:
        return [passage("a", 1.0, "port 0.1"), passage("b", 0.9, "port 0.9")]

    assert order(ranked(), worth, Reader(), trust=1.0) == ["b", "a"]
    assert order(ranked(), worth, Reader(), trust=0.15) == ["a", "b"]


def test_a_part_without_text_is_no_failure(worth: Worth) -> None:
    assert order([passage("a", 1.0, "# 0.1"), passage("b", 1.0, "# 0.9")], worth, Reader()) == ["b", "a"]


def test_the_setting_turns_it_off(base: kb.KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    depths: list[int] = []

    def spy(ranked: list[Passage], *arguments: Any) -> list[Passage]:
        depths.append(arguments[-1])
        return ranked

    monkeypatch.setattr("kb.retrieve.reread", spy)
    base.search("On which port does the server listen?")
    settings = base.settings.model_copy(update={"reread": 0})
    kb.KnowledgeBase(base.name, settings).search("On which port does the server listen?")
    assert depths == [4, 0]
