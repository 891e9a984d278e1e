"""Questions that are made of the documents, and the sets that they are kept in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ingest
import kb
from eval import evaluate, find_set, keep_set, list_sets, make_questions, read_cases, read_questions, save_set
from eval.__main__ import main
from eval.make import GAP, sentences
from eval.score import CaseScore
from eval.verdict import faults, rank
from kb.errors import KBError, SourceError

PANTRY = {
    "bread.md": "# Bread\n\n## How long does bread keep?\n\nA loaf of sourdough stays fresh for 96 hours when it is\n"
    "wrapped in a linen cloth. Freeze the rest with `pantry freeze --slices` and label the bag.\n\n"
    "- Never put warm bread into a plastic box, because the crust becomes leathery.\n\n"
    "```shell\nThis sentence stands in a block of code and must never be asked of anyone.\n```\n\n"
    "| A table row that reads like a sentence but is none of the kind. | 1 |\n",
    "tea/green.md": "# Green tea\n\n## Water for green tea\n\nThe water for sencha should have cooled down to 70 degrees "
    "before it is poured. Gyokuro wants it cooler still, and steeps longer than the others.\n",
    "茶.md": "# 茶\n\n## 绿茶怎么冲泡\n\n冲泡绿茶的水温不要超过八十度，否则茶汤会变得苦涩。保存茶叶的罐子应当避光，\n"
    "并且远离厨房里的香料。\n",
    "copy.md": "# Copy\n\n## Water for green tea\n\nGyokuro wants it cooler still, and steeps longer than the others.\n",
    "hostile.md": "# <b>Hostile</b>\n\nA sentence with <img src=x onerror=alert(1)> markup is left out of all questions.\n",
}


@pytest.fixture(scope="module")
def pantry(tmp_path_factory: pytest.TempPathFactory, models: Path) -> kb.KnowledgeBase:
    home, docs = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("docs")
    (home / "models").symlink_to(models)
    for name, text in PANTRY.items():
        (docs / name).parent.mkdir(exist_ok=True)
        (docs / name).write_text(text, "utf-8")
    settings = kb.load_settings(data_base=home)
    ingest.add_source(settings, "pantry", docs)
    ingest.reindex("pantry", settings)
    return kb.KnowledgeBase.open("pantry", settings)


@pytest.mark.parametrize("language", ["both", "zh", "en"])
def test_what_every_made_question_keeps(pantry: kb.KnowledgeBase, language: Any) -> None:
    made = make_questions(pantry, 30, language)
    assert made == make_questions(pantry, 30, language)
    assert made[:3] == make_questions(pantry, 3, language)
    assert {case.lang for case in made} == ({"zh", "en"} if language == "both" else {language})
    assert len({case.id for case in made}) == len({case.question for case in made}) == len(made)
    for case in made:
        [document] = case.gold_doc_ids
        assert document in PANTRY
        if not case.answer_keys:
            assert not case.gold_spans
            continue
        [key], [(of, span)] = case.answer_keys, case.gold_spans
        assert of == document
        assert span in PANTRY[document]
        assert span.casefold().count(key.casefold()) == 1
        assert case.question.count(GAP) == 1
        assert key not in case.question
        assert "".join(case.question.replace(GAP, key).split()) == "".join(span.split())


def test_what_is_asked_and_what_is_not(pantry: kb.KnowledgeBase) -> None:
    made = make_questions(pantry, 50)
    asked = {case.question: case for case in made}
    assert {"How long does bread keep?", "绿茶怎么冲泡？"} <= set(asked)
    assert "A loaf of sourdough stays fresh for ____ hours when it is wrapped in a linen cloth." in asked
    assert asked["Freeze the rest with `____` and label the bag."].answer_keys == ("pantry freeze --slices",)
    assert any("避光，并且远离" in question for question in asked)
    everything = " ".join(asked)
    for never in ("block of code", "table row", "Gyokuro", "Water for green tea", "onerror"):
        assert never not in everything, never
    first = [case.gold_doc_ids[0] for case in make_questions(pantry, 3, "en")]
    assert len(set(first)) >= 2, "spread over the documents"


def test_sentences_are_prose() -> None:
    assert sentences("# A heading that is long enough to be a sentence of its own.\n\nShort.\n\n    indented = code()\n") == []
    assert sentences("The first sentence of two is here for you to read. It ends in a colon, which is no end of a sentence:") == [
        "The first sentence of two is here for you to read."
    ]


@pytest.mark.parametrize(("count", "language"), [(0, "both"), (501, "both"), (3, "fr")])
def test_nonsense_is_refused(pantry: kb.KnowledgeBase, count: int, language: Any) -> None:
    with pytest.raises(KBError, match="Make 1 to"):
        make_questions(pantry, count, language)


def test_the_command_writes_a_set_that_can_be_asked(pantry: kb.KnowledgeBase, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "made.jsonl"
    command = ["--kb", "pantry", "--data-base", str(pantry.settings.data_base)]
    assert main([*command, "--make", "4"]) == 1
    assert main([*command, "--make", "4", "--out", str(out)]) == 0
    assert "4 questions" in capsys.readouterr().out
    assert main([*command, "--make", "4", "--out", str(out)]) == 1
    assert "there already" in capsys.readouterr().err
    assert list(read_cases(out).cases) == make_questions(pantry, 4)
    run = evaluate(pantry.settings, "pantry", out, tmp_path / "run")
    assert run.overall["hit@5"] == 1
    assert read_questions(tmp_path / "run") == {case.id: case for case in make_questions(pantry, 4)}
    assert read_questions(tmp_path) == {}


def test_sets_are_kept_by_name(tmp_path: Path, pantry: kb.KnowledgeBase) -> None:
    settings = kb.load_settings(data_base=tmp_path / "home")
    assert [one.name for one in list_sets(settings)] == ["guide"]
    cases = make_questions(pantry, 5)
    save_set(settings, " 我的 set.jsonl ", cases)
    assert [(one.name, one.shipped) for one in list_sets(settings)] == [("guide", True), ("我的 set", False)]
    assert list(read_cases(find_set(settings, "我的 set").path).cases) == cases
    for taken in ("guide", "GUIDE", "我的 set"):
        with pytest.raises(SourceError, match="another name"):
            save_set(settings, taken, cases)
    for bad in ("", "..", "../x", "a/b", "a\\b", ".hidden", "x" * 200, "a\nb"):
        with pytest.raises(SourceError, match="cannot name"):
            save_set(settings, bad, cases)
    with pytest.raises(SourceError, match="keep one"):
        save_set(settings, "none", [])
    with pytest.raises(SourceError, match="not"):
        find_set(settings, "../guide")


def test_good_rows_of_a_sent_file_are_kept(tmp_path: Path, write_questions: Callable[..., Path]) -> None:
    settings = kb.load_settings(data_base=tmp_path / "home")
    rows: list[Any] = [{"id": "1", "question": "One?"}, "{", {"id": "1", "question": "Again?"}, "", {"id": 2, "question": "二？"}]
    sent = write_questions(rows)
    asked = keep_set(settings, sent, "sent")
    assert [problem.where for problem in asked.problems] == ["questions.jsonl:2", "questions.jsonl:3"]
    kept = find_set(settings, "sent").path.read_text("utf-8")
    assert [json.loads(line)["question"] for line in kept.splitlines()] == ["One?", "二？"]
    with pytest.raises(SourceError, match="no question that can be used"):
        keep_set(settings, write_questions(["{"], "bad.jsonl"), "bad")
    assert len(list_sets(settings)) == 2


def test_faults_and_ranks() -> None:
    def score(should_refuse: bool = False, failed: str = "", **values: float) -> CaseScore:
        named = {name.replace("_at_", "@"): value for name, value in values.items()}
        return CaseScore("1", (), should_refuse, named, failed=failed)

    assert faults(score(hit_at_5=1, false_refusal_rate=0, citation_recall=1, answer_key=1)) == ()
    assert faults(score(hit_at_5=0, false_refusal_rate=0, citation_recall=0, answer_key=0)) == ("found", "cited", "key")
    assert faults(score(hit_at_5=1, false_refusal_rate=1, answer_key=0)) == ("refused",)
    assert faults(score(should_refuse=True, refusal_recall=0)) == ("answered",)
    assert faults(score(should_refuse=True, refusal_recall=1)) == ()
    assert faults(score(failed="No model.", false_refusal_rate=1, hit_at_5=0)) == ("failed", "found")
    assert faults(score(should_refuse=True, failed="No model.", refusal_recall=0)) == ("failed",)
    assert [rank(score(**{"mrr_at_10": value})) for value in (1, 1 / 3, 0)] == [1, 3, 0]
    assert rank(score()) is None
