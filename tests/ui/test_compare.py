"""The Compare tab: two answers side by side, however they end."""

import asyncio
import re
from typing import Any

import pytest

from kb import KBError
from tests.ui.conftest import request
from tests.ui.fake_models import LARGE, SERVER, SMALL, TUNED
from tests.ui.fakes import FakeCore
from ui import compare
from ui.answers import MAX_QUESTION
from ui.citations import Citations
from ui.compare import SKIP, CompareTab, View
from ui.options import LIVE, WITH, WITHOUT
from ui.words import Words

EN, ZH = Words("en"), Words("zh")
QUESTION = "How long to boil noodles?"
BOTH = (LIVE, WITH, TUNED.name, WITH)
NEVER = ("<script", "<img", "<b>", "<i>")


@pytest.fixture
def core(core: FakeCore) -> FakeCore:
    core.stock(SMALL, TUNED, LARGE, SERVER, live=SMALL.name)
    return core


@pytest.fixture
def citations(core: FakeCore) -> Citations:
    return Citations(core, EN, {})


@pytest.fixture
def tab(core: FakeCore, citations: Citations) -> CompareTab:
    return CompareTab(core, EN, citations.asides)


def run(tab: CompareTab, question: Any = QUESTION, kb: Any = "default", sides: tuple[Any, ...] = BOTH) -> list[View]:
    async def views() -> list[View]:
        return [view async for view in tab.run(question, kb, *sides, request())]

    return asyncio.run(views())


def opened(citations: Citations, html: str, session: str = "s1") -> Any:
    link = re.search(r"#do:open:((?:left|right)\d+:\d+)", html)
    assert link
    return citations.open(link[1], "", request(session))[0]


def test_one_question_two_answers_from_the_same_passages(tab: CompareTab, core: FakeCore) -> None:
    views = run(tab)
    assert (views[0].go.visible, views[0].stop.visible, views[0].note) == (False, True, "")
    last = views[-1]
    assert (last.go.visible, last.stop.visible) == (True, False)
    assert "Both were given the same" in last.note
    for html, by in ((last.left, SMALL.name), (last.right, TUNED.name)):
        assert "Boil the noodles for four minutes." in html
        assert f"<span>{by}</span>" in html
        assert "0.2 s" in html
    assert core.closed == ["whole", "whole"]
    assert [question for question, _ in core.asked] == [QUESTION, QUESTION]
    assert [(one.model, one.plain, one.as_typed) for one in core.options] == [("", False, True), (TUNED.name, False, True)]
    assert not tab.runs


def test_they_are_written_at_the_same_time_where_both_fit(tab: CompareTab, core: FakeCore) -> None:
    core.pause = 0.03
    views = run(tab)
    both = [view for view in views if all('class="message answer writing"' in side for side in (view.left, view.right))]
    assert any("Boil" in view.left and "Boil" in view.right for view in both)


def test_in_turn_where_they_do_not_fit(tab: CompareTab, core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "at_once", lambda left, right: False)
    core.pause = 0.01
    views = run(tab)
    assert "one answers after the other" in views[0].note
    assert "Waiting for the other one" in views[0].right
    for view in views:
        if "Boil" in view.right:
            assert 'class="message answer"' in view.left, "the left one has ended"
    assert "Boil" in views[-1].right


def test_with_and_without_the_documents(tab: CompareTab, core: FakeCore) -> None:
    last = run(tab, sides=(LIVE, WITH, LIVE, WITHOUT))[-1]
    assert last.note == "", "one of them was given no passages"
    assert "nothing was looked up" in last.right
    assert f"{SMALL.name}, no documents" in last.right
    assert "#do:open:" not in last.right
    assert "#do:open:" in last.left
    neither = run(tab, kb=None, sides=(SMALL.name, WITHOUT, "lab", WITHOUT))[-1]
    assert "lab says: nothing was looked up" in neither.right, "that needs no knowledge base"


def test_the_citations_of_each_side_open_its_own_sources_and_only_in_its_tab(tab: CompareTab, citations: Citations) -> None:
    first = run(tab)[-1]
    assert "Boil" in opened(citations, first.left)
    assert "Boil" in opened(citations, first.right)
    second = run(tab, "Where are noodles kept dry, in storage?")[-1]
    assert "dry and cool" in opened(citations, second.right)
    for html, session in ((first.left, "s1"), (second.left, "another tab")):
        with pytest.warns(UserWarning, match="source"):
            assert opened(citations, html, session) == SKIP


def test_stop_ends_both_and_keeps_what_stands(tab: CompareTab, core: FakeCore) -> None:
    core.pause = 0.05

    async def views() -> list[View]:
        seen = []
        async for view in tab.run(QUESTION, "default", *BOTH, request()):
            seen.append(view)
            if "Boil" in view.left and "Boil" in view.right:
                tab.stop(request("another tab"))
                tab.stop(request(user="someone else"))
                tab.stop(request())
        return seen

    last = asyncio.run(views())[-1]
    assert core.closed == ["early", "early"]
    for side in (last.left, last.right):
        assert "Boil" in side
        assert "Stopped here" in side
    assert last.go.visible is True
    assert not tab.runs


@pytest.mark.parametrize("at_once", [True, False])
def test_closing_the_page_leaves_nothing_running(
    tab: CompareTab, core: FakeCore, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr(core, "at_once", lambda left, right: at_once)
    core.pause = 30.0

    async def close() -> None:
        views = tab.run(QUESTION, "default", *BOTH, request())
        for _ in range(2):
            await anext(views)
        await views.aclose()
        assert len(asyncio.all_tasks()) == 1, "only this one"

    asyncio.run(close())
    assert core.closed == ["early"] * len(core.asked), "in turn, the second one was never asked"
    assert len(core.asked) == (2 if at_once else 1)
    assert not tab.runs


def test_a_second_question_is_refused_from_the_first_moment_on(tab: CompareTab, core: FakeCore) -> None:
    core.pause = 0.02

    async def two() -> list[list[View]]:
        async def one() -> list[View]:
            return [view async for view in tab.run(QUESTION, "default", *BOTH, request())]

        return list(await asyncio.gather(one(), one()))

    with pytest.warns(UserWarning, match="still being written"):
        first, second = asyncio.run(two())
    assert second == [View()]
    assert "Boil" in first[-1].left
    assert len(core.asked) == 2
    assert run(tab)[-1].left, "and afterwards it is free again"


@pytest.mark.parametrize("question", ["", "  ", None, 7, ["x"], "x" * (MAX_QUESTION + 1)])
def test_a_bad_question_is_refused(tab: CompareTab, core: FakeCore, question: Any) -> None:
    with pytest.warns(UserWarning, match="question|4,?000") as warned:
        assert run(tab, question) == [View()]
    assert len(warned) == 1
    assert (core.asked, tab.runs) == ([], {})


@pytest.mark.parametrize(
    ("sides", "sentence"),
    [
        (("gone", WITH, LIVE, WITH), "not there any more"),
        ((LIVE, WITH, None, WITH), "not there any more"),
        ((LIVE, WITH, ["x"], WITH), "not there any more"),
        ((LIVE, "sideways", LIVE, WITH), "Choose whether the knowledge base is used"),
        ((LIVE, WITH, LIVE, None), "Choose whether the knowledge base is used"),
        ((LIVE, WITH, "quotes", WITHOUT), "a model has to answer"),
    ],
)
def test_what_the_page_does_not_offer_is_refused(tab: CompareTab, core: FakeCore, sides: tuple[Any, ...], sentence: str) -> None:
    with pytest.warns(UserWarning, match=sentence):
        assert run(tab, sides=sides) == [View()]
    assert (core.asked, tab.runs) == ([], {})


@pytest.mark.parametrize("kb", [None, "", "unknown", "../default", "empty"])
def test_a_base_that_cannot_answer_is_refused_and_the_tab_is_free_again(tab: CompareTab, core: FakeCore, kb: Any) -> None:
    with pytest.warns(UserWarning) as warned:
        assert run(tab, kb=kb) == [View()]
    assert len(warned) == 1
    assert (core.asked, tab.runs) == ([], {})


@pytest.mark.parametrize("failure", ["The server <b>does not</b> answer.", KBError("The server <b>does not</b> answer.")])
def test_a_failure_is_a_sentence_on_its_side(tab: CompareTab, core: FakeCore, failure: Any) -> None:
    core.fail = failure
    last = run(tab, sides=(LIVE, WITH, LIVE, WITHOUT))[-1]
    assert "The server &lt;b&gt;does not&lt;/b&gt; answer." in last.left
    assert "nothing was looked up" in last.right, "the other one answers all the same"


def test_a_bug_shows_no_inside(tab: CompareTab, core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    core.fail = RuntimeError("secret path /root/x")
    views = run(tab)
    assert "secret" not in "".join(str(view) for view in views)
    assert "secret path" in caplog.text
    assert views[-1].go.visible is True


def test_where_quotations_answer_a_model_is_put_in(tab: CompareTab, core: FakeCore) -> None:
    core.stock(LARGE, TUNED)
    left, _, right, _, note = tab.refresh(LIVE, WITH, LIVE, WITHOUT)
    assert (left.value, right.value, note) == (TUNED.name, TUNED.name, ""), "one that fits"
    kept, _, other, _, _ = tab.refresh("quotes", WITH, "gone", WITH)
    assert (kept.value, other.value) == ("quotes", LIVE)
    assert tab.bare() == (TUNED.name, WITH, TUNED.name, WITHOUT, "")
    core.stock()
    left, _, right, _, note = tab.refresh(LIVE, WITH, LIVE, WITHOUT)
    assert (left.value, right.value) == (LIVE, LIVE)
    assert "#local:models" in note
    assert "There is no model yet" in note
    assert "只能引用原文" in CompareTab(core, ZH, {}).refresh(LIVE, WITH, LIVE, WITHOUT)[-1]


def test_presets(tab: CompareTab, core: FakeCore) -> None:
    assert tab.bare() == (LIVE, WITH, LIVE, WITHOUT, "")
    assert tab.models() == (LIVE, WITH, TUNED.name, WITH, ""), "not what does not fit"
    core.stock(SMALL, live=SMALL.name)
    with pytest.warns(UserWarning, match="no second model"):
        assert tab.models() == (SKIP,) * 5


def test_only_so_many_tabs_keep_their_sources(tab: CompareTab, citations: Citations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_KEPT", 2)
    for session in ("a", "b", "c"):
        tab._remember(("local", session), {})
    assert list(citations.asides) == [("local", "b"), ("local", "c")]


def test_names_and_answers_stay_text(tab: CompareTab, core: FakeCore) -> None:
    name = "<img src=x onerror=alert(1)><b>"
    core.stock(SMALL.__class__(name, "memory", SMALL.card), live=name)
    for view in run(tab, "<script>alert(1)</script> noodles?", sides=(LIVE, WITH, name, WITHOUT)):
        for html in (view.left, view.right):
            assert not any(never in str(html).lower() for never in NEVER)
