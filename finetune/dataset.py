"""Examples: what a model is to say to what. Read row by row from a file; a bad row is named, the rest goes on."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kb.errors import SourceError

Role = Literal["system", "user", "assistant"]
MOST_BYTES = 64 * 1024 * 1024  # of a file
_TOLD = 200  # problems that are kept, of any number


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an example."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn: user and assistant in turn, before a user maybe a system message.

    `source` says where it comes from (a file, "introduction", "feedback", a knowledge base), `place` where in it ("row 3").
    `copies`: how often it stands in the data that is trained on. One whose last answer is empty is `unfinished`: not trained on.
    """

    turns: tuple[Message, ...]
    source: str
    place: str = ""
    copies: int = 1

    @property
    def unfinished(self) -> bool:
        return not self.answer.strip()

    @property
    def question(self) -> str:
        """The last thing the user says."""
        return next((turn.content for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def answer(self) -> str:
        return self.turns[-1].content if self.turns and self.turns[-1].role == "assistant" else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that is left out. `row` counts from 1: lines of jsonl, rows of a table with its head, entries of a json list."""

    row: int
    why: str


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """What a file holds. A row that says what an earlier one says is one more of its `copies`: `duplicates` counts them.

    `problems` are the first ones, `left_out` counts them all.
    """

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]
    format: str  # xtuner, openai, sharegpt, alpaca, questions (columns or keys of question and answer), or several: "mixed"
    encoding: str
    duplicates: int
    left_out: int


def pair(question: str, answer: str, source: str, place: str = "", system: str = "", copies: int = 1) -> Example:
    """An example of one question and one answer."""
    turns = (Message("user", question), Message("assistant", answer))
    return Example((Message("system", system), *turns) if system else turns, source, place, copies)


def read_examples(path: Path, name: str = "") -> ExampleSet:
    """The examples of a json, jsonl, csv or xlsx file, told apart by what is in it; `name` is what it is called elsewhere.

    Raises:
        SourceError: the file cannot be read, or no row of it is an example.
    """
    from finetune.formats import BadRow, example_of
    from finetune.tables import read_rows

    name = name or path.name
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MOST_BYTES else b""
    except OSError as error:
        raise SourceError(f"{name} cannot be read ({error.strerror}): send it again.") from error
    if size > MOST_BYTES:
        raise SourceError(f"{name} is larger than {MOST_BYTES >> 20} MiB: send it in parts.")
    rows, encoding = read_rows(data, name)
    problems: list[Problem] = []
    copies: Counter[tuple[Message, ...]] = Counter()
    first: dict[tuple[Message, ...], Example] = {}
    formats: Counter[str] = Counter()
    for number, row in rows:
        try:
            format_, turns = example_of(row)
        except BadRow as error:
            problems.append(Problem(number, str(error)))
            continue
        formats[format_] += 1
        copies[turns] += 1
        first.setdefault(turns, Example(turns, name, f"row {number}"))
    if not first:
        why = f"row {problems[0].row}: {problems[0].why}" if problems else "it has none"
        raise SourceError(f"No row of {name} is an example ({why}): give question and answer, or a format of the guide.")
    examples = tuple(replace(one, copies=copies[turns]) for turns, one in first.items())
    format_ = next(iter(formats)) if len(formats) == 1 else "mixed"
    duplicates = sum(copies.values()) - len(first)
    return ExampleSet(examples, tuple(problems[:_TOLD]), format_, encoding, duplicates, len(problems))


def fault(turns: Sequence[Message]) -> str:
    """Why these cannot be an example; empty if they can. An empty last answer is none: it may be filled in later."""
    follows: dict[Role, tuple[Role, ...]] = {"system": ("user",), "user": ("assistant",), "assistant": ("system", "user")}
    expected: tuple[Role, ...] = ("system", "user")
    for turn in turns:
        if turn.role not in expected:
            return f"a message of {turn.role} where one of {' or '.join(expected)} belongs"
        expected = follows[turn.role]
        if turn.role == "user" and not turn.content.strip():
            return "an empty question"
        if turn.role == "assistant" and not turn.content.strip() and turn is not turns[-1]:
            return "an empty answer"
    return "" if turns and turns[-1].role == "assistant" else "it does not end with an answer"


def as_xtuner(example: Example, system: str = "") -> dict[str, Any]:
    """The row that XTuner reads; `system` is put before a conversation that has no system message."""
    conversation: list[dict[str, str]] = []
    before = system if all(turn.role != "system" for turn in example.turns) else ""
    for turn in example.turns:
        if turn.role == "system":
            before = turn.content
        elif turn.role == "user":
            conversation.append({"system": before, "input": turn.content, "output": ""})
            before = ""
        else:
            conversation[-1]["output"] = turn.content
    return {"conversation": conversation}


def data_lines(examples: Iterable[Example], system: str = "") -> Iterator[str]:
    """The lines of data.jsonl: each finished example as often as its copies say."""
    for example in examples:
        if not example.unfinished:
            line = json.dumps(as_xtuner(example, system), ensure_ascii=False) + "\n"
            for _ in range(example.copies):
                yield line


def example_json(example: Example) -> str:
    """One line of examples.jsonl."""
    turns = [{"role": turn.role, "content": turn.content} for turn in example.turns]
    return json.dumps({"turns": turns, "source": example.source, "place": example.place, "copies": example.copies},
                      ensure_ascii=False)  # fmt: skip


def example_from(line: str) -> Example:
    """Raises ValueError, KeyError or TypeError where the line is none."""
    row = json.loads(line)
    return Example(tuple(Message(**turn) for turn in row["turns"]), row["source"], row["place"], row["copies"])
