"""The library's handlers and the cards they draw."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kb import KBError
from kb.jobs import Progress
from kb.records import Skipped, Source
from tests.ui.conftest import a_core
from tests.ui.fakes import FakeCore, a_job
from ui import job_card, shelves
from ui.library import SKIP, LibraryTab, View
from ui.words import Words

EN, ZH = Words("en"), Words("zh")


@pytest.fixture
def tab(core: FakeCore) -> LibraryTab:
    return LibraryTab(core, EN)


def test_the_whole_tab(tab: LibraryTab) -> None:
    view = tab.refresh("default")
    assert "2 documents" in view.totals
    assert "/somewhere/notes" in view.sources
    assert "Noodles" in view.documents
    assert "a licence text" in view.skipped
    assert [label for label, _ in view.reason.choices] == ["All reasons (3)", "Format (2)", "Licence (1)"]
    assert view.job == ""
    assert view.timer.active is False


@pytest.mark.parametrize("kb", ["empty", "unknown", "../x", "", None])
def test_a_base_without_an_index_says_what_to_do(tab: LibraryTab, kb: str | None) -> None:
    view = tab.refresh(kb)
    assert "Nothing is indexed yet" in view.documents
    assert "No folder yet" in view.sources


def test_the_last_run_is_told(core: FakeCore) -> None:
    told = LibraryTab(core, ZH).refresh("default").totals
    assert "文件：新增 2，修改 1，移动 0，删除 0，未变 7" in told
    assert "新算向量 1,200，沿用向量 34 · 每秒 120 个段落" in told
    assert '<progress value="10000" max="10000">' in told
    assert "计算向量" in told


def test_search_and_filter(tab: LibraryTab) -> None:
    assert "Noodles" in tab.find("NOOD", "default")
    assert "long.md" not in tab.find("NOOD", "default")
    assert "No document matches “&lt;b&gt;”" in tab.find("<b>", "default")
    assert "LICENSE" not in tab.filter("format", "default")
    assert "a.bin" in tab.filter("format", "default")
    for kb in ("unknown", None, "empty"):
        tab.find("x", kb)
        tab.filter("no such reason", kb)


def test_indexing_is_a_job_that_is_followed_to_its_end(tab: LibraryTab, core: FakeCore) -> None:
    view = tab.reindex("default")
    assert "Embedding passages" in view.job
    assert "340 / 1,200 passages" in view.job
    assert "151/s" in view.job
    assert 'value="340" max="1200"' in view.job
    assert view.timer.active is True
    assert view.index.interactive is False
    assert "&lt;b&gt;not bold&lt;/b&gt;" in view.job
    reloaded = LibraryTab(core, ZH).refresh("default")
    assert "计算向量" in reloaded.job
    assert reloaded.timer.active is True
    assert tab.tick("default", view.seen).documents == SKIP
    core.fake_jobs = [a_job("done")]
    ended = tab.tick("default", view.seen)
    assert "Done" in ended.job
    assert ended.timer.active is False
    assert "Noodles" in ended.documents, "what the job made is drawn"
    assert tab.tick("default", ended.seen).documents == SKIP


def test_the_buttons_of_a_job(tab: LibraryTab, core: FakeCore) -> None:
    tab.reindex("default")
    job = core.fake_jobs[0].id
    assert f"#confirm:cancel-library:{job}" in tab.refresh("default").job
    assert tab.buttons.press("cancel", job)
    ended = tab.refresh("default").job
    assert "Cancelled" in ended
    assert f"#do:again-library:{job}" in ended
    assert tab.buttons.press("again", job)
    assert core.fake_jobs[0].alive


@pytest.mark.parametrize("job", ["", None, "unknown", "../x", "\x00", "of another tab", "ended"])
@pytest.mark.parametrize("verb", ["cancel", "pause", "again"])
def test_only_a_job_of_the_tab_is_touched(tab: LibraryTab, core: FakeCore, verb: Any, job: Any) -> None:
    core.fake_jobs = [replace(a_job("running", kind="eval"), id="of another tab"), replace(a_job("done"), id="ended")]
    before = list(core.fake_jobs)
    if (verb, job) != ("again", "ended"):
        with pytest.warns(UserWarning, match="not there any more, or has ended"):
            assert not tab.buttons.press(verb, job)
        assert core.fake_jobs == before


def test_a_job_that_can_be_paused_and_one_that_waits() -> None:
    running = replace(a_job("running", kind="train"), can_pause=True)
    assert "#do:pause-tune:" in job_card.card(EN, running, "tune")
    assert "#do:pause-tune:" not in job_card.card(EN, replace(running, state="waiting", waits_for="<b>"), "tune")
    assert "等待“&lt;b&gt;”结束" in job_card.card(ZH, replace(running, state="waiting", waits_for="<b>"), "tune")
    assert "Resume" in job_card.card(EN, replace(running, state="paused"), "tune")
    assert "#" not in job_card.card(EN, running, "tune", fixed=True)
    killed = job_card.card(EN, replace(running, state="failed", code=137), "tune")
    assert "signal 9" in killed


@pytest.mark.parametrize("kb", ["empty", "unknown", "", None, "../../x"])
def test_only_a_base_with_sources_is_indexed(tab: LibraryTab, core: FakeCore, kb: str | None) -> None:
    with pytest.warns(UserWarning):
        assert tab.reindex(kb) == View()
    assert core.fake_jobs == []


def test_adding_a_folder_indexes_it_and_turns_to_its_base(tab: LibraryTab, core: FakeCore) -> None:
    view = tab.add("/somewhere/else ", " new base ", "default")
    assert core.added == [("new base", "/somewhere/else")]
    assert core.fake_jobs[0].subject == "new base"
    assert view.kb.value == "new base"
    assert ("new base", "new base") in view.kb.choices
    assert view.path == ""


@pytest.mark.parametrize("path", ["", "  ", "relative", "x" * 5000, None])
def test_a_bad_path_is_a_sentence(tab: LibraryTab, core: FakeCore, path: Any) -> None:
    with pytest.warns(UserWarning):
        assert tab.add(path, "default", "default") == View()
    assert core.added == []


def test_a_public_page_adds_nothing_even_if_asked_directly(tmp_path: Path) -> None:
    core = a_core(tmp_path, public=True)
    core.fake_jobs = [a_job("running")]
    with pytest.warns(UserWarning, match="tasks are not changed here"):
        LibraryTab(core, EN).buttons.press("cancel", core.fake_jobs[0].id)
    assert core.fake_jobs[0].alive
    assert "cancel" not in LibraryTab(core, EN).refresh("default").job
    with pytest.warns(UserWarning, match="python -m ingest"):
        assert LibraryTab(core, EN).add("/somewhere/else", "default", "default") == View()
    assert core.added == []


def test_sources_are_paused_resumed_and_removed(tab: LibraryTab, core: FakeCore) -> None:
    core.bases["default"].paths.append(Source("我的 <notes>: 100%", "/x"))
    which = quote("我的 <notes>: 100%", safe="")
    assert f'href="#confirm:remove-source:{which}"' in tab.refresh("default").sources
    assert "paused" in tab.pause(which, "default").sources
    assert core.bases["default"].paths[1].paused
    assert "paused:" not in tab.pause(which, "default").sources
    view = tab.remove(which, "default")
    assert [one.name for one in core.bases["default"].paths] == ["notes"]
    assert core.fake_jobs, "its documents leave the index"
    assert view.timer.active is True


@pytest.mark.parametrize("value", ["", None, "unknown", "../notes", "%", "notes:1", "\x00"])
@pytest.mark.parametrize("kb", ["default", "unknown", None])
def test_only_a_source_that_is_there_is_changed(tab: LibraryTab, core: FakeCore, value: Any, kb: str | None) -> None:
    for change in (tab.remove, tab.pause):
        with pytest.warns(UserWarning):
            assert change(value, kb) == View()
    assert len(core.bases["default"].paths) == 1
    assert core.fake_jobs == []


def test_a_public_page_changes_no_source(tmp_path: Path) -> None:
    core = a_core(tmp_path, public=True)
    tab = LibraryTab(core, EN)
    assert "remove-source" not in tab.refresh("default").sources
    for change in (tab.remove, tab.pause):
        with pytest.warns(UserWarning, match="python -m ingest"):
            assert change("notes", "default") == View()
    assert core.bases["default"].paths == [Source("notes", "/somewhere/notes")]


def test_an_error_of_the_core_is_a_sentence(tab: LibraryTab, core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise KBError("The knowledge base is busy.")

    monkeypatch.setattr(core, "reindex", refuse)
    with pytest.warns(UserWarning, match="busy"):
        assert tab.reindex("default") == View()


@pytest.mark.parametrize("state", ["starting", "waiting", "running", "paused", "done", "failed", "cancelled", "lost"])
@pytest.mark.parametrize("progress", [None, Progress("scan", 3, 0, "files"), Progress("new-stage", 3, 9, "<unit>", 0.4, 4000.0)])
def test_every_state_of_a_job_has_a_card(state: str, progress: Progress | None) -> None:
    for words in (EN, ZH):
        html = job_card.card(words, a_job(state, progress=progress), "library")
        assert "<unit>" not in html
        assert ("progress" in html) == (state in ("starting", "running"))


def test_times_and_sizes() -> None:
    assert [job_card.duration(EN, s) for s in (0, 5.25, 12.4, 100, 6000)] == ["0 s", "5.2 s", "12 s", "2 min", "1.7 h"]
    assert [job_card.size(n) for n in (0, 999, 1500, 25_000, 3.2e6, 7e9)] == [
        "0 B",
        "999 B",
        "1.5 KB",
        "25 KB",
        "3.2 MB",
        "7.0 GB",
    ]
    now = time.time()
    assert [job_card.ago(EN, now - s) for s in (1, 300, 7300)] == ["just now", "5 min ago", "2 h ago"]
    assert job_card.ago(ZH, 0).startswith("于 19")


def test_long_lists_are_cut_and_say_so() -> None:
    many = [Skipped("notes", f"{n}.bin", "format", "<i>") for n in range(shelves.MAX_ROWS + 5)]
    html = shelves.left_out(ZH, many)
    assert html.count("<tr>") == shelves.MAX_ROWS + 1
    assert "坏" not in html
    bad = Skipped("notes", "z.md", "broken", "坏")
    assert "坏" in shelves.left_out(ZH, [*many, bad]), "problems come first"
    assert "另有 5 个" in html
    assert "<i>" not in html
