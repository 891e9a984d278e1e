"""The Models tab over entries in memory, and what it asks of kb over real folders."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import kb
from kb import model_jobs, serving
from kb.models import Endpoint
from tests.ui.attacks import PAYLOADS
from tests.ui.conftest import a_core
from tests.ui.fake_models import LARGE, SERVER, SMALL, TUNED, Entry, Swap, a_card
from tests.ui.fakes import FakeCore, a_job
from ui import model_cards, models
from ui.core import Core
from ui.model_core import Task
from ui.models import SKIP, ModelsTab, View
from ui.words import Words

EN, ZH = Words("en"), Words("zh")
BAD: list[Any] = ["", "gone", "../../etc/passwd", "%00", "%FF", "\x00", "x" * 10_000, None, 7, ["quotes"], {}]


@pytest.fixture
def core(core: FakeCore) -> FakeCore:
    core.stock(SMALL, TUNED, LARGE, SERVER, live="lab")
    return core


@pytest.fixture
def tab(core: FakeCore) -> ModelsTab:
    return ModelsTab(core, EN)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page was told that is no warning."""
    said: list[str] = []
    monkeypatch.setattr(models, "inform", said.append)
    return said


@pytest.fixture
def real(tmp_path: Path) -> Core:
    """The core that the app has; models may be added from tmp_path/home."""
    (tmp_path / "home").mkdir()
    return Core(kb.load_settings(data_base=tmp_path / "data", source_roots=(tmp_path / "home",), smoke_seconds=20))


def cards(html: str) -> dict[str, str]:
    """Title → the card, in the order of the page."""
    every = re.findall(r'<li class="model(?: live)?">(.*?)</li>', html)
    return {unescape(re.search(r"<h4>(.*?)</h4>", card)[1]): card for card in every}  # type: ignore[index]


def ended(core: Core) -> Task:
    task = core.task()
    assert task
    end = time.monotonic() + 20
    while task.alive:
        assert time.monotonic() < end
        time.sleep(0.01)
    return task


# The list


def test_the_list_has_the_live_one_first_then_models_servers_and_quotations(tab: ModelsTab) -> None:
    drawn = cards(tab.refresh().cards)
    assert list(drawn) == ["lab", SMALL.name, TUNED.name, LARGE.name, "Quotes only"]
    assert ['class="badge live"' in card for card in drawn.values()] == [True, False, False, False, False]
    assert "#do:use-model:lab" not in drawn["lab"], "it is in use"
    assert "#confirm:remove-model:lab" not in drawn["lab"], "what answers is not removed"
    assert "http://10.0.0.7:23333/v1 · called qwen3-32b there" in drawn["lab"]
    for fact in ("1.9 B", "3.8 GB", "bfloat16", "32,768 tokens", "apache-2.0", "converted from internlm2", "@aaaaaaaa"):
        assert fact in drawn[SMALL.name], fact
    assert "fine-tuned here: 小书" in drawn[TUNED.name]
    assert "#do:use-model:quotes" in drawn["Quotes only"]
    assert "check-model" not in drawn["Quotes only"] + drawn["lab"], "there are no files"


def test_what_does_not_fit_and_what_cannot_be_used_says_so(tab: ModelsTab, core: FakeCore) -> None:
    core.stock(LARGE, replace(SMALL, problem="model.safetensors is cut short."))
    drawn = cards(tab.refresh().cards)
    assert "Does not fit: needs 18.9 GB, 9.0 GB are free." in drawn[LARGE.name]
    assert "model.safetensors is cut short." in drawn[SMALL.name]
    assert "放不下：需要 18.9 GB，空闲 9.0 GB。" in cards(ModelsTab(core, ZH).refresh().cards)[LARGE.name]


def test_without_a_model_the_page_says_what_to_do(tab: ModelsTab, core: FakeCore) -> None:
    assert "There is no model here yet" not in tab.refresh().cards
    core.stock()
    assert "There is no model here yet" in tab.refresh().cards
    assert "这里还没有模型" in ModelsTab(core, ZH).refresh().cards
    assert "InternKB uses 1.4 GB · 9.0 GB of 16.0 GB free" in tab.refresh().memory


# Use, check, remove


def test_a_swap_is_followed_to_its_end_and_a_second_one_waits(tab: ModelsTab, core: FakeCore) -> None:
    view = tab.use(quote(TUNED.name, safe=""))
    assert f"Switching to {TUNED.name}" in view.task
    assert "Loading it into memory" in view.task
    assert view.timer.active is True
    assert "#do:use-model" not in view.cards, "no second one is offered"
    assert tab.tick(view.seen).cards is SKIP, "nothing has ended"
    with pytest.warns(UserWarning, match="still being worked on: wait until that has ended"):
        assert tab.use(SMALL.name) == View()
    assert (task := core.task()) and task.name == TUNED.name
    core.finish_swap()
    end = tab.tick(view.seen)
    assert f"{TUNED.name} answers now" in end.task
    assert "1.4 GB used before, 5.3 GB now" in end.task
    assert "9.0 GB free before, 5.1 GB now" in end.task
    assert next(iter(cards(end.cards))) == TUNED.name
    assert end.timer.active is False
    assert tab.tick(end.seen).cards is SKIP
    assert "现在由 小书助手 回答" in ModelsTab(core, ZH).refresh().task


def test_a_swap_that_fails_says_why_and_the_old_one_stays(tab: ModelsTab, core: FakeCore) -> None:
    seen = tab.use(SMALL.name).seen
    core.finish_swap("It did not answer <b>in time</b>.")
    view = tab.tick(seen)
    assert f"{SMALL.name} could not take over" in view.task
    assert "It did not answer &lt;b&gt;in time&lt;/b&gt;." in view.task
    assert next(iter(cards(view.cards))) == "lab"
    assert f"#do:use-model:{SMALL.name}" in view.cards, "it can be tried again"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Loading x.", "正在载入内存"),
        ("Asking x two questions.", "正在用两个简短问题试答"),
        ("Waiting for 3 answers.", "正在等待未完成的回答"),
        ("No room: y is stopped first.", "内存放不下两个"),
        ("<i>Other</i>", "&lt;i&gt;Other"),
    ],
)
def test_each_step_of_a_swap_is_told_in_the_language_of_the_page(said: str, shown: str) -> None:
    assert shown in model_cards.task(ZH, Task("use", "x", 0.0, said))


def test_a_check_tells_what_it_found(tab: ModelsTab, core: FakeCore) -> None:
    core.stock(SMALL, replace(SMALL, name="damaged"))
    assert f"{SMALL.name} is sound" in tab.check(SMALL.name).task
    view = tab.check("damaged")
    assert "damaged is not as it was added" in view.task
    assert "<li>model.safetensors has changed since it was added.</li>" in view.task


def test_removing(tab: ModelsTab, core: FakeCore, told: list[str]) -> None:
    with pytest.warns(UserWarning, match="answers now: use another one first"):
        assert tab.remove("lab") == View()
    assert TUNED.name not in cards(tab.remove(quote(TUNED.name)).cards)
    assert told == ["Removed “小书助手”; 3.8 GB are free again."]
    assert {entry.name for entry in core.entries()} == {"quotes", "lab", SMALL.name, LARGE.name}


@pytest.mark.parametrize("value", BAD)
def test_what_is_not_on_the_list_is_refused_in_a_sentence(tab: ModelsTab, core: FakeCore, value: Any) -> None:
    before = core.entries()
    for handler in (tab.use, tab.check, tab.remove):
        with pytest.warns(UserWarning, match="not there any more"):
            assert handler(value) == View()
    assert (core.entries(), core.task()) == (before, None)


# Adding


def test_adding_starts_a_job_that_is_shown_and_empties_the_field(tab: ModelsTab, core: FakeCore) -> None:
    core.settings = core.settings.model_copy(update={"source_roots": (core.settings.data_base,)})
    (core.settings.data_base / "my model").mkdir(parents=True)
    view = tab.add(f" {core.settings.data_base / 'my model'} ", "")
    assert "Add my model" in view.jobs
    assert "1,300,000,000 / 3,778,220,032" in view.jobs or "1.3" in view.jobs
    assert (view.path, view.id, view.timer.active) == ("", SKIP, True)
    fetched = tab.download("internlm/internlm3-8b-instruct", "modelscope", "", "三")
    assert "Download internlm/internlm3-8b-instruct" in fetched.jobs
    assert (fetched.id, fetched.path) == ("", SKIP)
    assert len(core.model_jobs()) == 2


@pytest.mark.parametrize(("path", "where"), [("", "hub"), ("  ", "hub"), (None, None), (7, "hub"), ([], "hub")])
def test_nothing_typed_is_told(tab: ModelsTab, core: FakeCore, path: Any, where: Any) -> None:
    with pytest.warns(UserWarning, match="path of a folder"):
        tab.add(path, "x")
    with pytest.warns(UserWarning, match="id of a model"):
        tab.download(path, where, "", "")
    with pytest.warns(UserWarning, match="a name and an address"):
        tab.connect(path, "http://x/v1", "", "")
    with pytest.warns(UserWarning, match="a name and an address"):
        tab.connect("x", path, "", "")
    assert core.fake_jobs == []


@pytest.mark.parametrize("where", ["", "github", None, ["hub"], {}])
def test_an_unknown_hub_is_told(tab: ModelsTab, core: FakeCore, where: Any) -> None:
    with pytest.warns(UserWarning, match="Hugging Face or ModelScope"):
        tab.download("internlm/x", where, "", "")
    assert core.fake_jobs == []


def test_only_jobs_of_this_tab_are_cancelled(tab: ModelsTab, core: FakeCore) -> None:
    core.fake_jobs = [a_job("running", "default", kind="ingest")]
    for id_ in (core.fake_jobs[0].id, "gone", "", None, "\x00", ["x"]):
        with pytest.warns(UserWarning, match="not there any more|has ended|gone"):
            assert not tab.buttons.press("cancel", id_)  # type: ignore[arg-type]
    assert core.fake_jobs[0].alive
    core.fake_jobs = [a_job("running", "x", kind="model")]
    assert f"#confirm:cancel-models:{core.fake_jobs[0].id}" in tab.refresh().jobs
    assert tab.buttons.press("cancel", core.fake_jobs[0].id)
    assert not core.fake_jobs[0].alive


def test_a_public_page_shows_and_changes_nothing(tmp_path: Path) -> None:
    core = a_core(tmp_path, public=True)
    core.stock(SMALL, SERVER, live="lab")
    core.fake_jobs = [a_job("running", "x", kind="model")]
    tab, before = ModelsTab(core, EN), core.entries()
    view = tab.refresh()
    assert list(cards(view.cards)) == ["lab", SMALL.name, "Quotes only"]
    assert "#do:" not in view.cards + view.jobs
    assert "#confirm:" not in view.cards + view.jobs
    calls: list[Callable[[], Any]] = [
        lambda: tab.use(SMALL.name),
        lambda: tab.check(SMALL.name),
        lambda: tab.remove(SMALL.name),
        lambda: tab.add("/etc", "x"),
        lambda: tab.download("internlm/x", "hub", "", ""),
        lambda: tab.connect("x", "http://127.0.0.1:1/v1", "", "key"),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="models are not changed here"):
            assert call() == View()
    with pytest.warns(UserWarning, match="not changed here"):
        tab.buttons.press("cancel", core.fake_jobs[0].id)
    assert (core.entries(), core.task(), [job.alive for job in core.fake_jobs]) == (before, None, [True])


NAMES = [text for text in PAYLOADS if 0 < len(text) < 500 and "\x00" not in text and text.strip()]


@pytest.mark.parametrize("name", [*NAMES, "50%25 'q\" #?&/:", "小书·助手 %E5", "a+b", "😀"])
def test_hostile_names_stay_text_and_their_links_lead_back_to_them(tab: ModelsTab, core: FakeCore, name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    card = a_card(name, origin=f"hub {name}@{name}", made_from=(name,), how={"step": "merge", "tune": name, "from": name},
                  licence=name, architecture=name, dtype=name, template=name)  # fmt: skip
    server = a_card("server", origin="endpoint", endpoint=Endpoint(name, name))
    core.stock(Entry(name, "memory", card, problem=name), Entry("server", "endpoint", server))
    core.fake_jobs = [replace(a_job("running", name, kind="model"), title=name)]
    view = tab.refresh()
    used = re.search(r'href="#do:use-model:([^"]*)"', view.cards)
    assert used
    started = tab.use(unescape(used[1]))
    assert (task := core.task()) and task.name == name
    core.finish_swap(name)
    for html in (view.cards, view.jobs, started.task, tab.refresh().task):
        lowered = html.lower()
        for never in ("<script", "<img", "<svg", "<iframe", "<style", "<base", 'href="javascript', "<b>", "<i>", "\n"):
            assert never not in lowered, never


# What the tab asks of kb


def made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_a_folder_that_the_page_may_not_add_is_one_sentence_and_no_job(real: Core, tmp_path: Path) -> None:
    tab, home = ModelsTab(real, EN), tmp_path / "home"
    made(home / "good")
    made(home / "a" / ".hidden" / "model")
    made(tmp_path / "elsewhere")
    (home / "out").symlink_to(tmp_path / "elsewhere")
    (home / "loop").symlink_to(home / "loop")
    (home / "file").write_text("x")
    kb.add_endpoint(real.settings, "taken", "http://127.0.0.1:1/v1")
    outside, kind = "source_roots", "is not a folder"
    for path, name, sentence in [
        (tmp_path / "elsewhere", "", outside),
        (home / "out", "", outside),
        (f"{home}/../elsewhere", "", outside),
        ("/nowhere", "", outside),
        ("relative", "", outside),
        (home / "a" / ".hidden" / "model", "", "hidden folders"),
        (home / "file", "", kind),
        (home / "gone", "", kind),
        (home / ("x" * 300), "", kind),
        (home / "loop", "", "check the path|is not a folder"),
        ("~nobody-of-that-name/models", "", "check the path"),
        (f"{home}/good\0", "", "Type the path"),
        (home / "good", "taken", "choose another name"),
        (home / "good", "../up", "cannot name a model"),
        (home / "good", "quotes", "meaning of its own"),
    ]:
        with pytest.warns(UserWarning, match=sentence) as warned:
            assert tab.add(str(path), name) == View(), path
        assert len(warned) == 1, path
    assert real.model_jobs() == []
    assert [path.name for path in (real.settings.data_base / "models").glob("[!.]*")] == ["taken"]


def test_adding_and_downloading_are_asked_of_the_command_line(
    real: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, asked = ModelsTab(real, EN), []

    def start(settings: Any, kind: str, title: str, tool: str, args: list[str], **more: Any) -> None:
        asked.append((kind, tool, args, more["subject"]))

    monkeypatch.setattr(model_jobs.jobs, "start", start)
    folder, there = made(tmp_path / "home" / "小 模型"), f"--data-base={real.settings.data_base}"
    assert tab.add(str(folder), "") != View()
    assert tab.download("a/b", "modelscope", "v1", "-rf") != View()
    assert asked == [
        ("model", "kb", ["models", "add", str(folder), "--name=小 模型", there], "小 模型"),
        ("model", "kb", ["models", "download", "a/b", "--source=modelscope", "--revision=v1", "--name=-rf", there], "-rf"),
    ]
    for id_ in ("a/b/c", "../b", "a/..", "-x/y", "a b/c", "https://huggingface.co/a/b", "a/", "a/b;c", "模/型"):
        with pytest.warns(UserWarning) as warned:
            assert tab.download(id_, "hub", "", "") == View(), id_
        assert len(warned) == 1, id_
    assert len(asked) == 2


def test_a_server_is_remembered_and_its_key_is_nowhere_on_the_page(real: Core, told: list[str]) -> None:
    tab = ModelsTab(real, EN)
    for url in (
        "ftp://x/v1",
        "127.0.0.1:8000",
        "javascript:alert(1)",
        "http://",
        "http://user:pw@x/v1",
        "http://x/v1?key=secret",
    ):
        with pytest.warns(UserWarning, match="give one like http://127.0.0.1"):
            assert tab.connect("lab", url, "", "") == View()
    view = tab.connect("实验室", " http://127.0.0.1:9/v1 ", "qwen", "s3cret-key")
    assert told == ["“实验室” can answer now: press Use."]
    assert (view.url, view.key) == ("", "")
    assert "http://127.0.0.1:9/v1 · called qwen there" in cards(view.cards)["实验室"]
    assert "s3cret-key" not in "".join(str(part) for part in (*view, *tab.refresh()))
    with pytest.warns(UserWarning, match="choose another name"):
        assert tab.connect("实验室", "http://127.0.0.1:9/v1", "", "") == View()


def test_a_swap_runs_beside_the_page_and_its_failure_is_kept(real: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    tab, going = ModelsTab(real, EN), threading.Event()

    def use(settings: kb.Settings, name: str, tell: Callable[[str], None]) -> Any:
        tell(f"Loading {name}.")
        assert going.wait(20)
        if name == "dead":
            raise kb.ModelError("The server does not answer.")
        kb.State(settings).set_model(name, 0)
        return Swap("quotes", name)

    monkeypatch.setattr(serving, "use", use)
    for name in ("good", "dead"):
        kb.add_endpoint(real.settings, name, "http://127.0.0.1:9/v1", "m")
    tab.use("good")
    for call in (tab.use, tab.check):
        with pytest.warns(UserWarning, match="good.* is still being worked on"):
            assert call("dead") == View()
    going.set()
    assert not ended(real).error
    assert (real.live_model(), real.model) == ("good", "good")
    assert "good answers now" in tab.refresh().task
    tab.use("dead")
    assert ended(real).error == "The server does not answer."
    assert "dead could not take over" in tab.refresh().task
    assert next(iter(cards(tab.refresh().cards))) == "good"
    with pytest.warns(UserWarning, match="answers now"):
        assert tab.remove("good") == View()
    assert "dead" not in cards(tab.remove("dead").cards)


def test_a_check_finds_what_has_changed(real: Core) -> None:
    tab, folder = ModelsTab(real, EN), made(real.settings.data_base / "models" / "tiny")
    (folder / "weights.safetensors").write_bytes(b"changed")
    (folder / "card.json").write_text(json.dumps(asdict(a_card("tiny", files={"weights.safetensors": "0" * 64, "gone": ""}))))
    tab.check("tiny")
    assert ended(real).problems == (
        "gone is missing.",
        "weights.safetensors is not what it was when the model was added.",
    )
    assert "tiny is not as it was added" in tab.refresh().task


def test_two_models_are_asked_at_once_only_where_both_fit(core: FakeCore) -> None:
    core.stock(SMALL, TUNED, LARGE, live=SMALL.name)
    pairs = {("", TUNED.name): True, ("", LARGE.name): False, (LARGE.name, LARGE.name): True, ("quotes", LARGE.name): True}
    assert {pair: core.at_once(*pair) for pair in pairs} == pairs


def test_a_bug_ends_a_task_and_shows_itself(real: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(kb, "check_model", broken)
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    kb.add_endpoint(real.settings, "x", "http://127.0.0.1:9/v1")
    ModelsTab(real, EN).check("x")
    assert ended(real).error == "ZeroDivisionError: inside"
    assert "x could not be checked" in ModelsTab(real, EN).refresh().task
