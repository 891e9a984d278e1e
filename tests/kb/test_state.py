import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kb.errors import BaseError
from kb.records import Chunk, Hit, Quote
from kb.settings import Settings, load_settings
from kb.state import State


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_base=tmp_path)


HIT = Hit(1, Chunk("id", "doc", 0, ("标题", "Sub"), 3, 5, "text\nmore\n行"), "docs", "a/README.md", "Title", 0.5)


def test_what_is_stored_comes_back_equal(settings: Settings) -> None:
    state = State(settings)
    conversation = state.new_conversation("me", "default", "你好")
    state.add_message(conversation, "me", "user", "问题")
    state.add_message(conversation, "me", "assistant", "答案 [1]", generation=7, hits=[HIT], quotes=[Quote(1, 3, 4)])
    question, reply = State(settings).messages(conversation, "me")
    assert (question.role, question.content, question.hits) == ("user", "问题", ())
    assert (reply.hits, reply.quotes, reply.generation, reply.refused) == ((HIT,), (Quote(1, 3, 4),), 7, False)
    assert [entry.title for entry in state.conversations("me")] == ["你好"]


def test_nobody_reaches_the_conversation_of_another(settings: Settings) -> None:
    state = State(settings)
    mine = state.new_conversation("me", "default", "secret")
    assert state.conversations("you") == []
    for call in (
        lambda: state.messages(mine, "you"),
        lambda: state.add_message(mine, "you", "user", "x"),
        lambda: state.rename(mine, "you", "x"),
        lambda: state.delete(mine, "you"),
        lambda: state.truncate(mine, "you", 0),
        lambda: state.messages("no-such-id", "me"),
    ):
        with pytest.raises(BaseError):
            call()
    assert [entry.title for entry in state.conversations("me")] == ["secret"]


def test_truncate_rename_delete(settings: Settings) -> None:
    state = State(settings)
    conversation = state.new_conversation("me", "kb", "old")
    for n in range(4):
        state.add_message(conversation, "me", "user", str(n))
    state.truncate(conversation, "me", 2)
    state.add_message(conversation, "me", "user", "new")
    assert [message.content for message in state.messages(conversation, "me")] == ["0", "1", "new"]
    state.rename(conversation, "me", "renamed")
    assert state.conversations("me")[0].title == "renamed"
    state.delete(conversation, "me")
    with sqlite3.connect(settings.data_base / "state.db") as db:
        assert db.execute("SELECT count(*) FROM messages").fetchone() == (0,)


def test_many_threads_start_and_write_together(settings: Settings) -> None:
    def work(n: int) -> None:
        state = State(settings)
        conversation = state.new_conversation("me", "kb", str(n))
        for m in range(5):
            state.add_message(conversation, "me", "user", str(m))
        assert [message.content for message in state.messages(conversation, "me")] == list("01234")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    assert len(State(settings).conversations("me")) == 24


def test_pointer(settings: Settings) -> None:
    state = State(settings)
    assert state.live("kb") is None
    state.set_live("kb", 3, None)
    state.set_live("kb", 4, 3)
    assert State(settings).live("kb") == 4
