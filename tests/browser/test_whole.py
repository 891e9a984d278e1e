"""The whole way with nothing faked but the language model: a folder is indexed from the page, asked, stopped, reopened."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open, Start, ask, no_sideways_scroll, reload, tab
from tests.fake_openai import FakeOpenAI
from tests.ui.attacks import PAYLOADS

NOODLES = """# Kitchen

## Cooking noodles

Boil the noodles for four minutes in plenty of salted water.

## 煮米饭

米饭要用一杯米加一杯半水，小火煮十五分钟。

```shell
kitchen cook --rice --minutes 15
```
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A data_base for all tests here; the first start makes the guide in it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "models").symlink_to(models)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder: a page in two languages, hostile ones, and enough others to take a moment."""
    home = tmp_path / "notes"
    (home / "more").mkdir(parents=True)
    (home / "kitchen.md").write_text(NOODLES, "utf-8")
    for n, payload in enumerate(PAYLOADS):
        (home / f"hostile {n}.md").write_text(f"# Hostile {payload[:200]}\n\nThe zebra says {payload}\n", "utf-8")
    for n in range(16):
        text = "\n\n".join(
            f"Paragraph {k} of story {n} tells of a {('fox', 'hen', 'owl')[k % 3]} in the wood. " * 8 for k in range(6)
        )
        (home / "more" / f"story-{n}.md").write_text(f"# Story {n}\n\n{text}\n", "utf-8")
    (home / "empty.md").write_text("", "utf-8")
    return home


def index(page: Any, folder: Path) -> None:
    """Add the folder; reload the page while it is being indexed; wait for the end."""
    tab(page, "library")
    page.fill("#add-path input, #add-path textarea", str(folder))
    page.fill("#add-base input, #add-base textarea", "kitchen")
    page.click("#add-go")
    page.wait_for_selector(".job progress")
    reload(page)
    page.wait_for_selector(".job progress")  # the tab, the knowledge base and the bar are found again
    page.wait_for_selector(".job-done", timeout=60_000)


def test_from_nothing_to_a_cited_answer_in_both_languages(start: Start, home: Path, open_page: Open, folder: Path) -> None:
    page = open_page(start(home))
    assert page.locator("a.example").count() >= 2, "the guide is there without being asked for"
    index(page, folder)
    assert "documents" in page.inner_text("#totals")
    page.fill("#search input, #search textarea", "kitchen")
    page.wait_for_selector("#documents .path:text('kitchen.md')")
    assert "empty.md" in page.inner_text("#skipped")
    tab(page, "chat")
    page.wait_for_selector(".welcome .about:has-text('kitchen')")

    ask(page, "How long must noodles boil?")
    assert "four minutes" in page.inner_text("#live .prose-text")
    page.click("#live a.cite >> nth=0")
    page.wait_for_selector("body.reading #reader mark")
    assert "four minutes" in page.inner_text("#reader .text mark >> nth=0")
    assert "kitchen.md" in page.inner_text("#reader header")
    page.click("#reader .close")

    reload(page, "a.language")
    page.wait_for_selector("#past .answer")
    ask(page, "米饭怎么煮？")
    assert "小火煮十五分钟" in page.inner_text("#live .prose-text")
    page.click("#live a.cite >> nth=0")
    page.wait_for_selector("#reader mark:has-text('小火煮十五分钟')")
    page.keyboard.press("Escape")

    sent = folder.parent / "月亮.md"
    sent.write_text("# 月亮\n\n月亮上的邮局每天下午三点关门，周日不营业。\n", "utf-8")
    tab(page, "library")
    page.set_input_files("input[type=file]", str(sent))
    page.wait_for_selector("#documents .path:text('月亮.md')", timeout=60_000)
    tab(page, "chat")
    ask(page, "月亮上的邮局几点关门？")
    page.wait_for_selector("#live .prose-text:has-text('下午三点')")

    ask(page, "What does the zebra say?")  # the hostile pages; the fixture looks for what must not have happened
    for card in range(min(3, page.locator(".card-head").count())):
        page.click(f".card-head >> nth={card}")
        page.wait_for_selector("body.reading")
        page.wait_for_timeout(250)
        page.keyboard.press("Escape")
    no_sideways_scroll(page)


def test_a_model_is_stopped_and_its_server_notices(start: Start, home: Path, open_page: Open) -> None:
    hostile = [text for text in PAYLOADS if len(text) < 500]
    with FakeOpenAI(
        pieces=["Boil ", "them ", "[1].\n\n", *(f"{text}\n\n" for text in hostile)] + ["more "] * 600, pause=0.03
    ) as model:
        page = open_page(start(home, endpoint_url=model.url, endpoint_model="slow-model", rewrite="false"))
        assert "slow-model" in page.inner_text("#foot")
        ask(page, "How do I add a folder?", wait=False)
        page.wait_for_selector("#live .prose-text a.cite")
        page.wait_for_timeout(2000)
        page.click("#stop")
        page.wait_for_selector("#live .note:has-text('Stopped')")
        assert model.hung_up.wait(5)
        reload(page)
        page.wait_for_selector("#past .answer a.cite")
        assert page.inner_text("#past .prose-text").startswith("Boil them")
        page.click("#past a.cite >> nth=0")
        page.wait_for_selector("body.reading mark")

        model.hung_up.clear()
        page.keyboard.press("Escape")
        ask(page, "And again?", wait=False)
        page.wait_for_selector("#live .prose-text")
        page.close()
        assert model.hung_up.wait(5), "a closed page ends the answer behind it"
