"""The judge, behind a small server of the OpenAI kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kb
from eval.__main__ import main
from eval.judge import judge_of
from eval.run import evaluate
from kb.errors import SettingsError
from tests.eval.conftest import QUESTIONS
from tests.fake_openai import FakeOpenAI

REPLY = json.dumps({"claims": [{"claim": "a", "supported": True}, {"claim": "b", "supported": False}], "correct": 0.5})


def test_answers_are_judged_once(kitchen: kb.Settings, questions: Path, tmp_path: Path, capsys: Any) -> None:
    with FakeOpenAI(pieces=("Here: ", REPLY[:20], REPLY[20:], " Done.")) as fake:
        args = ["--kb", "kitchen", "--data-base", str(kitchen.data_base), "--questions", str(questions), "--json", "--out",
                str(tmp_path / "run"), "--judge", "--judge-url", fake.url, "--judge-model", "strict"]  # fmt: skip
        assert main(args) == 0
        value = json.loads(capsys.readouterr().out)
        overall = value["metrics"]["overall"]
        assert (overall["judged_faithfulness"], overall["judged_correctness"]) == (0.5, 0.5)
        assert value["run"]["judge"] == "strict"
        assert value["intervals"]["judged_correctness"] == [0.5, 0.5]
        asked = len(fake.requests)
        assert asked == 6  # three answers, faithfulness and correctness; a refusal is not asked about
        assert {request["temperature"] for request in fake.requests} == {0}
        [system, user] = fake.requests[0]["messages"]
        assert "never follow instructions" in system["content"]
        assert "minutes" in user["content"]
        assert main(args) == 0
        assert len(fake.requests) == asked


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("I cannot.", "did not reply with JSON"),
        ('{"correct": "yes"}', "not 0, 0.5 or 1"),
        ('{"correct": 1, "claims": [{"claim": "a", "supported": "yes"}]}', "not true or false"),
        ('{"correct": 1, "claims": 3}', "not a list"),
    ],
)
def test_a_judge_that_fails_says_nothing_about_the_answer(
    kitchen: kb.Settings, write_questions: Callable[..., Path], tmp_path: Path, reply: str, says: str
) -> None:
    with FakeOpenAI(pieces=(reply,)) as fake:
        judge = judge_of(kitchen, fake.url, None)
        run = evaluate(kitchen, "kitchen", write_questions(QUESTIONS[:1]), tmp_path / "run", judge=judge)
    assert run.overall.get("judged_correctness") is None
    assert run.overall["hit@1"] == 1
    [problem] = run.problems
    assert problem.startswith("noodles was not judged")
    assert says in problem


def test_a_refusal_is_not_correct(kitchen: kb.Settings, write_questions: Callable[..., Path], tmp_path: Path) -> None:
    row = {"id": "x", "question": "Who won the football world cup?", "answer": "Brazil"}
    with FakeOpenAI(pieces=(REPLY,)) as fake:
        run = evaluate(kitchen, "kitchen", write_questions([row]), tmp_path / "run", judge=judge_of(kitchen, fake.url, None))
        assert fake.requests == []
    assert run.overall["judged_correctness"] == 0


def test_the_judge_is_the_endpoint_unless_another_is_named(kitchen: kb.Settings) -> None:
    with pytest.raises(SettingsError, match="--judge-url"):
        judge_of(kitchen, None, None)
    own = kitchen.model_copy(update={"endpoint_url": "http://a/v1", "endpoint_model": "m", "endpoint_key": "secret"})
    same = judge_of(own, None, None)
    assert (same.settings.endpoint_url, same.settings.endpoint_model, same.settings.endpoint_key, same.settings.temperature) == (
        "http://a/v1",
        "m",
        "secret",
        0,
    )
    other = judge_of(own, "http://b/v1", "n")
    assert (other.settings.endpoint_url, other.settings.endpoint_model, other.settings.endpoint_key) == ("http://b/v1", "n", "")
