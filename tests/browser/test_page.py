"""The page in a browser, over a core of fakes: what a script cannot see from outside."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kb.jobs import Progress
from kb.records import Skipped
from tests.browser.conftest import PHONE, Open, ask, no_sideways_scroll, reload, tab
from tests.ui.attacks import PAYLOADS
from tests.ui.fake_models import SMALL
from tests.ui.fakes import a_job, base, document


@pytest.fixture(autouse=True)
def fresh(app: SimpleNamespace, tmp_path: Path) -> None:
    app.core.renew(tmp_path)


def eventually(true: Callable[[], Any], seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)


def test_ask_open_a_source_and_come_back(app: SimpleNamespace, open_page: Open) -> None:
    page = open_page(app.url)
    assert page.get_attribute("html", "lang") == "en"
    assert page.title() == "InternKB"
    page.click("a.example >> nth=0")
    page.wait_for_selector("#live .answer .tools")
    page.click("a.new")
    page.wait_for_selector(".welcome")
    ask(page, "How long to boil the noodles?")
    page.click("#live a.cite >> nth=0")
    page.wait_for_selector("body.reading #reader mark")
    assert page.inner_text("#reader mark") == "Boil the noodles for four minutes."
    assert page.locator("#reader mark").bounding_box()["y"] < 700
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.reading)")
    page.click(".card-head >> nth=0")  # the same source again
    page.wait_for_selector("body.reading")
    page.click("#reader .close")
    assert "?c=" in page.url
    reload(page)
    page.wait_for_selector("#past .answer a.cite")
    assert page.locator(".cards .card").count() >= 1
    reload(page, "a.language")
    page.wait_for_selector("#past .answer a.cite")
    assert page.get_attribute("html", "lang") == "zh-CN"
    assert "新对话" in page.inner_text("#side")
    page.goto(app.url)
    page.wait_for_selector("#question textarea")
    assert page.url.endswith("/zh"), "the choice is remembered"


def test_conversations_are_renamed_deleted_cleared_after_a_question(app: SimpleNamespace, open_page: Open) -> None:
    page = open_page(app.url)
    ask(page, "How long to boil the noodles?")
    page.hover(".conversations li")
    page.click(".conversations .act >> nth=0")
    page.fill("dialog input", "Dinner: noodles")
    page.keyboard.press("Enter")
    page.wait_for_selector(".conversations .title:text('Dinner: noodles')")
    page.click("a.clear")
    page.click("dialog button.no")
    assert page.locator(".message").count() == 2
    page.click("a.clear")
    page.click("dialog button.yes")
    page.wait_for_selector(".welcome")
    page.hover(".conversations li")
    page.click(".conversations .act >> nth=1")
    page.keyboard.press("Escape")
    assert len(app.core.state.conversations("local")) == 1
    page.hover(".conversations li")
    page.click(".conversations .act >> nth=1")
    page.click("dialog button.yes")
    page.wait_for_selector("#listed .empty")
    assert app.core.state.conversations("local") == []


def test_stop_retry_copy(app: SimpleNamespace, open_page: Open) -> None:
    app.core.pause = 0.2
    page = open_page(app.url)
    ask(page, "How long to boil the noodles?", wait=False)
    page.wait_for_selector("#live .prose-text")
    page.click("#stop")
    page.wait_for_selector("#live .note")
    assert app.core.closed == ["early"]
    app.core.pause = 0.0
    page.click("#live .tool-retry")
    page.wait_for_selector("#live .note", state="detached")
    page.wait_for_selector("#live .tool-retry")
    assert page.locator(".question").count() == 1
    assert app.core.closed == ["early", "whole"]
    page.click("#live .tools a[href='#local:copy-answer']")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("> Boil the noodles for four minutes. [1]")


def test_the_options_come_back_with_the_page_and_in_the_other_language(app: SimpleNamespace, open_page: Open) -> None:
    app.core.stock(SMALL)
    page = open_page(app.url)
    page.click("#foot a[href='#local:options']")
    kept = [None]
    for change in (
        lambda: (page.click("#option-model input"), page.click(f"[role=option]:has-text('{SMALL.name}') >> nth=-1")),
        lambda: page.check("#option-how input[value=plain]"),
        lambda: page.fill("#option-temperature input", "0.7"),
        lambda: (page.click("#option-system textarea"), page.keyboard.insert_text("你是一位厨师。"), page.keyboard.press("Tab")),
    ):
        change()
        eventually(lambda: page.evaluate("localStorage.getItem('internkb-options')") not in kept)
        kept.append(page.evaluate("localStorage.getItem('internkb-options')"))
    reload(page, "a.language")
    page.click("#foot a[href='#local:options']")
    page.wait_for_selector("#option-how input[value=plain]:checked")
    page.wait_for_timeout(500)
    assert page.input_value("#option-model input") == SMALL.name
    assert page.input_value("#option-temperature input") == "0.7"
    assert page.input_value("#option-system textarea") == "你是一位厨师。"


def test_a_closed_page_ends_the_answer_behind_it(app: SimpleNamespace, open_page: Open) -> None:
    app.core.pause = 0.3
    page = open_page(app.url)
    ask(page, "How long to boil the noodles?", wait=False)
    page.wait_for_selector("#live .prose-text")
    page.close()
    eventually(lambda: app.core.closed == ["early"])
    conversation = app.core.state.conversations("local")[0].id
    eventually(lambda: len(app.core.state.messages(conversation, "local")) == 2)


def test_a_job_is_found_again_after_a_reload_and_the_page_is_quiet_without_one(app: SimpleNamespace, open_page: Open) -> None:
    page = open_page(app.url)
    tab(page, "library")
    page.click("#index")
    page.wait_for_selector(".job progress[value='340']")
    app.core.fake_jobs = [a_job("running", progress=Progress("write", 900, 1200, "chunks", 10.0, 30.0))]
    page.wait_for_selector(".job progress[value='900']")
    reload(page)
    page.wait_for_selector(".job progress[value='900']")  # the tab too is found again
    assert "Writing the index" in page.inner_text(".job")
    assert "30 s left" in page.inner_text(".job")
    page.click(".job .cancel")
    page.click("dialog button.yes")
    page.wait_for_selector(".job-cancelled")
    page.wait_for_timeout(700)
    before = len(page.notes.requests)
    page.wait_for_timeout(1500)
    assert len(page.notes.requests) == before, "no job, no polling"


def test_adding_a_folder_turns_to_its_base(app: SimpleNamespace, open_page: Open) -> None:
    page = open_page(app.url)
    tab(page, "library")
    page.fill("#add-path input, #add-path textarea", "relative")
    page.click("#add-go")
    page.wait_for_selector(".toast-body:has-text('is not there')")
    page.fill("#add-path input, #add-path textarea", "/somewhere/recipes")
    page.fill("#add-base input, #add-base textarea", "new base")
    page.click("#add-go")
    page.wait_for_selector(".totals h2:text('new base')")
    page.wait_for_selector(".job progress")
    assert app.core.added == [("new base", "/somewhere/recipes")]
    page.click(".sources .acts a >> nth=1")
    page.click("dialog button.no")
    page.click(".sources .acts a >> nth=0")
    page.wait_for_selector(".sources .paused")
    page.click(".sources .acts a >> nth=1")
    page.click("dialog button.yes")
    page.wait_for_selector("#base-sources .empty")
    tab(page, "chat")
    page.wait_for_selector(".welcome h2:text('No documents yet')")


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_a_phone_shows_everything_without_scrolling_sideways(app: SimpleNamespace, open_page: Open, language: str) -> None:
    core = app.core
    wide = "x" * 400 + " noodles " + "https://example.com/" + "y" * 300
    text = f"# {'Long heading ' * 20}\n\n{wide}\n"
    code = f"```\n{'z' * 300} noodles\n```\n\n| {' | '.join(['noodles'] * 30)} |\n"
    docs = document("a/" * 40 + "deep.md", text, "T" * 200), document("code.md", code)
    skipped = [Skipped("notes", "p" * 300, "encoding", "q" * 200)]
    core.bases["default"] = base("default", *docs, skipped=skipped)
    core.state.new_conversation("local", "default", "t" * 80)
    page = open_page(app.url, language, PHONE)
    no_sideways_scroll(page)
    ask(page, "noodles " + "w" * 300)
    no_sideways_scroll(page)
    page.click("#live .tool-sources")
    page.wait_for_selector("body.sources-open .card")
    no_sideways_scroll(page)
    page.click(".card-head >> nth=0")
    page.wait_for_selector("body.reading mark")
    page.wait_for_timeout(300)
    no_sideways_scroll(page)
    page.click("#reader .close")
    page.wait_for_timeout(300)
    page.click("a.menu")
    page.wait_for_selector("body.side-open")
    no_sideways_scroll(page)
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    tab(page, "library")
    page.wait_for_selector("table.skipped")
    page.click("#index")
    page.wait_for_selector(".job progress")
    no_sideways_scroll(page)


def test_dark_and_light_are_kept(app: SimpleNamespace, open_page: Open) -> None:
    page = open_page(app.url)
    page.emulate_media(color_scheme="dark")
    reload(page)
    page.wait_for_selector("body.dark")
    page.click("a.theme")
    page.wait_for_selector("body:not(.dark)")
    reload(page)
    page.wait_for_timeout(300)
    assert page.locator("body.dark").count() == 0


def test_nothing_in_a_document_or_question_reaches_out_of_the_page(app: SimpleNamespace, open_page: Open) -> None:
    """Every payload as title, path, heading, text, answer, question, conversation title and reason; see the fixture's end."""
    core = app.core
    payloads = [text for text in PAYLOADS if len(text) < 1000 and "\x00" not in text]
    docs = [document(f"{n}{text}"[:200], f"# {text}\n\nneedle {text}\n\nneedle\n{text}", text) for n, text in enumerate(payloads)]
    skipped = [Skipped("notes", text, "encoding", text) for text in payloads]
    core.bases["default"] = base("default", *docs, skipped=skipped)
    page = open_page(app.url)
    elements = "iframe, object, embed, #tabs img, #tabs video, #tabs audio, #tabs svg[onload], [onerror], base[href^='https']"
    clean = page.locator(elements).count()
    for start in range(0, len(payloads), 16):
        core.bases["default"].generation.docs = {d.key: d for d in docs[start : start + 16]}
        ask(page, f"needle {payloads[start]}")
        page.click("#live a.cite >> nth=0")
        page.wait_for_selector("body.reading .line")
        page.keyboard.press("Escape")
        page.click("a.new")
        page.wait_for_selector(".welcome")
    reload(page)
    tab(page, "library")
    page.wait_for_selector("table.skipped")
    page.fill("#search input, #search textarea", "<img src=x onerror=alert(1)>")
    page.wait_for_timeout(500)
    page.fill("#add-path input, #add-path textarea", "<img src=https://evil.example/x.png onerror=alert(1)>")
    page.click("#add-go")
    page.wait_for_selector(".toast-body")
    page.wait_for_timeout(300)
    assert page.locator(elements).count() == clean
    page.fill("#search input, #search textarea", "")
    page.wait_for_timeout(500)
