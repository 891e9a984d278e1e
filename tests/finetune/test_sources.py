"""Examples without a file: an introduction, a knowledge base, what was said in the chat."""

from pathlib import Path

import pytest

import kb
from finetune.sources import from_base, from_feedback, introduction
from kb.errors import BaseError, TuneError
from kb.state import State


def test_the_introduction_in_both_languages() -> None:
    zh, en = introduction("林晨", "both", copies=7)
    assert (zh.question, zh.answer) == ("请做一下自我介绍", "我是林晨的小助手，内在是上海AI实验室书生·浦语的7B大模型哦")
    assert en.answer.startswith("I am 林晨's assistant")
    assert (zh.copies, en.copies, zh.unfinished) == (7, 7, False)
    with pytest.raises(TuneError, match="Whose"):
        introduction("  ")


@pytest.mark.parametrize("passages", [True, False])
def test_a_knowledge_base_asks_and_quotes_itself(shop: kb.Settings, passages: bool) -> None:
    told: list[tuple[int, int]] = []
    found = from_base(shop, "shop", 3, passages, lambda *at: told.append(at))
    assert 0 < len(found) <= 3 and told[-1] == (len(found), 3)
    for example in found:
        assert example.source == "shop" and ".md:" in example.place
        assert "[1]" in example.answer or "[2]" in example.answer or "[3]" in example.answer
        assert (example.turns[0].role == "system") == passages
        if passages:
            assert ".md" in example.turns[0].content
    with pytest.raises(TuneError):
        from_base(shop, "shop", 0)


def test_thumbs_and_refusals(tmp_path: Path) -> None:
    settings = kb.load_settings(data_base=tmp_path)
    state = State(settings)
    mine, yours = state.new_conversation("me", "work", "t"), state.new_conversation("you", "work", "t")
    other = state.new_conversation("me", "other", "t")
    said = [
        ("好问题", "好答案", 1, False),
        ("bad question", "wrong", -1, False),
        ("not known", "no", 0, True),
        ("plain", "p", 0, False),
    ]
    for conversation, owner in ((mine, "me"), (other, "me")):
        for question, answer, vote, refused in said:
            state.add_message(conversation, owner, "user", question)
            state.add_message(conversation, owner, "assistant", answer, refused=refused)
            if vote:
                state.rate(conversation, owner, 2 * said.index((question, answer, vote, refused)) + 1, vote, "a note")
    state.add_message(yours, "you", "user", "theirs")
    state.add_message(yours, "you", "assistant", "no", refused=True)
    found = from_feedback(settings, "work", "me")
    assert [(one.question, one.answer, one.place) for one in found] == [
        ("好问题", "好答案", "thumb up: a note"), ("bad question", "", "thumb down: a note"), ("not known", "", "refused")
    ]  # fmt: skip
    assert [one.unfinished for one in found] == [False, True, True]
    assert "theirs" in [one.question for one in from_feedback(settings, "work")]
    assert state.votes(mine, "me") == {1: 1, 3: -1}
    state.rate(mine, "me", 1, 0)
    state.rate(mine, "me", 3, 1)
    assert state.votes(mine, "me") == {3: 1}
    state.truncate(mine, "me", 2)  # an answer that is asked for again has no vote
    assert state.votes(mine, "me") == {}
    for ordinal, owner in ((0, "me"), (9, "me"), (1, "you")):
        with pytest.raises(BaseError):
            state.rate(mine, owner, ordinal, 1)
