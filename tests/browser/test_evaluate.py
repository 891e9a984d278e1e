"""The Evaluate tab with nothing faked: the first run of a fresh install, cut short by a reload, and a question opened."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import ingest
import kb
from eval import save_set
from eval.cases import read_cases
from tests.browser.conftest import PHONE, Open, at_rest, no_sideways_scroll, reload, tab
from tests.ui.conftest import free_port

ROOT = Path(__file__).parents[2]
CASES = 6


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[SimpleNamespace]:
    """`python -m ui` over the guide, and some of the questions about it as a set of their own."""
    home = tmp_path_factory.mktemp("evaluated")
    (home / "models").symlink_to(models)
    settings = kb.load_settings(data_base=home)
    docs = tmp_path_factory.mktemp("docs")
    for name in ("guide.md", "guide.zh-CN.md"):
        (docs / name).write_bytes((ROOT / "docs" / name).read_bytes())
    ingest.add_source(settings, "guide", docs)
    ingest.reindex("guide", settings)
    whole = read_cases(ROOT / "eval" / "cases" / "guide.jsonl").cases
    save_set(settings, "a few", [*whole[: CASES - 2], *whole[-2:]])
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "ui", "--port", str(port)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                               env=os.environ | {"KB_DATA_BASE": str(home)})  # fmt: skip
    assert process.stdout
    assert "InternKB is at" in process.stdout.readline()
    yield SimpleNamespace(url=f"http://127.0.0.1:{port}", home=home)
    process.terminate()
    process.wait(10)


def test_a_run_is_followed_through_a_reload_to_a_case(served: SimpleNamespace, open_page: Open, tmp_path: Path) -> None:
    page = open_page(served.url)
    tab(page, "evaluate")
    page.wait_for_selector("#eval-head:has-text('whose answers are known')")
    page.wait_for_selector("#eval-first")
    page.click("#eval-set input")
    page.click("[role=option]:has-text('a few')")
    page.click("#eval-go")
    page.wait_for_selector("#eval-job .job")
    reload(page)
    page.wait_for_selector("#eval-job .job-done", timeout=60_000)
    page.wait_for_selector(f"#report .run-said:has-text('{CASES} questions')")
    assert page.locator(".tile").count() == 8
    assert not page.locator("#eval-first").is_visible()
    assert page.locator("#eval-cases a.case-link").count() == CASES
    page.click("#eval-cases a.case-link >> nth=1")
    page.wait_for_selector("body.case-open #case .gold-tag")
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.case-open)")
    page.click("#eval-cases a.case-link >> nth=1")  # the same one again
    page.wait_for_selector("body.case-open")
    page.click("#case .close")

    page.click("#eval-add > button")
    sent = tmp_path / "sent.jsonl"
    sent.write_text(json.dumps({"id": 1, "question": "<img src=x onerror=alert(1)>"}) + "\n{\n", "utf-8")
    page.set_input_files("#eval-upload input[type=file], input[type=file][accept='.jsonl']", str(sent))
    page.wait_for_selector("#eval-problems li:has-text('sent.jsonl:2')")
    assert page.input_value("#eval-set input") == "sent"


def test_made_questions_are_saved_from_the_table_and_a_phone_scrolls_no_page(served: SimpleNamespace, open_page: Open) -> None:
    page = open_page(served.url, "zh-CN", PHONE)
    tab(page, "evaluate")
    page.wait_for_selector("#eval-head h2")
    page.click("#eval-make > button")
    page.fill("#make-count input", "4")
    page.press("#make-count input", "Tab")
    at_rest(page)
    page.click("#make-go")
    page.wait_for_selector("#made-save")
    page.fill("#made-name input, #made-name textarea", "生成的")
    page.click("#made-save")
    page.wait_for_selector(".toast-body:has-text('生成的')")
    kept = read_cases(served.home / "questions" / "生成的.jsonl").cases
    assert len(kept) == 4
    assert any(case.answer_keys for case in kept)
    no_sideways_scroll(page)
