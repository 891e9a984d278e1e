"""The Evaluate tab's handlers and what they draw, over real runs of a made-up core."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval import read_cases, score_cases
from eval.lines import CaseLine, LineHit, LineQuote
from eval.runs import HEADER, LINES, QUESTIONS, REPORT, make_run, write_json
from kb import KBError
from tests.ui.attacks import PAYLOADS
from tests.ui.conftest import a_core
from tests.ui.fakes import FakeCore, a_job
from ui import cases, report
from ui.evaluate import EvaluateTab
from ui.question_sets import QuestionSets
from ui.question_sets import View as SetsView
from ui.results import SKIP, View
from ui.words import Words

EN, ZH = Words("en"), Words("zh")
ROWS: list[dict[str, Any]] = [
    {"id": "boil", "question": "How long do noodles boil?", "answer_keys": ["four"],
     "gold": [{"doc_id": "guide.md", "span": "Boil"}]},
    {"id": "keep", "question": "面条怎么保存？", "answer_keys": ["dry"],
     "gold": [{"doc_id": "guide.md", "span": "Keep the noodles"}],
     "history": [{"role": "user", "content": "说说面条"}]},
    {"id": "off", "question": "Who won?", "answerable": False},
    {"id": "moon", "question": "And the moon?", "answerable": False},
]  # fmt: skip


def a_run(
    core: FakeCore, folder: str, rows: Sequence[dict[str, Any]] = ROWS, kb: str = "default", better: bool = False, text: str = ""
) -> None:
    """A finished run: the second question is refused wrongly unless it is `better`, the last answered wrongly."""
    home = core.settings.data_base / "runs" / folder
    home.mkdir(parents=True)
    (home / QUESTIONS).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    asked = read_cases(home / QUESTIONS)
    hit = LineHit(1, "notes", "guide.md", (), 3, 3, ("Cooking", text), text or "Boil the noodles for four minutes.", 1.0)
    quote = LineQuote(1, "guide.md", 3, 3, hit.text)
    right = CaseLine("", "", 1, (("guide.md",),), (hit,), 0.9, False, f"> {hit.text} [1]", (quote,), 0.02, 0.01)
    refused = replace(right, refused=True, answer="", quotes=(), confidence=0.2)
    made = [right, right if better else refused, refused, right]
    lines = {case.id: replace(line, id=case.id, question=case.question) for case, line in zip(asked.cases, made, strict=False)}
    header = {
        "format": 1, "kb": kb, "generation": 1, "questions": "mine.jsonl", "questions_sha256": asked.sha256, "cases": len(lines),
        "settings": {"answers": "quotations"}, "jobs": 1, "started": 1.7e9 + len(folder), "ended": 1.7e9 + 5, "machine": {},
    }  # fmt: skip
    write_json(home / HEADER, header)
    (home / LINES).write_text("".join(f"{line.as_json()}\n" for line in lines.values()), "utf-8")
    run = make_run(header, score_cases(asked.cases, lines), [f"mine.jsonl:9: {text}"] if text else [], lines)
    write_json(home / REPORT, run.as_json(scores=True))


@pytest.fixture
def tab(core: FakeCore) -> EvaluateTab:
    return EvaluateTab(core, EN)


@pytest.fixture
def sets(core: FakeCore) -> QuestionSets:
    return QuestionSets(core, EN)


def test_a_fresh_install_says_what_the_tab_is_for(core: FakeCore, tab: EvaluateTab) -> None:
    view = tab.refresh("default")
    assert "questions whose answers are known" in view.head
    assert view.results.visible is False
    assert view.first.visible is False, "there is no guide to ask"
    core.bases["guide"] = core.bases["default"]
    assert tab.refresh("default").first.visible is True
    started = tab.run_first()
    assert started.kb.value == "guide"
    assert started.sets.value == "guide"
    assert core.evaluations("guide")[0].alive
    assert tab.refresh("guide").first.visible is False
    assert "一组已知答案的问题" in EvaluateTab(core, ZH).refresh(None).head


def test_a_run_is_a_job_that_is_followed_to_its_report(core: FakeCore, tab: EvaluateTab) -> None:
    view = tab.run("default", "guide")
    assert "Asking the questions" in view.job
    assert "3 / 40 questions" in view.job
    assert "#confirm:cancel-evaluate:" in view.job
    assert (view.timer.active, view.go.interactive) == (True, False)
    again = tab.run("default", "guide")
    assert again.seen == view.seen
    assert len(core.fake_jobs) == 1, "a second click shows the first"
    assert "逐题提问" in EvaluateTab(core, ZH).refresh("default").job, "found again after a reload"
    assert core.jobs("default") == [], "no index job"
    assert tab.tick("default", view.seen).report is SKIP
    a_run(core, "a")
    core.fake_jobs = [a_job("done", kind="eval")]
    ended = tab.tick("default", view.seen)
    assert "4 questions of mine.jsonl" in ended.report
    assert ended.timer.active is False
    assert tab.tick("default", ended.seen).report is SKIP


def test_cancel(core: FakeCore, tab: EvaluateTab) -> None:
    tab.run("default", "guide")
    assert tab.buttons.press("cancel", core.fake_jobs[0].id)
    assert "Cancelled" in tab.refresh("default").job


@pytest.mark.parametrize("kb", ["default", "no", "../default", "", None])
@pytest.mark.parametrize("questions", ["", None, "unknown", "../guide", "\x00"])
def test_only_what_is_there_is_run(core: FakeCore, tab: EvaluateTab, kb: Any, questions: Any) -> None:
    with pytest.warns(UserWarning):
        assert tab.run(kb, questions) == View()
    assert core.fake_jobs == []


def test_a_public_page_runs_saves_and_cancels_nothing_even_if_asked_directly(tmp_path: Path) -> None:
    core = a_core(tmp_path, public=True)
    tab, sets = EvaluateTab(core, EN), QuestionSets(core, EN)
    core.fake_jobs = [a_job("running", kind="eval")]
    for call in (lambda: tab.run("default", "guide"), tab.run_first):
        with pytest.warns(UserWarning, match="python -m eval"):
            assert call() == View()
    with pytest.warns(UserWarning, match="tasks are not changed here"):
        tab.buttons.press("cancel", core.fake_jobs[0].id)
    for change in (lambda: sets.upload("/x.jsonl", "x"), lambda: sets.save([[True, "Q?", "", "", ""]], "x")):
        with pytest.warns(UserWarning, match="python -m eval"):
            assert change() == SetsView()
    assert core.fake_jobs[0].alive
    assert [one.name for one in core.question_sets()] == ["guide"]


@pytest.mark.parametrize("words", [EN, ZH])
def test_the_report(core: FakeCore, words: Words) -> None:
    a_run(core, "a")
    view = EvaluateTab(core, words).refresh("default")
    for shown in ("hit@1", "100 %", "50 %", words("slice.lang=zh"), "width:100.00%"):
        assert shown in view.report, shown
    assert view.results.visible is True
    assert [code for _, code in view.which.choices] == list(cases.FILTERS)
    assert [label[-3:] for label, _ in view.which.choices] == ["(4)", "(2)", "(1)", "(1)"]
    assert view.other.choices == [(words("evaluate.compare.none"), "")]
    assert words("evaluate.history.one") in view.history


def test_cases_are_filtered_and_opened(core: FakeCore, tab: EvaluateTab) -> None:
    a_run(core, "a")
    results = tab.results
    assert results.filter("a", "all").count("#do:case:") == 4
    assert results.filter("a", "no such filter").count("#do:case:") == 4
    refused = results.filter("a", "refused")
    assert "面条怎么保存？" in refused
    assert refused.count("#do:case:") == 1
    opened = results.open_case("1", "a")
    for shown in (
        "面条怎么保存？",
        "说说面条",
        "Keep the noodles",
        "It was refused, although",
        "right document",
        "<code>dry</code>",
    ):
        assert shown in opened, shown
    right = results.open_case("0", "a")
    assert "Counts as right" in right
    assert "<mark>Boil the noodles for four minutes.</mark>" in right
    assert "although the documents do not hold the answer" in results.open_case("3", "a")
    (core.settings.data_base / "runs" / "a" / QUESTIONS).unlink()
    assert "did not keep its questions" in results.open_case("1", "a")


@pytest.mark.parametrize("value", ["", None, "-1", "4", "boil", "1:2", "٣", "9" * 30])
def test_only_a_case_of_the_run_is_opened(core: FakeCore, tab: EvaluateTab, value: Any) -> None:
    a_run(core, "a")
    with pytest.warns(UserWarning, match="not in this run"):
        assert tab.results.open_case(value, "a") is SKIP


@pytest.mark.parametrize("run", ["", None, "../a", "unknown"])
def test_only_a_run_that_is_there_is_shown(core: FakeCore, tab: EvaluateTab, run: Any) -> None:
    a_run(core, "a")
    for call in (lambda: tab.results.filter(run, "all"), lambda: tab.results.open_case("0", run),
                 lambda: tab.results.compare(run, "a"), lambda: tab.results.follow(run, "hit@1")):  # fmt: skip
        with pytest.warns(UserWarning, match="not there"):
            assert call() is SKIP
    with pytest.warns(UserWarning, match="not there"):
        assert tab.results.choose(run, "hit@1") == View()


def test_a_damaged_report_is_a_sentence(core: FakeCore, tab: EvaluateTab) -> None:
    a_run(core, "a")
    (core.settings.data_base / "runs" / "a" / REPORT).write_text("{", "utf-8")
    with pytest.warns(UserWarning, match="not the report"):
        assert tab.refresh("default").results.visible is False


def test_two_runs_are_compared_and_a_figure_followed(core: FakeCore, tab: EvaluateTab) -> None:
    a_run(core, "a")
    a_run(core, "bb", better=True)
    a_run(core, "other", rows=ROWS[:1])
    view = tab.results.choose("bb", "false_refusal_rate")
    assert [run for _, run in view.other.choices] == ["", "a"], "of the same questions only"
    assert view.history.count('class="dot"') == 2
    assert tab.results.compare("bb", "") == ""
    compared = tab.results.compare("bb", "a")
    assert "Answer key" in compared
    assert "False refusals: 1 won, 0 lost" in compared
    assert f'href="#do:case:1" class="case-link" role="button">{ROWS[1]["question"]}' in compared
    assert "1 lost" in tab.results.compare("a", "bb")
    with pytest.warns(UserWarning, match="not there"):
        tab.results.compare("bb", "other")
    assert "clip-path" in tab.results.follow("bb", "latency_p95_ms")
    assert tab.results.follow("bb", "no such metric") == tab.results.follow("bb", "hit@1")


@pytest.mark.parametrize("payload", [text for text in PAYLOADS if 0 < len(text) < 1000 and "\x00" not in text and text.strip()])
def test_hostile_text_stays_text(tmp_path: Path, payload: str) -> None:
    core = a_core(tmp_path)
    text = payload.encode("utf-8", "replace").decode()
    rows = [{"id": text, "question": text, "answer_keys": [text], "gold": [{"doc_id": text, "span": text}], "repo": text,
             "history": [{"role": "user", "content": text}]}]  # fmt: skip
    a_run(core, "a", rows, text=text)
    a_run(core, "bb", rows, text=text)
    view = EvaluateTab(core, EN).refresh("default")
    results = EvaluateTab(core, EN).results
    drawn = [view.report, view.cases, results.open_case("0", "a"), results.compare("a", "bb"), view.history]
    for html in drawn:
        assert "\n" not in html
        lowered = html.lower()
        for never in ("<script", "<img", "<svg", "<iframe", "<style", "<base", 'javascript:"', 'href="javascript', "<b>", "<i>"):
            assert never not in lowered, never


def test_a_set_is_sent_and_its_bad_rows_are_told(core: FakeCore, sets: QuestionSets, tmp_path: Path) -> None:
    sent = tmp_path / "my questions.jsonl"
    sent.write_text('{"id": 1, "question": "One?"}\n{"id": "<b>"}\n', "utf-8")
    view = sets.upload(str(sent), "")
    assert view.sets.value == "my questions"
    assert "my questions.jsonl:2: it has no &#x27;question&#x27;" in view.problems
    with pytest.warns(UserWarning, match="another name"):
        assert sets.upload(str(sent), "") == SetsView()
    assert sets.upload(str(sent), "另一个").sets.value == "另一个"
    for file, name in ((None, ""), (["x"], ""), (str(tmp_path / "gone.jsonl"), ""), (str(sent), "../up"), (str(sent), "GUIDE")):
        with pytest.warns(UserWarning):
            assert sets.upload(file, name) == SetsView()  # type: ignore[arg-type]
    assert sorted(path.name for path in (core.settings.data_base / "questions").iterdir()) == [
        "my questions.jsonl",
        "另一个.jsonl",
    ]


def test_questions_are_made_mended_and_saved(core: FakeCore, sets: QuestionSets) -> None:
    made = sets.make("default", 40, "both")
    rows = made.rows.value["data"] if isinstance(made.rows.value, dict) else made.rows.value
    assert made.save.visible is True
    assert rows[0][:4] == [True, "Who wrote ____ in Noodles?", "a | b", "guide.md"]
    mended = [
        [True, "谁写的？", " x |y| ", "guide.md", "Boil the noodles"],
        [False, "Never?", "", "", ""],
        ["true", "Q?", "", "", None],
    ]
    assert sets.save(mended, "made").sets.value == "made"
    first, second = read_cases(core.settings.data_base / "questions" / "made.jsonl").cases
    assert (first.question, first.lang, first.answer_keys, first.gold_spans) == (
        "谁写的？", "zh", ("x", "y"), (("guide.md", "Boil the noodles"),)
    )  # fmt: skip
    assert (second.question, second.answer_keys, second.gold_doc_ids) == ("Q?", (), ())
    for bad, name in (
        (None, "x"),
        ([], "x"),
        ("x", "x"),
        ([[True]], "x"),
        ([[True, " ", "", "", ""]], "x"),
        (mended, "made"),
        (mended, ""),
    ):
        with pytest.warns(UserWarning):
            assert sets.save(bad, name) == SetsView()


def test_what_makes_no_question_is_a_sentence(core: FakeCore, sets: QuestionSets, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise KBError("Nothing makes a question.")

    for kb in (None, "", "empty", "unknown"):
        with pytest.warns(UserWarning):
            assert sets.make(kb, 3, "en") == SetsView()
    monkeypatch.setattr(core, "make_questions", refuse)
    with pytest.warns(UserWarning, match="Nothing makes"):
        sets.make("default", None, "xx")


def test_figures_read_well() -> None:
    assert [report.figure("hit@1", value) for value in (None, 0, 0.714, 1)] == ["–", "0 %", "71 %", "100 %"]
    assert [report.figure("hit@1", value, sign=True) for value in (0.001, 0.05, -0.05)] == ["0 %", "+5 %", "−5 %"]
    assert [report.figure("mrr@10", 0.5), report.figure("latency_p95_ms", 1234.5)] == ["0.50", "1,234 ms"]
    assert report.figure("latency_p95_ms", 12_345) == "12.3 s"
    assert report.metric(EN, "refusal_recall_off_topic") == "Unanswerable refused: off_topic"
    assert report.metric(EN, "faithfulness") == "faithfulness"
