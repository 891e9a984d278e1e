"""Reading question sets: both schemas, defaults, and rows that are none."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.cases import Case, read_cases
from eval.text import bare
from kb.errors import SourceError
from kb.records import Turn

ROOT = Path(__file__).resolve().parents[2]
Write = Callable[..., Path]


def test_both_schemas(write_questions: Write) -> None:
    path = write_questions(
        [
            {"id": "a", "question": "那 fp8 呢？", "repo": "lmdeploy", "category": "answerable", "answerable": True, "type": "x",
             "history": [{"role": "user", "content": "怎么量化？"}, {"role": "assistant", "content": "用 lite。"}],
             "multi_turn": True, "cross_lingual": True, "needs_command": True, "answer": "用 fp8。", "answer_keys": ["fp8"],
             "gold": [{"doc_id": "d.md", "lang": "en", "span": "--fp8"}, {"doc_id": "e.md", "span": "fp8 吧"}]},
            {"id": "b", "question": "Where?", "lang": "en", "gold_doc_ids": ["d-1"], "answers": ["Tampa", "Tampa", ""],
             "gold_spans": [{"start": 1, "end": 2, "text": "in Tampa"}], "answerable": True},
        ]
    )  # fmt: skip
    read = read_cases(path)
    assert read.problems == ()
    assert read.name == "questions.jsonl"
    assert re.fullmatch(r"[0-9a-f]{64}", read.sha256)
    a, b = read.cases
    assert a == Case(
        "a", "那 fp8 呢？", "zh", (Turn("user", "怎么量化？"), Turn("assistant", "用 lite。")), ("d.md", "e.md"),
        (("d.md", "--fp8"), ("e.md", "fp8 吧")), (), ("fp8",), True, "answerable", True, True, True, "lmdeploy", "用 fp8。",
    )  # fmt: skip
    assert a.slices == ("lang=zh", "cross_lingual", "follow_up", "needs_command", "repo=lmdeploy")
    assert b == Case("b", "Where?", "en", gold_doc_ids=("d-1",), gold_spans=(("d-1", "in Tampa"),), answers=("Tampa",))


def test_defaults(write_questions: Write) -> None:
    rows = [{"id": 7, "question": "Why?"}, {"id": "b", "question": "为什么？", "category": "off_topic"},
            {"id": "c", "question": "What?", "answerable": False, "history": [{"role": "user", "content": "x"}]}]  # fmt: skip
    assert read_cases(write_questions(rows)).cases == (
        Case("7", "Why?", "en"),
        Case("b", "为什么？", "zh", answerable=False, category="off_topic"),
        Case("c", "What?", "en", (Turn("user", "x"),), answerable=False, category="unanswerable", multi_turn=True),
    )


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"id": "x", "question": "\\ud800"}', "not JSON"),
        ("[]", "not a JSON object"),
        ({"question": "no id?"}, "no 'id'"),
        ({"id": "x"}, "no 'question'"),
        ({"id": "x", "question": "  "}, "'question' is not a text"),
        ({"id": "x", "question": 3}, "'question' is not a text but 3"),
        ({"id": "good", "question": "twice?"}, "the id 'good' is that of row 1"),
        ({"id": "x", "question": "?", "answerable": "yes"}, "'answerable' is true or false"),
        ({"id": "x", "question": "?", "answers": "yes"}, "'answers' is not a list of texts"),
        ({"id": "x", "question": "?", "gold": ["d"]}, "'gold' is not a list of objects"),
        ({"id": "x", "question": "?", "gold": [{"span": "s"}]}, "no 'doc_id'"),
        ({"id": "x", "question": "?", "history": [{"role": "system", "content": "s"}]}, "the role of a turn"),
    ],
    ids=str,
)
def test_a_bad_row_is_named_and_the_others_count(write_questions: Write, row: Any, why: str) -> None:
    path = write_questions([{"id": "good", "question": "good?"}, "", row, {"id": "also", "question": "good?"}])
    read = read_cases(path)
    assert [case.id for case in read.cases] == ["good", "also"]
    [problem] = read.problems
    assert problem.where == "questions.jsonl:3"
    assert why in problem.why


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "it is empty"), (b"{}\n", "it has no 'question'"), (b"\xff\xfe\x00", "not UTF-8 (byte 0)"), (None, "cannot be read")],
)
def test_no_usable_file_is_one_sentence(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "q.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"q\.jsonl") as error:
        read_cases(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_our_own_questions_are_about_what_the_documents_say() -> None:
    """A changed sentence of docs/ may take the span of a question with it: then mend eval/cases/guide.jsonl."""
    read = read_cases(ROOT / "eval" / "cases" / "guide.jsonl")
    assert read.problems == ()
    assert len(read.cases) == 40
    for case in read.cases:
        for doc_id, span in case.gold_spans:
            assert bare(span) in bare((ROOT / "docs" / doc_id).read_text("utf-8")), f"{case.id}: {doc_id} does not say {span!r}"
