"""How a question is to be answered, from the fields of the page to the core; and the thumbs below what came of it."""

import asyncio
import math
import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

import kb
from kb import KBError, load_settings
from kb.records import Turn
from tests.ui.attacks import PAYLOADS
from tests.ui.conftest import a_core, request
from tests.ui.fake_models import LARGE, SERVER, SMALL
from tests.ui.fakes import FakeCore
from ui import entries, options, rating
from ui.answers import View
from ui.conversation import Conversations
from ui.core import Core
from ui.options import LIVE, MAX_SYSTEM, WITH, WITHOUT, Options
from ui.options_panel import OptionsPanel
from ui.rating import Ratings
from ui.words import Words

EN, ZH = Words("en"), Words("zh")
QUESTION = "How long to boil noodles?"
GOOD = (SMALL.name, WITH, 30, " You are a cook. ", 0.7, 256)
NUMBERS = [None, "", "1", True, False, math.nan, math.inf, -math.inf, -1, -0.001, 10**400, [1], {}, 1j]


@pytest.fixture
def core(core: FakeCore) -> FakeCore:
    core.stock(SMALL, LARGE, SERVER)
    return core


@pytest.fixture
def chat(core: FakeCore) -> Conversations:
    return Conversations(core, EN)


@pytest.fixture
def ratings(core: FakeCore) -> Ratings:
    return Ratings(core, EN)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(rating, "inform", said.append)
    return said


def ask(chat: Conversations, *chosen: Any, conversation: str = "", kb: str | None = "default", **who: Any) -> list[View]:
    async def run() -> list[View]:
        return [view async for view in chat.ask(QUESTION, conversation, kb, request(**who), *chosen)]

    return asyncio.run(run())


# What the fields hold


def test_what_was_chosen_is_read() -> None:
    assert options.read(EN, {SMALL.name}, GOOD) == Options(SMALL.name, False, 0.3, "You are a cook.", 0.7, 256)
    assert options.read(EN, (), (LIVE, WITHOUT, 0, None, 0, 16.0)) == Options(LIVE, True, 0.0, "", 0.0, 16)
    assert options.read(EN, (), ()) == Options()
    assert options.read(EN, (), (LIVE, WITH, 100, "x" * MAX_SYSTEM, 2, 8192)).max_tokens == 8192


@pytest.mark.parametrize("words", [EN, ZH])
@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        *((0, value, "options.gone") for value in ("gone", None, 7, ["x"], {}, LARGE)),
        *((1, value, "options.bad") for value in ("", None, "both", 1, True, [WITH])),
        *((2, value, "options.sure") for value in (*NUMBERS, 100.5)),
        *((3, value, "options.long") for value in ("x" * (MAX_SYSTEM + 1), 7, 0, False, [], {"a": 1})),
        *((4, value, "options.temperature") for value in (*NUMBERS, 2.1)),
        *((5, value, "options.tokens") for value in (*NUMBERS, 0, 15, 8193)),
    ],
)
def test_every_bad_value_is_one_sentence_about_its_field(words: Words, at: int, value: Any, field: str) -> None:
    chosen = [*GOOD[:at], value, *GOOD[at + 1 :]]
    said = words("options.long", limit=MAX_SYSTEM) if field == "options.long" else words(field)
    with pytest.raises(KBError, match=re.escape(said)):
        options.read(words, {SMALL.name}, chosen)


def test_the_defaults_are_those_of_the_settings_and_can_be_sent_back(tmp_path: Path) -> None:
    for given in ({}, {"temperature": 0, "max_tokens": 16, "refuse_below": 0}, {"max_tokens": 100_000, "refuse_below": 1}):
        settings = load_settings(data_base=tmp_path, **given)
        sure, temperature, tokens = options.defaults(settings)
        read = options.read(EN, (), (LIVE, WITH, sure, "", temperature, tokens))
        assert (read.sure, read.temperature) == (settings.refuse_below, settings.temperature)
        assert read.max_tokens == min(settings.max_tokens, 8192)


def test_a_bad_choice_asks_nothing_and_keeps_the_conversation(chat: Conversations, core: FakeCore) -> None:
    conversation = ask(chat)[0].conversation
    before = core.state.messages(conversation, "local")
    for chosen, sentence in (
        (("gone", *GOOD[1:]), "not there any more"),
        ((*GOOD[:4], math.nan, 256), "Temperature.* needs a number from 0 to 2"),
        (("quotes", WITHOUT, *GOOD[2:]), "a model has to answer"),
    ):
        for again in (False, True):
            with pytest.warns(UserWarning, match=sentence):
                views = (
                    asyncio.run(collected(chat.retry(conversation, "default", request(), *chosen)))
                    if again
                    else ask(chat, *chosen, conversation=conversation)
                )
            assert views == [View()]
    assert (len(core.asked), core.state.messages(conversation, "local")) == (1, before)


async def collected(views: Any) -> list[View]:
    return [view async for view in views]


# On to the core, and from there to kb


def test_what_was_chosen_goes_along_with_every_way_of_asking(chat: Conversations, core: FakeCore) -> None:
    wanted = Options(SMALL.name, False, 0.3, "You are a cook.", 0.7, 256)
    conversation = ask(chat, *GOOD)[0].conversation
    asyncio.run(collected(chat.retry(conversation, "default", request(), *GOOD)))
    asyncio.run(collected(chat.anyway(conversation, "default", request(), *GOOD)))
    assert core.options[:2] == [wanted, wanted]
    assert (core.options[2].sure, core.options[2].model, core.options[2].max_tokens) == (0.0, SMALL.name, 256)
    answer = core.state.messages(conversation, "local")[1]
    assert (answer.model, answer.plain) == (SMALL.name, False)


def test_without_the_knowledge_base_none_is_needed(chat: Conversations, core: FakeCore) -> None:
    views = ask(chat, SMALL.name, WITHOUT, *GOOD[2:], kb=None)
    assert f"{SMALL.name}, no documents" in views[-1].live
    answer = core.state.messages(views[0].conversation, "local")[1]
    assert (answer.plain, answer.hits) == (True, ())


def test_kb_is_asked_as_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core, history = Core(load_settings(data_base=tmp_path, refuse_below=0.5)), [Turn("user", "a"), Turn("assistant", "b")]
    monkeypatch.setattr(kb, "ask", lambda *given: ("ask", *given))
    monkeypatch.setattr(kb, "talk", lambda *given: ("talk", *given))
    chosen = Options("m", False, 0.3, "You are a cook.", 0.7, 256)
    how, question, turns, base, settings, snapshot, model, sampling = core.answer("q", history, "base", "at", chosen)  # type: ignore[misc]
    assert (how, question, turns, base, snapshot, model) == ("ask", "q", history, "base", "at", "m")
    assert (settings.refuse_below, settings.rewrite) == (0.3, True)
    assert (sampling.temperature, sampling.max_tokens, sampling.system) == (0.7, 256, "You are a cook.")
    *_, settings, _, model, sampling = core.answer("q", (), "base", "at", Options(as_typed=True))  # type: ignore[misc]
    assert (settings.refuse_below, settings.rewrite, model) == (0.5, False, LIVE), "None: what the settings say"
    assert (sampling.temperature, sampling.max_tokens, sampling.system) == (None, None, None)
    how, turns, settings, model, sampling = core.answer("q", history, None, None, Options("m", True, None, "S", 0.0, 16))  # type: ignore[misc]
    assert (how, turns, model) == ("talk", [*history, Turn("user", "q")], "m")
    assert (sampling.temperature, sampling.max_tokens, sampling.system) == (0.0, 16, "S")


# The panel


def test_the_choices_are_what_can_answer(core: FakeCore) -> None:
    assert entries.choices(EN, core, live=True) == [
        ("Live: Quotes only", LIVE), ("Quotes only", "quotes"), (SMALL.name, SMALL.name), ("lab", "lab"),
    ]  # fmt: skip
    core.stock(LARGE, live=LARGE.name)
    assert entries.choices(ZH, core, live=False) == [("仅引用原文", "quotes"), (LARGE.name, LARGE.name)], "live: it does fit"
    for name in ("gone", None, 7, [LIVE], {}):
        with pytest.raises(KBError, match="not there any more"):
            entries.known(EN, core, name)
    assert [entries.known(EN, core, name) for name in (LIVE, "quotes")] == [LIVE, "quotes"]


def test_the_line_below_says_who_answers_and_follows_what_there_is(core: FakeCore) -> None:
    panel = OptionsPanel(core, EN)
    for model, how, said in (
        (LIVE, WITH, EN("chat.quotes_only")),
        (LIVE, WITHOUT, "choose a model"),
        (SMALL.name, WITHOUT, f"{SMALL.name}, no documents"),
        ("gone", WITH, EN("chat.quotes_only")),
        (None, None, EN("chat.quotes_only")),
        (["x"], WITH, EN("chat.quotes_only")),
    ):
        assert said in panel.summed(model, how)  # type: ignore[arg-type]
    chosen, line = panel.refresh(SMALL.name, WITH)
    assert (chosen.value, SMALL.name in line) == (SMALL.name, True)
    core.stock(LARGE, live=LARGE.name)
    chosen, line = panel.refresh(SMALL.name, WITH)
    assert chosen.value == LIVE, "it was removed"
    assert LARGE.name in line


@pytest.fixture
def panel(core: FakeCore) -> OptionsPanel:
    with gr.Blocks():
        made = OptionsPanel(core, EN)
        made.build()
    return made


def test_what_was_chosen_comes_back_with_the_page(panel: OptionsPanel, core: FakeCore) -> None:
    mine = [SMALL.name, WITHOUT, 30, "You are a cook.", 0.7, 256]
    chosen, *rest, line = panel.restore(panel.keep(*mine))
    assert [chosen.value, *rest] == mine
    assert SMALL.name in line
    core.stock(LARGE)
    chosen, *rest, _ = panel.restore(mine)
    assert [chosen.value, *rest] == [LIVE, *mine[1:]], "it was removed; the rest stays"


@pytest.mark.parametrize(
    "kept",
    [None, [], "x", {"a": 1}, [LIVE, "both", 50, "", 0.2, 1024], [LIVE, WITH, 50, "", 9, 1024], [{}, WITH, 101, 7, "", None]],
)
def test_what_cannot_have_been_chosen_does_not(panel: OptionsPanel, kept: object) -> None:
    chosen, *rest, _ = panel.restore(kept)
    sure, temperature, tokens = options.defaults(panel.core.settings)
    assert [chosen.value, *rest] == [LIVE, WITH, sure, "", temperature, tokens]


@pytest.mark.parametrize("name", [text for text in PAYLOADS if 0 < len(text) < 500 and "\x00" not in text and text.strip()])
def test_a_hostile_name_stays_text(core: FakeCore, name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    core.stock(SMALL.__class__(name, "memory"), live=name)
    drawn = OptionsPanel(core, EN).summed(LIVE, WITH).lower()
    assert not any(never in drawn for never in ("<script", "<img", "<svg", "<iframe", "<style", 'href="javascript', "<b>"))


# The thumbs


def pressed(html: str) -> list[str]:
    """The thumbs that are shown pressed, as verb:ordinal."""
    links = re.findall(r"<a [^>]*>", html)
    return [re.search(r"#do:((?:up|down):\d+)", one)[1] for one in links if "thumb pressed" in one]  # type: ignore[index]


def test_a_thumb_is_kept_and_shown_pressed(chat: Conversations, ratings: Ratings, core: FakeCore, told: list[str]) -> None:
    conversation = ask(chat)[0].conversation
    ratings.up("1", conversation, request())
    assert core.state.votes(conversation, "local") == {1: 1}
    assert pressed(chat.open(conversation, "default", request()).past) == ["up:1"]
    assert pressed(ask(chat, conversation=conversation)[0].past) == ["up:1"], "also when the next question is asked"
    ratings.down("1", conversation, request())
    ratings.up("3", conversation, request())
    assert core.state.votes(conversation, "local") == {1: -1, 3: 1}, "the later one counts"
    assert pressed(chat.load("default", request(c=conversation)).past) == ["down:1", "up:3"]
    assert told == [EN("chat.rated.up"), EN("chat.rated.down"), EN("chat.rated.up")]
    last = asyncio.run(collected(chat.retry(conversation, "default", request())))
    assert pressed(last[-1].live) == []
    assert pressed(chat.open(conversation, "default", request()).past) == ["down:1"], "another answer, another thumb"


def test_only_ones_own_answers_are_rated(tmp_path: Path, told: list[str]) -> None:
    core = a_core(tmp_path)
    chat, ratings = Conversations(core, EN), Ratings(core, EN)
    conversation = ask(chat, user="ann")[0].conversation
    for who, ordinal in [
        ("bob", "1"),
        (None, "1"),
        *(("ann", bad) for bad in ("0", "2", "-1", "", "x", "²", "1:1", "9" * 30, None, [1])),
    ]:
        for press in (ratings.up, ratings.down):
            with pytest.warns(UserWarning, match="not there any more") as warned:
                press(ordinal, conversation, request(user=who))  # type: ignore[arg-type]
            assert len(warned) == 1
    for bad in ("", None, "gone", "\x00", "\ud800", "' OR 1=1 --", ["x"], "a" * 10_000):
        with pytest.warns(UserWarning, match="not there any more"):
            ratings.up("1", bad, request(user="ann"))  # type: ignore[arg-type]
    assert (core.state.votes(conversation, "ann"), told) == ({}, [])
    ratings.up("1", conversation, request(user="ann"))
    assert core.state.votes(conversation, "ann") == {1: 1}
