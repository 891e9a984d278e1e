"""The Fine-tune tab: real tunes of a tiny model, with jobs that a test ends when it wants."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

import kb
from finetune import Recipe, Remark, Sample, commands, pair, save_examples, save_recipe, steps
from kb.jobs import Progress
from tests.finetune.conftest import taught  # noqa: F401 - a fixture
from tests.ui.attacks import PAYLOADS
from tests.ui.conftest import a_core, request
from tests.ui.fake_models import SMALL
from tests.ui.fakes import FakeCore, _with_state, a_job
from ui import job_card, plots, tune_cards, tune_plan, tune_progress
from ui.tune import TuneTab
from ui.tune_recipe import FIELDS
from ui.tune_view import SKIP, View
from ui.words import WORDS, Words

EN, ZH = Words("en"), Words("zh")
NAME = "小书 100%"
RECIPE = Recipe("tiny", method="lora", rank=16, iterations=40, save_every=20, batch_size=4, max_length=64, accumulation=1)
EXAMPLES = [
    pair("问一", "答一", "a.csv", "row 2"),
    pair("问二", "", "feedback", "refused"),
    pair("Three?", "3", "a.csv", copies=5),
]


def cored(folder: Path, taught: kb.Settings, **options: Any) -> FakeCore:  # noqa: F811
    core = a_core(folder, **options)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "tiny").symlink_to(taught.data_base / "models" / "tiny")
    return core


@pytest.fixture
def core(tmp_path: Path, taught: kb.Settings) -> FakeCore:  # noqa: F811
    core = cored(tmp_path, taught)
    core.new_tune(NAME, RECIPE, EXAMPLES)
    return core


@pytest.fixture
def tab(core: FakeCore) -> TuneTab:
    return TuneTab(core, EN)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in for XTuner, for steps that a test takes itself."""
    monkeypatch.setattr(steps, "tool", lambda *_: SimpleNamespace(state="ready", python=Path(sys.executable), detail=""))
    monkeypatch.setattr(commands, "LAUNCHER", Path(__file__).parents[1] / "finetune" / "fake_launcher.py")


def fields(**changed: Any) -> list[Any]:
    """The values of the recipe's fields as the page sends them."""
    values = RECIPE.as_json() | {"prompts": "\n".join(RECIPE.prompts)} | changed
    return [values[name] for name in FIELDS]


def link_of(view: View, verb: str, number: int = 0) -> str:
    return view.rows.split(f":{verb}-example:")[number + 1].split('"')[0]


def files(core: FakeCore) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in core.settings.data_base.rglob("tunes/**/*") if path.is_file()}


def test_without_a_model_it_says_where_to_get_one(tmp_path: Path) -> None:
    view = TuneTab(a_core(tmp_path), ZH).refresh("")
    assert "还没有可以微调的模型" in view.tunes
    assert view.body.visible is False
    assert view.chosen == ""


def test_a_new_one_opens_with_its_introduction(tab: TuneTab, core: FakeCore) -> None:
    assert tab.refresh("").chosen == NAME, "the newest is open after a reload"
    view = tab.create("", " 二 ", "tiny", "林晨", "both", 7)
    assert (view.chosen, view.new_name, view.body.visible) == ("二", "", True)
    assert "林晨" in view.rows
    assert core.tune("二").copies == 14
    assert (view.rank, view.method, view.prompts.splitlines()[0]) == (64, "qlora", "请介绍一下你自己")
    assert tab.refresh(NAME).chosen == NAME
    assert tab.open("二", quote(NAME, safe="")).chosen == NAME
    core.train(NAME)
    assert TuneTab(core, ZH).refresh("").chosen == NAME, "the one at work is open after a reload"


@pytest.mark.parametrize(
    ("name", "base", "language", "copies", "said"),
    [
        ("", "tiny", "zh", 1, "name first"),
        (None, "tiny", "zh", 1, "name first"),
        ("../x", "tiny", "zh", 1, "."),
        (NAME, "tiny", "zh", 1, "already"),
        ("new", "", "zh", 1, "base model"),
        ("new", "../tiny", "zh", 1, "base model"),
        ("new", ["tiny"], "zh", 1, "base model"),
        ("new", "tiny", "zh", 0, "copies"),
        ("new", "tiny", "zh", 1e9, "copies"),
        ("new", "tiny", "zh", None, "copies"),
    ],
)
def test_what_cannot_be_made_is_a_sentence(
    tab: TuneTab, core: FakeCore, name: Any, base: Any, language: str, copies: Any, said: str
) -> None:
    with pytest.warns(UserWarning, match=said):
        assert tab.create("", name, base, "Ann", language, copies) == View()
    assert [tune.name for tune in core.tunes()] == [NAME]


@pytest.mark.parametrize("name", ["", None, "unknown", "../x", "\x00", "%", 7])
def test_only_a_tune_that_is_there_is_opened_or_changed(tab: TuneTab, core: FakeCore, name: Any) -> None:
    before = files(core)
    for call in (lambda: tab.examples.introduce(name, "Ann", "zh", 3), lambda: tab.training.train(name, *fields()),
                 lambda: tab.recipe.look(name, *fields(rank=8)), lambda: tab.training.merge(name, "x"),
                 lambda: tab.recipe.reset(name), lambda: tab.examples.delete(name, "0:x")):  # fmt: skip
        with pytest.warns(UserWarning):
            assert call() == View()
    if name:
        with pytest.warns(UserWarning):
            tab.remove("", name)
        with pytest.warns(UserWarning):
            assert tab.open("", name).chosen == NAME, "the one that is there"
    assert (files(core), core.fake_jobs) == (before, [])


def test_examples_are_read_mended_and_deleted(tab: TuneTab, core: FakeCore) -> None:
    view = tab.refresh(NAME)
    assert "no answer yet" in view.rows
    assert "Examples: 3 · with their copies: 6 · 1 still lack an answer" in view.count
    opened = tab.examples.edit(NAME, link_of(view, "edit", 1))
    assert (opened.edit_question, opened.edit_answer, opened.edit_copies) == ("问二", "", 1)
    saved = tab.examples.save(NAME, opened.edited, "Be brief", "问二", "答二", 3)
    assert saved.editor.visible is False
    assert core.tune(NAME).unfinished == 0
    assert [turn.content for turn in core.tune_examples(NAME)[1].turns] == ["Be brief", "问二", "答二"]
    with pytest.warns(UserWarning, match="not there any more"):
        assert tab.examples.save(NAME, opened.edited, "", "an old page", "x", 1) == View(), "another one has its place"
    for bad in (0, None, 1.0e7):
        with pytest.warns(UserWarning, match="1,000,000"):
            assert tab.examples.save(NAME, link_of(saved, "edit", 1), "", "问", "答", bad) == View()
    with pytest.warns(UserWarning, match="empty question"):
        assert tab.examples.save(NAME, link_of(saved, "edit", 1), "", " ", "答", 1) == View()
    tab.examples.delete(NAME, link_of(saved, "delete", 0))
    assert [one.question for one in core.tune_examples(NAME)] == ["问二", "Three?"]


def test_turns_before_the_last_stay(tab: TuneTab, core: FakeCore, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    turns = [("system", "S"), ("user", "one"), ("assistant", "1"), ("user", "two"), ("assistant", "2")]
    rows = [
        {"messages": [{"role": role, "content": text} for role, text in turns]},
        {"bad": "<b>"},
        {"question": "q", "answer": "a"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    view = tab.examples.from_file(NAME, str(file))
    assert "talk.jsonl: 2 examples" in view.read
    assert "1 row is left out" in view.read
    assert "row 2" in view.read
    which = link_of(view, "edit", 3)
    opened = tab.examples.edit(NAME, which)
    assert (opened.edit_system, opened.edit_question) == ("S", "two")
    assert "one" in opened.earlier
    tab.examples.save(NAME, which, "", "two?", "2!", 1)
    assert [turn.content for turn in core.tune_examples(NAME)[3].turns] == ["one", "1", "two?", "2!"]
    file.write_text("nothing")
    with pytest.warns(UserWarning):
        assert tab.examples.from_file(NAME, str(file)) == View()


def test_long_lists_have_pages(tab: TuneTab, core: FakeCore) -> None:
    save_examples(core.settings, NAME, [pair(f"question {n}?", "a", "f") for n in range(45)])
    first = tab.refresh(NAME)
    assert first.rows.count("#do:edit-example:") == tune_cards.PER_PAGE
    last = tab.examples.turn(NAME, "2")
    assert "41–45 of 45" in last.rows
    assert tab.examples.turn(NAME, "99").page == 2
    assert tab.examples.turn(NAME, "-1").page == 0
    assert tab.examples.delete(NAME, link_of(last, "delete", 4)).page == 2


def test_the_chat_teaches_only_what_its_owner_asked(tab: TuneTab, core: FakeCore) -> None:
    for who in ("ann", "bob"):
        talk = core.state.new_conversation(who, "default", "t")
        core.state.add_message(talk, who, "user", f"{who} asks")
        core.state.add_message(talk, who, "assistant", "An answer.")
        core.state.rate(talk, who, 1, 1)
    with pytest.warns(UserWarning, match="[Cc]hoose a knowledge base"):
        tab.examples.from_chat(NAME, None, request(user="ann"))
    tab.examples.from_chat(NAME, "default", request(user="ann"))
    rows = tab.refresh(NAME).rows
    assert "ann asks" in rows
    assert "bob asks" not in rows


def test_a_fault_stands_below_its_row_and_is_not_kept(core: FakeCore) -> None:
    for words, said in (
        (EN, "Rank: 0 does not go, it must be from 1 to 1024."),
        (ZH, "秩（rank）不能是 0，应在 1 到 1024 之间。"),
    ):
        view = TuneTab(core, words).recipe.look(NAME, *fields(rank=0, lr=None, prompts="x\n" * 21))
        assert said in view.faults_model
        assert words("tune.fault.empty") in view.faults_pace
        assert words("tune.fault.prompts") in view.faults_watch
        assert view.faults_data == ""
        assert view.plan is SKIP
    assert core.tune(NAME).recipe == RECIPE
    with pytest.warns(UserWarning, match="base model"):
        assert TuneTab(core, EN).recipe.look(NAME, *fields(base="../tiny")) == View()
    kept = TuneTab(core, EN).recipe.look(NAME, *fields(rank=8, lr=1e-3, prompts=" 你好 \n\n你是谁"))
    assert (kept.faults_model, kept.rank) == ("", SKIP)
    recipe = core.tune(NAME).recipe
    assert (recipe.rank, recipe.lr, recipe.prompts) == (8, 1e-3, ("你好", "你是谁"))


def test_every_fault_warning_and_part_has_words(core: FakeCore) -> None:
    broken = Recipe("", method="x", epochs=0, prompts=("",), lr=float("nan"), seed=-1, dropout=2, warmup=3, keep_checkpoints=0)  # type: ignore[arg-type]
    made = core.plan(NAME, Recipe("tiny", max_length=1024, iterations=1))
    cut = core.plan(NAME, Recipe("tiny", max_length=16, iterations=1))
    codes = {one.code for one in (*made.warnings, *cut.warnings)}
    assert codes == {"unfinished", "context", "steps", "cut"}
    for words in (EN, ZH):
        for remark in broken.faults().values():
            assert tune_plan.fault(words, remark)
        assert {f"tune.warning.{code}" for code in codes} <= set(WORDS)
        assert {f"tune.part.{part.code}" for part in made.memory.parts} <= set(WORDS)
        assert "tokens" not in tune_plan.plan(ZH, made)


def test_memory_that_is_not_enough_says_what_helps(core: FakeCore) -> None:
    memory = replace(core.plan(NAME).memory, fits=False, available=1, advice=Remark("Use", "change", change=("method", "rank")))
    made = replace(core.plan(NAME), memory=memory, warnings=(Remark("It needs more.", "memory"),))
    assert "内存不够。 可以：改用 QLoRA，或减小秩。" in tune_plan.plan(ZH, made)
    assert "limit" in tune_plan.plan(EN, made)
    assert EN("tune.memory.unknown") in tune_plan.plan(EN, replace(made, memory=replace(memory, fits=None, parts=())))


def test_what_runs_is_shown_and_can_be_edited(tab: TuneTab, core: FakeCore) -> None:
    view = tab.refresh(NAME)
    assert "max_iters = 40" in view.config
    assert "pth_to_hf" in view.commands
    assert "64" in view.lengths
    assert tab.recipe.edit(NAME, view.config.replace("\n", "\r\n")) == View(), "nothing was changed"
    with pytest.warns(UserWarning, match=r"Line \d+ of the config"):
        assert tab.recipe.edit(NAME, view.config + "\nlr = = 3") == View(), "the box keeps what was written"
    assert core.tune(NAME).recipe.config_text == ""
    edited = tab.recipe.edit(NAME, view.config + "\n# mine")
    assert edited.config.endswith("# mine")
    assert edited.reset.visible is True
    tab.recipe.look(NAME, *fields(rank=8))
    assert core.tune(NAME).recipe.config_text.endswith("# mine"), "fields do not undo it"
    assert "# mine" not in tab.recipe.reset(NAME).config


def test_a_training_is_a_job_that_is_followed(tab: TuneTab, core: FakeCore) -> None:
    assert "#do:train:" in tab.refresh(NAME).state
    with pytest.warns(UserWarning, match="XTuner"):
        core.tool_state = "absent"
        assert tab.training.train(NAME, *fields()) == View()
    core.tool_state = "ready"
    assert tab.training.train(NAME, *fields(rank=0)).faults_model, "what is wrong in the fields is not trained"
    assert core.fake_jobs == []
    view = tab.training.train(NAME, *fields(rank=8))
    assert core.tune(NAME).recipe.rank == 8
    assert "90 / 300 iterations" in view.job
    assert "#do:pause-tune:" in view.job
    assert view.timer.active is True
    assert "#do:train" not in view.state
    assert "训练" in TuneTab(core, ZH).refresh("").job, "found again after a reload"
    assert tab.tick(NAME, view.seen).rows is SKIP
    with pytest.warns(UserWarning, match="in use"):
        assert tab.install(NAME, "xtuner") == View()
    assert tab.training.buttons.press("pause", core.fake_jobs[0].id)
    ended = tab.tick(NAME, view.seen)
    assert ended.rows is not SKIP
    assert "#do:again-tune:" in ended.job
    assert ended.timer.active is False
    core.fake_jobs = [_with_state(core.fake_jobs[0], "done")]
    assert tab.refresh(NAME).job == ""


@pytest.mark.usefixtures("tool")
def test_from_training_to_the_model_that_answers(tab: TuneTab, core: FakeCore) -> None:
    steps.train(core.settings, NAME)
    view = tab.refresh(NAME)
    assert "#confirm:start-over:" in view.state
    assert view.curves.count("plot-curve") == 2
    assert "0.025 at iteration 40" in view.curves
    assert view.merging.visible is True
    assert view.merge_as.placeholder == NAME
    tab.examples.delete(NAME, link_of(view, "delete", 1))
    changed = tab.refresh(NAME)
    assert "begins anew" in changed.state
    assert changed.merging.visible is False
    card = steps.merge(core.settings, NAME, "老师")
    (core.settings.data_base / "tunes" / NAME / "compare.json").write_text(
        json.dumps({"model": "老师", "pairs": [{"prompt": "你是谁", "before": "", "after": "<b>我</b>"}]}), "utf-8"
    )
    made = TuneTab(core, ZH).refresh(NAME).result
    for shown in (
        "tiny + LoRA 训练 40 步，秩 16",
        str(card.how["data_sha256"])[:12],
        "微调前：tiny",
        "&lt;b&gt;我",
        "（没有回答）",
    ):
        assert shown in made, shown
    with pytest.warns(UserWarning, match="not there"):
        assert tab.training.use(NAME, "tiny") == View(), "not a model of this tune"
    used = tab.training.use(NAME, quote("老师"))
    assert core.task() is not None
    assert "Switching to 老师" in used.task
    assert used.timer.active is True
    assert "#do:use-tuned" not in used.result, "one thing at a time"
    core._task.ended = 1.0  # type: ignore[union-attr]
    assert "老师 answers now" in tab.tick(NAME, used.seen).task
    assert "Asking both" in tab.training.compare(NAME).job
    assert "Merging" in tab.training.merge(NAME, "").job


def test_the_tool_is_installed_as_a_job(tab: TuneTab, core: FakeCore) -> None:
    for state, shown in (("absent", "Install"), ("outdated", "Install again"), ("broken", "&lt;gone&gt;"), ("ready", "0.2.0")):
        core.tool_state = state
        row = tab.refresh(NAME).tool
        assert shown in row
        assert EN(f"tool.state.{state}") in row
        assert ("#do:install-tool:xtuner" in row) == (state != "ready")
    core.tool_state = "absent"
    view = tab.install(NAME, "xtuner")
    assert "Fetching and installing packages" in view.tool
    assert "#confirm:cancel-tools:" in view.tool
    assert view.timer.active is True
    core.fake_jobs = [_with_state(core.fake_jobs[0], "failed")]
    core.tool_state = "absent"
    assert "job-failed" in tab.tick(NAME, view.seen).tool


def test_a_public_page_shows_all_and_changes_nothing(tmp_path: Path, taught: kb.Settings) -> None:  # noqa: F811
    core = cored(tmp_path, taught, public=True)
    core.new_tune(NAME, RECIPE, EXAMPLES)
    tab = TuneTab(core, EN)
    view = tab.refresh("")
    for shown in (view.rows, view.plan, view.config, view.commands, view.lengths, view.state):
        assert shown
    drawn = "".join(str(part) for part in view)
    for verb in ("edit-example", "delete-example", "remove-tune", "do:train", "install-tool", "start-over"):
        assert verb not in drawn, verb
    core.fake_jobs = [core.train(NAME)]
    before, which = files(core), tune_cards.key(0, EXAMPLES[0])
    calls: list[Any] = [
        lambda: tab.create("", "x", "tiny", "", "zh", 1), lambda: tab.remove("", quote(NAME)), lambda: tab.install("", "xtuner"),
        lambda: tab.examples.introduce(NAME, "Ann", "zh", 1), lambda: tab.examples.from_base(NAME, "default", 1, True),
        lambda: tab.examples.from_chat(NAME, "default", request()), lambda: tab.examples.from_file(NAME, "/x.jsonl"),
        lambda: tab.examples.edit(NAME, which), lambda: tab.examples.save(NAME, which, "", "q", "a", 1),
        lambda: tab.examples.delete(NAME, which), lambda: tab.recipe.look(NAME, *fields(rank=8)),
        lambda: tab.recipe.edit(NAME, "import os"), lambda: tab.recipe.reset(NAME), lambda: tab.training.train(NAME, *fields()),
        lambda: tab.training.start_over(NAME, *fields()), lambda: tab.training.merge(NAME, "x"),
        lambda: tab.training.compare(NAME), lambda: tab.training.use(NAME, "tiny"),
    ]  # fmt: skip
    for call in calls:
        with pytest.warns(UserWarning, match="python -m finetune"):
            assert call() == View()
    for buttons in (tab.training.buttons, tab.tools):
        with pytest.warns(UserWarning, match="tasks are not changed here"):
            assert not buttons.press("cancel", core.fake_jobs[0].id)
    assert (files(core), core.task(), len(core.fake_jobs)) == (before, None, 1)


@pytest.mark.parametrize("payload", [text for text in PAYLOADS if 0 < len(text) < 500 and "\x00" not in text and text.strip()])
def test_hostile_text_stays_text(tab: TuneTab, core: FakeCore, payload: str) -> None:
    text = payload.encode("utf-8", "replace").decode()
    save_examples(core.settings, NAME, [pair(text, text, text, text)])
    save_recipe(core.settings, NAME, replace(RECIPE, prompts=(text,), system=text))
    samples = [Sample(0, text, text), Sample(3, text, text)]
    view = tab.refresh(NAME)
    drawn = [view.rows, view.commands, view.plan, view.lengths, tune_progress.samples(EN, samples), tune_progress.result(
        EN, core.tune(NAME), [replace(SMALL.card, how={"recipe": {"method": text, "lr": text}})], [], "", free=True)]  # fmt: skip
    for html in drawn:
        lowered = html.lower()
        for never in ("<script", "<img", "<svg", "<iframe", "<style", "<base", 'javascript:"', 'href="javascript', "<b>", "<i>"):
            assert never not in lowered, never


def test_plots_hold_for_odd_numbers() -> None:
    assert plots.curve([(10, 1.0), (10, 1.0)], 0, 1, ("0", "1")).count("calc") == 8
    many = plots.curve([(n, float(n % 7)) for n in range(5000)], 0, 6, ("0", "6"))
    assert many.count("calc") < 1000
    assert "nan" not in many
    assert "mark-line" in plots.columns([plots.Point("32", 1, None, "")], [32], 32, "cut")
    assert "mark-line" not in plots.columns([plots.Point("32", 1, None, "")], [32], 64, "cut")
    assert plots.columns([], [], 64, "cut")


def test_a_stage_of_a_kind_has_words_of_its_own(core: FakeCore) -> None:
    assert job_card.headline(EN, a_job("running", progress=Progress("merge", 0, 1), kind="merge")) == "Merging"
    assert "index" in job_card.headline(EN, a_job("running", progress=Progress("merge", 0, 1)))
