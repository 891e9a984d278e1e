"""The question put without its history and in the other language, by a model; and what happens when the model does not."""

import asyncio
from contextlib import aclosing

import pytest

import kb
from kb.llm.chat import EndpointChat
from kb.records import Done, Failed, Found, Standalone, Turn
from kb.standalone import rewrite
from tests.fake_openai import FakeOpenAI
from tests.kb.test_answer import events_of

BEFORE = (
    Turn("user", "How do I quantise a model with lmdeploy?"),
    Turn("assistant", "Run lmdeploy lite auto_awq. XTuner is another tool."),
)
ELLIPTIC = "And how much does a model take with the other tool?"
OWN = "How much GPU memory does QLoRA fine-tuning of a 7B model take with XTuner?"
OTHER = "用 XTuner 的 QLoRA 微调 7B 模型需要多少显存？"


def found_of(base: kb.KnowledgeBase, question: str, history: tuple[Turn, ...] = (), **settings: object) -> Found:
    found, *_, last = events_of(base, question, history, **{"refuse_below": 0.0} | settings)
    assert isinstance(found, Found)
    assert isinstance(last, Done)
    return found


def test_an_elliptic_question_finds_its_page_by_the_rewrite(base: kb.KnowledgeBase) -> None:
    with FakeOpenAI(["8GB [1]."], replies=[[f"1. {OWN}\n", f"2. {OTHER}"]]) as server:
        found = found_of(base, ELLIPTIC, BEFORE, endpoint_url=server.url)
        plain = found_of(base, ELLIPTIC, BEFORE, endpoint_url=server.url, rewrite=False)
    assert (found.hits[0].path, plain.hits[0].path) == ("xtuner/README.md", "lmdeploy/README.md")
    assert (found.query, found.rewritten, plain.rewritten) == (OWN, OWN, "")
    assert len(server.requests) == 3
    system, data = (message["content"] for message in server.requests[0]["messages"])
    assert (server.requests[0]["temperature"], server.requests[0]["max_completion_tokens"]) == (0, 256)
    fence = system.split("<data-")[1].split(">")[0]
    assert data.startswith(f"<data-{fence}>\n")
    assert data.endswith(f"\n</data-{fence}>")
    assert ELLIPTIC in data
    assert "another tool" in data
    assert "tool" not in system


def test_the_other_language_is_searched_too(base: kb.KnowledgeBase) -> None:
    question = "What are the video memory requirements of parameter-efficient tuning?"
    base = kb.KnowledgeBase(base.name, base.settings.model_copy(update={"reread": 0}))  # which would find it by another way
    with FakeOpenAI(["8GB [1]."], replies=[[question, "\n", OTHER]]) as server:
        found = found_of(base, question, endpoint_url=server.url)
        plain = found_of(base, question, endpoint_url=server.url, rewrite=False)
    assert found.hits[0].path == "xtuner/README.md"
    assert plain.hits[0].path != "xtuner/README.md"
    assert found.confidence > plain.confidence
    assert (found.query, found.rewritten) == (question, "")


def test_what_both_find_counts_by_the_better(base: kb.KnowledgeBase) -> None:
    """A translation alone weighs 0.8, and does not add to what the question found."""
    score = {
        name: {hit.path: hit.score for hit in base.find(OWN, standalone=standalone)[1].hits}
        for name, standalone in (
            ("own", Standalone(OWN)),
            ("other", Standalone(OTHER)),
            ("both", Standalone(OWN, OTHER)),
        )
    }
    for path, both in score["both"].items():
        assert both == pytest.approx(max(score["own"].get(path, 0), 0.8 * score["other"].get(path, 0)), abs=1e-5)


def test_without_history_in_the_language_of_the_documents_nobody_is_asked(
    base: kb.KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = base.snapshot()
    assert snapshot.chinese == 0.25
    monkeypatch.setitem(snapshot.__dict__, "chinese", 0.0)
    with FakeOpenAI(replies=[[OWN, "\n", OTHER]] * 2) as server:
        settings, chat = base.settings, EndpointChat("endpoint", server.url, "")
        assert asyncio.run(rewrite("On which port?", (), snapshot, settings, chat)) is None
        assert server.requests == []
        assert asyncio.run(rewrite("多少显存？", (), snapshot, settings, chat)) is not None
        assert asyncio.run(rewrite(ELLIPTIC, BEFORE, snapshot, settings, chat)) == Standalone(OWN)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        OWN,
        f"{OWN}\n{OWN}",
        f"Here you are:\n{OWN}\n{OTHER}",
        f"{OWN} {'x' * 500}\n{OTHER}",
        "Shall I compare thee\n我能否把你比作夏日",
        "NOT_IN_DOCUMENTS",
        "\n\n\n",
        "tick " * 1000,
    ],
)
def test_a_reply_that_is_no_rewrite_is_left_aside(base: kb.KnowledgeBase, reply: str) -> None:
    with FakeOpenAI(["It is so [1]."], replies=[[reply[at : at + 7] for at in range(0, len(reply), 7)]]) as server:
        found = found_of(base, ELLIPTIC, BEFORE, endpoint_url=server.url)
    assert (found.rewritten, len(server.requests)) == ("", 2)
    assert found.query == base.search(ELLIPTIC, BEFORE).query


def test_a_slow_rewrite_is_not_waited_for(base: kb.KnowledgeBase) -> None:
    with FakeOpenAI(["It is so [1]."], first=1.5, replies=[[f"{OWN}\n{OTHER}"]]) as server:
        found = found_of(base, ELLIPTIC, BEFORE, endpoint_url=server.url, rewrite_seconds=0.3)
        assert server.hung_up.wait(4)
    assert (found.rewritten, len(server.requests)) == ("", 2)


@pytest.mark.parametrize("server", [FakeOpenAI(status=500), FakeOpenAI(break_after=1), FakeOpenAI(["x"] * 50, pause=0.2)])
def test_a_server_that_fails_gives_no_rewrite(base: kb.KnowledgeBase, server: FakeOpenAI) -> None:
    with server:
        settings = base.settings.model_copy(update={"endpoint_url": server.url, "rewrite_seconds": 1.0})
        assert asyncio.run(rewrite(ELLIPTIC, BEFORE, base.snapshot(), settings, EndpointChat("endpoint", server.url, ""))) is None


def test_a_dead_server_is_told_once_after_the_sources(base: kb.KnowledgeBase) -> None:
    events = events_of(base, ELLIPTIC, BEFORE, endpoint_url="http://127.0.0.1:9/v1", refuse_below=0)
    assert [type(event) for event in events] == [Found, Failed]


def test_stopping_while_it_rewrites_hangs_up_on_the_model(base: kb.KnowledgeBase) -> None:
    async def stop_early(url: str) -> None:
        settings = base.settings.model_copy(update={"endpoint_url": url})
        async with aclosing(kb.ask(ELLIPTIC, BEFORE, base, settings)) as events:
            first = asyncio.ensure_future(anext(events))
            while not server.requests:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            assert not first.done()
            first.cancel()
            await asyncio.wait((first,))

    with FakeOpenAI(["x"] * 400, pause=0.02) as server:
        asyncio.run(stop_early(server.url))
        assert server.hung_up.wait(3)
        assert len(server.requests) == 1
