"""A row as it comes → the turns of an example, whichever of the usual formats it is in. Told apart by its keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from finetune.dataset import Message, Role, fault

# Keys and column heads that mean the same, lower case. Each language's plain words are among them.
QUESTION = ("question", "input", "prompt", "query", "q", "问题", "提问", "问", "输入")
ANSWER = ("answer", "output", "response", "reply", "a", "回答", "答案", "答复", "答", "输出")
SYSTEM = ("system", "system prompt", "系统", "系统提示")
_ROLES: dict[str, Role] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "bot": "assistant",
    "model": "assistant",
}  # fmt: skip


class BadRow(ValueError):
    """Why a row is no example."""


class Unparsed(str):
    """In place of a row that could not be parsed: why."""


def example_of(row: Any) -> tuple[str, tuple[Message, ...]]:
    """(the name of its format, its turns). Raises BadRow."""
    if isinstance(row, Unparsed):
        raise BadRow(str(row))
    if not isinstance(row, Mapping):
        raise BadRow(f"not an object but {type(row).__name__}")
    keys = {str(key).strip().casefold(): value for key, value in row.items()}
    for key, name, read in _FORMATS:
        if key in keys:
            return name, _checked(read(keys))
    if any(key in keys for key in QUESTION) or any(key in keys for key in ANSWER):
        return "questions", _checked(_questions(keys))
    raise BadRow(f"none of the formats: its keys are {', '.join(map(repr, list(row)[:6])) or 'none'}")


def _checked(turns: Iterator[Message]) -> tuple[Message, ...]:
    found = tuple(turn for turn in turns if turn.role != "system" or turn.content.strip())
    if sentence := fault(found):
        raise BadRow(sentence)
    if not found[-1].content.strip():
        raise BadRow("an empty answer")
    return found


def _xtuner(row: Mapping[str, Any]) -> Iterator[Message]:
    for part in _list(row["conversation"], "conversation"):
        yield Message("system", _text(part.get("system"), "system", empty=True))
        yield Message("user", _text(part.get("input"), "input"))
        yield Message("assistant", _text(part.get("output"), "output"))


def _openai(row: Mapping[str, Any]) -> Iterator[Message]:
    for part in _list(row["messages"], "messages"):
        yield Message(_role(part.get("role")), _text(part.get("content"), "content"))


def _sharegpt(row: Mapping[str, Any]) -> Iterator[Message]:
    parts = _list(row["conversations"], "conversations")
    if "system" in row and not (parts and parts[0].get("from") == "system"):
        yield Message("system", _text(row["system"], "system", empty=True))
    for part in parts:
        role, content = (part.get("from"), part.get("value")) if "from" in part else (part.get("role"), part.get("content"))
        yield Message(_role(role), _text(content, "value"))


def _alpaca(row: Mapping[str, Any]) -> Iterator[Message]:
    yield Message("system", _text(row.get("system"), "system", empty=True))
    for turn in row.get("history") or ():
        if not isinstance(turn, Sequence) or isinstance(turn, str) or len(turn) != 2:
            raise BadRow("a turn of 'history' is no pair of question and answer")
        yield Message("user", _text(turn[0], "history"))
        yield Message("assistant", _text(turn[1], "history"))
    asked = [_text(row["instruction"], "instruction", empty=True), _text(row.get("input"), "input", empty=True)]
    yield Message("user", "\n".join(filter(None, asked)))
    yield Message("assistant", _text(row.get("output"), "output"))


def _questions(row: Mapping[str, Any]) -> Iterator[Message]:
    question = next((key for key in QUESTION if key in row), QUESTION[0])
    answer = next((key for key in ANSWER if key in row), ANSWER[0])
    system = next((row[key] for key in SYSTEM if key in row), None)
    yield Message("system", _text(system, "system", empty=True))
    yield Message("user", _text(row.get(question), question))
    yield Message("assistant", _text(row.get(answer), answer))


_FORMATS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Iterator[Message]]], ...] = (
    ("conversation", "xtuner", _xtuner),
    ("conversations", "sharegpt", _sharegpt),
    ("messages", "openai", _openai),
    ("instruction", "alpaca", _alpaca),
)


def _list(value: Any, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value:
        raise BadRow(f"{name!r} is no list of messages, or an empty one")
    if not all(isinstance(part, Mapping) for part in value):
        raise BadRow(f"something in {name!r} is no object")
    return cast(list[Mapping[str, Any]], value)


def _text(value: Any, name: str, empty: bool = False) -> str:
    """A string; numbers of a table are written out, OpenAI's parts of type text are joined."""
    if value is None or value == "":
        if empty:
            return ""
        raise BadRow(f"{name!r} is missing or empty")
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
        value = "".join(str(part.get("text", "")) for part in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(f"{name!r} is no text")
    text = str(value)
    if not text.strip() and not empty:
        raise BadRow(f"{name!r} is empty")
    return text


def _role(value: Any) -> Role:
    role = _ROLES.get(value.strip().casefold()) if isinstance(value, str) else None
    if role is None:
        raise BadRow(f"a message of {value!r}: only system, user and assistant can be learned")
    return role
