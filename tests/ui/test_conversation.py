"""The chat's handlers, called as the page calls them and as it never would."""

import asyncio
from typing import Any

import pytest

from kb import BaseError, KBError
from kb.records import Turn
from tests.ui.conftest import GUIDE, request
from tests.ui.fakes import FakeCore, base, document
from ui.answers import MAX_QUESTION, SKIP, View
from ui.conversation import Conversations
from ui.words import Words

BAD = [
    "",
    "nonsense",
    "../../etc/passwd",
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "1:1",
    "1:99",
    "x:y:z",
    "1:1:-5",
    "²:1",
    "\x00",
    "a" * 10_000,
    "' OR 1=1 --",
]


@pytest.fixture
def chat(core: FakeCore) -> Conversations:
    return Conversations(core, Words("en"))


def ask(chat: Conversations, question: str, conversation: str = "", kb: str | None = "default", **who: Any) -> list[View]:
    async def run() -> list[View]:
        return [view async for view in chat.ask(question, conversation, kb, request(**who))]

    return asyncio.run(run())


def retry(chat: Conversations, conversation: str, **who: Any) -> list[View]:
    async def run() -> list[View]:
        return [view async for view in chat.retry(conversation, "default", request(**who))]

    return asyncio.run(run())


def test_a_question_starts_a_conversation_and_ends_with_sources(chat: Conversations) -> None:
    views = ask(chat, "How long to boil noodles?")
    assert "How long to boil noodles?" in views[0].live
    assert "Searching" in views[0].live
    assert views[0].question == ""
    conversation = views[0].conversation
    assert 'href="#do:open:1:1"' in views[-1].live
    assert "Answer again" in views[-1].live
    assert "guide.md" in views[-1].sources
    assert "<mark>" in views[-1].sources
    stored = chat.core.state.messages(conversation, "local")
    assert [message.role for message in stored] == ["user", "assistant"]
    assert stored[1].hits
    assert stored[1].generation == 1


def test_history_goes_along_and_the_conversation_keeps_its_base(chat: Conversations, core: FakeCore) -> None:
    first = ask(chat, "How long to boil noodles?")
    ask(chat, "And storage?", first[0].conversation, kb="empty")
    question, history = core.asked[-1]
    assert question == "And storage?"
    assert history[0] == Turn("user", "How long to boil noodles?")
    assert history[1].role == "assistant"


def test_a_reopened_conversation_has_its_sources(chat: Conversations) -> None:
    conversation = ask(chat, "How long to boil noodles?")[0].conversation
    view = Conversations(chat.core, Words("zh")).open(conversation, "empty", request())
    assert view.kb.value == "default"
    assert "noodles" in view.past
    assert "guide.md" in view.sources
    assert chat.load("default", request(c=conversation)).conversation == conversation
    assert chat.load("default", request(c="unknown")).conversation == ""


def test_retry_answers_the_last_question_again_and_once(chat: Conversations, core: FakeCore) -> None:
    conversation = ask(chat, "How long to boil noodles?")[0].conversation
    ask(chat, "And storage?", conversation)
    retry(chat, conversation)
    assert core.asked[-1][0] == "And storage?"
    assert len(core.asked[-1][1]) == 2
    assert [m.content for m in core.state.messages(conversation, "local") if m.role == "user"] == [
        "How long to boil noodles?",
        "And storage?",
    ]
    assert len(core.state.messages(conversation, "local")) == 4


def test_stop_keeps_what_stands(chat: Conversations, core: FakeCore) -> None:
    core.pause = 0.05

    async def run() -> list[View]:
        views = []
        async for view in chat.ask("How long to boil noodles?", "", "default", request()):
            views.append(view)
            if len(views) == 4:
                chat.stop(request("another tab"))
                chat.stop(request(user="someone else"))
                await asyncio.sleep(0)
                assert not chat.runs["local", "s1"].stopped.is_set()
                chat.stop(request())
        return views

    views = asyncio.run(run())
    assert core.closed == ["early"]
    assert "Stopped here" in views[-1].live
    stored = core.state.messages(views[0].conversation, "local")
    assert stored[1].content.startswith("> Boil")
    assert stored[1].hits
    assert not chat.runs


def test_a_closed_page_closes_the_stream_and_keeps_what_stands(chat: Conversations, core: FakeCore) -> None:
    core.pause = 0.05

    async def run() -> str:
        views = chat.ask("How long to boil noodles?", "", "default", request())
        seen = [await anext(views) for _ in range(4)]
        await views.aclose()
        return seen[0].conversation

    conversation = asyncio.run(run())
    assert core.closed == ["early"]
    assert not chat.runs
    assert core.state.messages(conversation, "local")[1].content.startswith("> Boil")


@pytest.mark.parametrize("failure", ["The endpoint does not answer.", KBError("The endpoint does not answer.")])
def test_a_failure_is_a_sentence_and_can_be_tried_again(chat: Conversations, core: FakeCore, failure: Any) -> None:
    core.fail = failure
    views = ask(chat, "How long to boil noodles?")
    assert "The endpoint does not answer." in views[-1].live
    assert "#do:retry:" in views[-1].live
    conversation = views[0].conversation
    assert "no answer yet" in chat.open(conversation, "default", request()).past
    core.fail = None
    assert "noodles" in retry(chat, conversation)[-1].live


def test_a_bug_shows_no_inside(chat: Conversations, core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    core.fail = RuntimeError("secret path /root/x")
    views = ask(chat, "How long to boil noodles?")
    assert "secret" not in "".join(str(view) for view in views)
    assert "secret path" in caplog.text, "the terminal has it"


def test_nothing_found_says_so(chat: Conversations) -> None:
    views = ask(chat, "xylophone?")
    assert 'class="refused"' in views[-1].live
    assert "Nothing fits." in views[-1].live
    assert "Nothing in the documents came close" in views[-1].sources


@pytest.mark.parametrize("question", ["", "   ", "x" * (MAX_QUESTION + 1), None])
def test_bad_questions_are_refused(chat: Conversations, question: Any) -> None:
    with pytest.warns(UserWarning):
        assert ask(chat, question) == [View()]
    assert chat.core.state.conversations("local") == []


@pytest.mark.parametrize("kb", [None, "unknown", "../default", "empty"])
def test_a_base_that_cannot_answer_is_refused(chat: Conversations, kb: str | None) -> None:
    with pytest.warns(UserWarning):
        assert ask(chat, "noodles?", kb=kb) == [View()]
    assert chat.core.state.conversations("local") == []


def test_one_answer_at_a_time_in_a_tab(chat: Conversations, core: FakeCore) -> None:
    core.pause = 0.05

    async def run() -> None:
        views = chat.ask("How long to boil noodles?", "", "default", request())
        await anext(views)
        with pytest.warns(UserWarning, match="still being written"):
            assert [view async for view in chat.ask("noodles?", "", "default", request())] == [View()]
        assert [view async for view in chat.ask("noodles?", "", "default", request("another tab"))][-1].live
        await views.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("turn", ["new", "open", "clear"])
def test_turning_to_another_conversation_ends_the_answer_and_is_not_drawn_over(
    chat: Conversations, core: FakeCore, turn: str
) -> None:
    other = ask(chat, "Where to keep noodles?")[0].conversation
    core.pause = 0.05

    async def run() -> tuple[list[View], int]:
        views, turned = [], 0
        async for view in chat.ask("How long to boil noodles?", "", "default", request()):
            views.append(view)
            if len(views) == 3:
                arguments = ("default", request()) if turn == "new" else (other, "default", request())
                task = asyncio.create_task(asyncio.to_thread(getattr(chat, turn), *arguments))
                turned = len(views)
        assert (await task).past
        return views, turned

    views, turned = asyncio.run(run())
    assert core.closed[-1] == "early"
    assert views[-1].live == SKIP
    assert views[-1].send.visible is True
    assert len(views) <= turned + 2


def test_two_questions_at_the_same_moment_are_one(chat: Conversations, core: FakeCore) -> None:
    async def one() -> list[View]:
        return [view async for view in chat.ask("How long to boil noodles?", "", "default", request())]

    async def both() -> list[list[View]]:
        return await asyncio.gather(one(), one())

    with pytest.warns(UserWarning, match="still being written"):
        answers = asyncio.run(both())
    assert answers[1] == [View()]
    assert len(core.state.conversations("local")) == 1


def test_nobody_sees_anothers_conversation(chat: Conversations, core: FakeCore) -> None:
    mine = ask(chat, "How long to boil noodles?", user="ann")[0].conversation
    for call in (
        lambda: chat.open(mine, "default", request(user="bob")),
        lambda: chat.rename(f"{mine}:stolen", mine, "default", request(user="bob")),
        lambda: chat.delete(mine, mine, "default", request(user="bob")),
        lambda: chat.clear(mine, "default", request(user="bob")),
        lambda: chat.citations.open("1:1", mine, request(user="bob")),
        lambda: chat.citations.show("1", mine, request(user="bob")),
        lambda: ask(chat, "more noodles", mine, user="bob")[0],
        lambda: retry(chat, mine, user="bob")[0],
    ):
        with pytest.warns(UserWarning):
            shown = call()
        assert "Boil" not in str(shown)
        assert "boil" not in str(shown)
    assert chat.load("default", request(user="bob", c=mine)).conversation == ""
    assert len(core.state.messages(mine, "ann")) == 2
    assert core.state.conversations("ann")[0].title == "How long to boil noodles?"
    assert core.state.conversations("bob") == []


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("value", BAD)
def test_bad_ids_are_refused_everywhere(chat: Conversations, core: FakeCore, value: str) -> None:
    kept = ask(chat, "How long to boil noodles?")[0].conversation
    for conversation in (value, kept):
        target = value if conversation == kept else conversation
        chat.rename(target, conversation, value, request())
        chat.delete(target, conversation, value, request())
        if target not in ("1:1",):
            assert chat.citations.open(value, conversation, request())[0] == SKIP or value == "1:1:-5"
        chat.citations.show(value, conversation, request())
        chat.refresh(conversation, value, request())
    chat.open(value, value, request())
    chat.clear(value, value, request())
    chat.new(value, request())
    chat.load(value, request(c=value))
    ask(chat, "noodles", value, value)
    retry(chat, value)
    assert [message.role for message in core.state.messages(kept, "local")] == ["user", "assistant"]


def test_rename_delete_clear(chat: Conversations, core: FakeCore) -> None:
    first = ask(chat, "How long to boil noodles?")[0].conversation
    second = ask(chat, "Where to keep noodles?")[0].conversation
    view = chat.rename(f"{first}:  A <b>new</b>\n name: yes ", second, "default", request())
    assert "A &lt;b&gt;new&lt;/b&gt; name: yes" in view.listed
    assert chat.delete(first, second, "default", request()).conversation == SKIP
    assert [one.id for one in core.state.conversations("local")] == [second]
    assert "What would you like" in chat.clear(second, "default", request()).past
    assert core.state.messages(second, "local") == []
    assert chat.delete(second, second, "default", request()).conversation == ""
    assert chat.clear("", "default", request()).conversation == ""


def test_coming_back_to_the_tab_redraws_only_what_is_stale(chat: Conversations) -> None:
    conversation = ask(chat, "How long to boil noodles?")[0].conversation
    assert chat.refresh(conversation, "default", request()) == View()
    assert "No documents yet" in chat.refresh(conversation, "empty", request()).past
    assert "“default” holds" in chat.refresh("", "default", request()).past


# Sources


def test_a_source_opens_in_its_document(chat: Conversations) -> None:
    conversation = ask(chat, "How long to boil noodles?")[0].conversation
    opened, panel = chat.citations.open("1:1", conversation, request())
    assert "<mark>Boil the noodles for four minutes.</mark>" in opened
    assert "Keep the noodles dry" in opened, "the rest of the document is around it"
    assert "guide.md" in panel


def test_a_source_of_a_repository_links_to_its_host(chat: Conversations) -> None:
    chat.core.bases["code"] = base("code", document("a.md", "# Noodles\n\nBoil the noodles for four minutes.", source="repo"))
    conversation = ask(chat, "boil noodles", kb="code")[0].conversation
    opened, _ = chat.citations.open("1:1", conversation, request())
    assert 'href="https://github.com/a/repo/blob/' in opened
    assert "noopener noreferrer" in opened
    assert "the same lines on github.com" in opened


def test_a_long_document_is_shown_in_part_and_more_on_request(chat: Conversations) -> None:
    conversation = ask(chat, "story 1000")[0].conversation
    opened, _ = chat.citations.open("1:1", conversation, request())
    assert opened.count('class="no"') == 2000

    lines = [f"Line {n}" if n != 1000 else "\n\nThe needle of this story.\n\n" for n in range(1, 2001)]
    chat.core.bases["more"] = base("more", document("hay.md", "\n".join(lines).replace("Line 999\n\n", "Line 999\n\n")))
    conversation = ask(chat, "needle", kb="more")[0].conversation
    few, _ = chat.citations.open("1:1", conversation, request())
    assert "lines above" in few
    assert "lines below" in few
    assert few.count('class="no"') == 401
    more, _ = chat.citations.open("1:1:800", conversation, request())
    assert more.count('class="no"') == 1601


def test_a_source_can_be_opened_while_the_answer_is_written(chat: Conversations, core: FakeCore) -> None:
    core.pause = 0.05

    async def run() -> None:
        views = chat.ask("How long to boil noodles?", "", "default", request())
        conversation = (await anext(views)).conversation
        await anext(views)
        assert "Boil" in chat.citations.open("1:1", conversation, request())[0]
        with pytest.warns(UserWarning):
            assert chat.citations.open("1:1", conversation, request("another tab"))[0] == SKIP
        await views.aclose()

    asyncio.run(run())


def test_an_old_answer_shows_what_it_was_given(chat: Conversations, core: FakeCore) -> None:
    conversation = ask(chat, "How long to boil noodles?")[0].conversation
    live = core.bases["default"].generation
    assert live
    live.number = 2
    assert "Indexed again" in chat.citations.open("1:1", conversation, request())[0], "unchanged: the document, with a note"
    live.docs["key-guide.md"] = document("guide.md", "Something new\n" + GUIDE)
    opened, _ = chat.citations.open("1:1", conversation, request())
    assert "changed since" in opened
    assert "Boil the noodles for four minutes." in opened
    assert "Something new" not in opened
    del live.docs["key-guide.md"]
    assert "Boil the noodles" in chat.citations.open("1:1", conversation, request())[0]
    del core.bases["default"]
    assert "Boil the noodles" in chat.citations.open("1:1", conversation, request())[0]
    assert "Boil" in chat.open(conversation, None, request()).past, "and the conversation can still be read"
    with pytest.raises(BaseError):
        core.base("default")
