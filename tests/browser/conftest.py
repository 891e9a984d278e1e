"""Chromium, and a page that notes every request, dialog and error."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ui.conftest import a_core, free_port
from ui.address import Address
from ui.app import launch

ROOT = Path(__file__).parents[2]
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESKTOP = (1280, 800)
PHONE = (390, 844)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


def chromium_path() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser a module: playwright's loop must not stay in this thread while other tests run theirs."""
    path = chromium_path()
    if path is None:
        pytest.skip("there is no chromium on this computer (`make browser` installs it)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Notes:
    """What a page did behind the scenes."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.leaving = False  # what Gradio says when a reload cuts its streams is no error

    def error(self, text: str) -> None:
        if not self.leaving:
            self.errors.append(text)

    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]


Open = Callable[..., Any]
Start = Callable[..., str]


@pytest.fixture(scope="module")
def contexts(chromium: Any) -> Iterator[dict[str, Any]]:
    """A browser profile for each language, kept for a module: Gradio's scripts are then fetched once."""
    made: dict[str, Any] = {}
    yield made
    for context in made.values():
        context.close()


@pytest.fixture
def open_page(chromium: Any, contexts: dict[str, Any]) -> Iterator[Open]:
    """Open a page: `open_page(url, language, size)`; at the end nothing may have gone wrong on any of them."""
    pages: list[tuple[Any, Notes]] = []

    def open_(url: str, language: str = "en-US", size: tuple[int, int] = DESKTOP) -> Any:
        if language not in contexts:
            contexts[language] = chromium.new_context(locale=language, permissions=["clipboard-read", "clipboard-write"])
        page, notes = contexts[language].new_page(), Notes()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.set_default_timeout(15_000)
        page.on("request", lambda request: notes.requests.append(request.url))
        page.on("dialog", lambda dialog: (notes.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: notes.error(str(error)))
        page.on("console", lambda said: notes.error(said.text) if said.type == "error" else None)
        page.notes = notes
        pages.append((page, notes))
        page.goto(url)
        loaded(page)
        return page

    yield open_
    for page, notes in pages:
        notes.leaving = True
        if not page.is_closed():
            page.evaluate("localStorage.clear()")
        page.close()
        page.context.clear_cookies()
        assert notes.foreign() == []
        assert notes.dialogs == []
        assert notes.errors == []


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A core of fakes, served: .url, .core. Each test begins by `app.core.renew(...)`."""
    core = a_core(tmp_path_factory.mktemp("app"))
    address = Address(port=free_port())
    blocks = launch(core, address, block=False)
    yield SimpleNamespace(url=address.url, core=core)
    blocks.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`python -m ui` in a process of its own: `start(data_base, endpoint_url=…)` returns its address."""
    running: list[subprocess.Popen[str]] = []

    def start_(home: Path, **settings: str) -> str:
        port = free_port()
        environment = os.environ | {"KB_DATA_BASE": str(home), "KB_SOURCE_ROOTS": f'["{tmp_path}"]'}
        environment |= {f"KB_{name.upper()}": value for name, value in settings.items()}
        process = subprocess.Popen([sys.executable, "-m", "ui", "--port", str(port)], cwd=ROOT, env=environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        running.append(process)
        assert process.stdout
        said = process.stdout.readline()
        assert said == f"InternKB is at http://127.0.0.1:{port}  (Ctrl-C stops it)\n"
        return f"http://127.0.0.1:{port}"

    yield start_
    for process in running:
        process.terminate()
        process.wait(10)


def loaded(page: Any) -> None:
    """Gradio has started and the page has been filled; on a phone the list is there but out of sight."""
    page.wait_for_selector("#listed ul, #listed p", state="attached")


def reload(page: Any, link: str = "") -> None:
    """Load the page again, or another one by a link on it."""
    page.notes.leaving = True
    if link:
        with page.expect_navigation():
            page.click(link)
    else:
        page.reload()
    loaded(page)
    page.notes.leaving = False


def at_rest(page: Any) -> None:
    """What is sent while Gradio closes the stream of an event that has just ended, stays without an answer until the next
    event. A person is slower."""
    page.wait_for_timeout(150)


def ask(page: Any, question: str, *, wait: bool = True) -> None:
    page.fill("#question textarea", question)
    at_rest(page)
    page.press("#question textarea", "Enter")
    if wait:
        page.wait_for_selector("#live .answer .tools")


def tab(page: Any, name: str) -> None:
    at_rest(page)
    page.click(f"#tabs button[data-tab-id={name}]")


def no_sideways_scroll(page: Any) -> None:
    wide = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]")
    assert max(wide[:2]) <= wide[2]
    over = """() => [...document.querySelectorAll('#talk, #transcript, #library, #source-list, #header')]
        .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'auto').map(e => e.id)"""
    assert page.evaluate(over) == []
