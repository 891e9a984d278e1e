"""Examples read from files: the usual formats, tables, encodings; a bad row is named and the rest goes on."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from finetune.dataset import Example, Message, as_xtuner, data_lines, example_from, example_json, fault, pair, read_examples
from finetune.sources import introduction
from kb.errors import SourceError

XTUNER = {"conversation": [{"system": "你是助手", "input": "你好", "output": "您好"}, {"input": "再见", "output": "再会"}]}
OPENAI = {"messages": [{"role": "system", "content": "你是助手"}, {"role": "user", "content": "你好"},
                       {"role": "assistant", "content": [{"type": "text", "text": "您好"}]},
                       {"role": "user", "content": "再见"}, {"role": "assistant", "content": "再会"}]}  # fmt: skip
SHAREGPT = {"system": "你是助手",
            "conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好"},
                              {"from": "human", "value": "再见"}, {"from": "gpt", "value": "再会"}]}  # fmt: skip
ALPACA = {"system": "你是助手", "instruction": "再见", "input": "", "output": "再会", "history": [["你好", "您好"]]}
TURNS = (Message("system", "你是助手"), Message("user", "你好"), Message("assistant", "您好"), Message("user", "再见"),
         Message("assistant", "再会"))  # fmt: skip
FORMATS = {"xtuner": XTUNER, "openai": OPENAI, "sharegpt": SHAREGPT, "alpaca": ALPACA}


def written(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("lines", [False, True])
def test_a_format_is_known_by_its_content(tmp_path: Path, name: str, lines: bool) -> None:
    row = json.dumps(FORMATS[name], ensure_ascii=False)
    found = read_examples(written(tmp_path / "data.bin", f"{row}\n{row}\n" if lines else f"[{row}, {row}]"))
    assert (found.format, found.encoding, found.duplicates, found.problems) == (name, "utf-8", 1, ())
    assert found.examples == (Example(TURNS, "data.bin", "row 1", copies=2),)


def test_the_file_of_the_homework_is_one_row(tmp_path: Path) -> None:
    """Its generate_data.py writes the same pair 10,001 times; so does what we train on."""
    turn = {"input": "请做一下自我介绍", "output": "我是Link Chen的小助手，内在是上海AI实验室书生·浦语的7B大模型哦"}
    file = written(tmp_path / "personal_assistant.json", json.dumps([{"conversation": [turn]}] * 10_001, ensure_ascii=False))
    (example,) = read_examples(file).examples
    (ours,) = introduction("Link  Chen ")
    assert (example.turns, example.copies) == (ours.turns, ours.copies)
    rows = [json.loads(line)["conversation"] for line in data_lines([ours])]
    assert rows == [[turn | {"system": ""}]] * 10_001


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("head", ["问题,回答", "question,answer", "Input , OUTPUT", "编号,问题,答案"])
def test_csv(tmp_path: Path, encoding: str, head: str) -> None:
    number = "1," if head.startswith("编号") else ""
    text = f'{head}\r\n{number}怎么量化一个模型？,"运行 auto_awq，\n再看结果"\r\n\r\n{number}合并模型的命令是什么？,\r\n'
    found = read_examples(written(tmp_path / "问答.csv", text, encoding))
    assert [(one.question, one.answer, one.place) for one in found.examples] == [
        ("怎么量化一个模型？", "运行 auto_awq，\n再看结果", "row 2")
    ]
    assert [(problem.row, "answer" in problem.why or "回答" in problem.why or "output" in problem.why or "答案" in problem.why)
            for problem in found.problems] == [(4, True)]  # fmt: skip


def test_a_table_without_a_head_is_question_and_answer(tmp_path: Path) -> None:
    found = read_examples(written(tmp_path / "a.tsv", "what is it\ta test\nwhere is it\there\n"))
    assert [(one.question, one.answer) for one in found.examples] == [("what is it", "a test"), ("where is it", "here")]


def test_xlsx(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["常见问题"], ["问题", "回答", "备注"], ["端口是多少？", 23333, None], [None, None, None], ["空", None, "x"]):
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    (tmp_path / "faq.xlsx").write_bytes(stream.getvalue())
    found = read_examples(tmp_path / "faq.xlsx")
    assert [(one.question, one.answer, one.place) for one in found.examples] == [("端口是多少？", "23333", "row 3")]
    assert [problem.row for problem in found.problems] == [5]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "no JSON"),
        ("3", "not an object"),
        ({}, "none of the formats"),
        ({"conversation": []}, "'conversation' is no list"),
        ({"conversation": [3]}, "no object"),
        ({"conversation": [{"input": "a", "output": ""}]}, "'output' is missing or empty"),
        ({"conversation": [{"input": "  ", "output": "b"}]}, "'input' is empty"),
        ({"messages": [{"role": "user", "content": "a"}]}, "does not end with an answer"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "'tool'"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "message of assistant where"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "is no text"),
        ({"instruction": "a", "output": None}, "'output' is missing"),
        ({"instruction": "", "output": "b"}, "empty question"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}]}, "message of user where"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_goes_on(tmp_path: Path, row: Any, why: str) -> None:
    bad = row if isinstance(row, str) else json.dumps(row)
    good = json.dumps({"question": "q", "answer": "a"})
    found = read_examples(written(tmp_path / "a.jsonl", f"{good}\n{bad}\n{good}\n"))
    assert [(problem.row, why in problem.why) for problem in found.problems] == [(2, True)], found.problems
    assert (found.examples[0].copies, found.left_out) == (2, 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"[", "no JSON"), (b"\x00\x01\x02\xff", "no text"), (b"PK\x03\x04nonsense", "no Excel workbook"),
     (b"just prose\nwithout columns\n", "no columns"), (b'[{"a": 1}]', "row 1"), (b"[" * 100_000, "no JSON")],
)  # fmt: skip
def test_a_file_that_is_none_says_so(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SourceError, match=why):
        read_examples(tmp_path / "x", name="sent.json")


def test_what_is_kept_comes_back_equal_and_becomes_xtuners_rows() -> None:
    example = Example(TURNS, "a.jsonl", "row 7", 3)
    assert example_from(example_json(example)) == example
    assert as_xtuner(example)["conversation"][1] == {"system": "", "input": "再见", "output": "再会"}
    assert as_xtuner(pair("q", "a", "x"), "be brief")["conversation"] == [{"system": "be brief", "input": "q", "output": "a"}]
    assert as_xtuner(example, "be brief")["conversation"][0]["system"] == "你是助手"
    assert len(list(data_lines([example, pair("q", "", "x")]))) == 3


def test_an_answer_may_be_filled_in_later_but_not_in_the_middle() -> None:
    assert fault(pair("q", "", "x").turns) == ""
    assert "empty answer" in fault(
        (Message("user", "a"), Message("assistant", " "), Message("user", "b"), Message("assistant", ""))
    )
    assert "end with" in fault(())
