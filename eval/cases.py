"""Questions whose answers are known, out of a JSONL file: one object a line.

Two kinds of rows are read, and any mixture of their fields:

    {id, question, lang, history, gold: [{doc_id, span}], gold_doc_ids, answer, answer_keys, answerable, category, repo, …}
    {id, question, lang, gold_doc_ids, gold_spans: [{text}], answers, answerable}

Only id and question have to be there.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb.errors import SourceError
from kb.records import Turn
from kb.words import is_chinese


@dataclass(frozen=True, slots=True)
class Case:
    """One question and what is known of its answer. What is unknown is empty, and not scored.

    `gold_doc_ids` are paths of documents that hold the answer, relative to the indexed folder; `gold_spans` are (path or "",
    passage) pairs, each a place where the whole answer stands. An answer that is right equals one of `answers`, contains one of
    `answer_keys`, or says what `reference` says.
    """

    id: str
    question: str
    lang: str
    history: tuple[Turn, ...] = ()
    gold_doc_ids: tuple[str, ...] = ()
    gold_spans: tuple[tuple[str, str], ...] = ()
    answers: tuple[str, ...] = ()
    answer_keys: tuple[str, ...] = ()
    answerable: bool = True
    category: str = "answerable"
    cross_lingual: bool = False
    multi_turn: bool = False
    needs_command: bool = False
    repo: str = ""
    reference: str = ""

    @property
    def slices(self) -> tuple[str, ...]:
        """The parts of the set that it belongs to."""
        flags = {"cross_lingual": self.cross_lingual, "follow_up": self.multi_turn, "needs_command": self.needs_command}
        repo = (f"repo={self.repo}",) if self.repo else ()
        return (f"lang={self.lang}", *(name for name, is_so in flags.items() if is_so), *repo)


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that cannot be used: `where` is file:row."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True, slots=True)
class CaseSet:
    """The cases of a file in its order, the rows that are none, and the sha256 of its bytes."""

    name: str
    sha256: str
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]


class _BadRow(Exception):
    """What is wrong with a row."""


def read_cases(path: Path) -> CaseSet:
    """Read a question set. Rows that cannot be used are among the problems; the others count.

    Raises:
        SourceError: the file cannot be read, or no row of it can be used.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): name a JSONL file of questions.") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 (byte {error.start}): save the questions as UTF-8.") from error
    cases: dict[str, Case] = {}
    rows: dict[str, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            case = _case(line)
            if case.id in cases:
                raise _BadRow(f"the id {case.id!r} is that of row {rows[case.id]}")
        except _BadRow as bad:
            problems.append(Problem(f"{path.name}:{number}", str(bad)))
        else:
            cases[case.id], rows[case.id] = case, number
    if not cases:
        why = f", the first row because {problems[0].why}" if problems else ": it is empty"
        raise SourceError(f"{path} holds no question that can be used{why}. Rows are JSON objects with id and question.")
    return CaseSet(path.name, hashlib.sha256(content).hexdigest(), tuple(cases.values()), tuple(problems))


def _case(line: str) -> Case:
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair could not be written down again
    except (ValueError, RecursionError) as error:
        raise _BadRow(f"it is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise _BadRow("it is not a JSON object")
    question = _text(row, "question", needed=True)
    gold = _objects(row, "gold")
    gold_doc_ids = _texts(row, "gold_doc_ids") or tuple(dict.fromkeys(_text(one, "doc_id", needed=True) for one in gold))
    only = gold_doc_ids[0] if len(gold_doc_ids) == 1 else ""
    spans = [(_text(one, "doc_id"), _text(one, "span")) for one in gold]
    spans += [(_text(one, "doc_id") or only, _text(one, "text")) for one in _objects(row, "gold_spans")]
    history = tuple(_turn(one) for one in _objects(row, "history"))
    category = _text(row, "category")
    answerable = _flag(row, "answerable", category in ("", "answerable"))
    return Case(
        id=_text(row, "id", needed=True),
        question=question,
        lang=_text(row, "lang") or ("zh" if is_chinese(question) else "en"),
        history=history,
        gold_doc_ids=gold_doc_ids,
        gold_spans=tuple((doc_id, span) for doc_id, span in spans if span),
        answers=_texts(row, "answers"),
        answer_keys=_texts(row, "answer_keys"),
        answerable=answerable,
        category=category or ("answerable" if answerable else "unanswerable"),
        cross_lingual=_flag(row, "cross_lingual", False),
        multi_turn=_flag(row, "multi_turn", bool(history)),
        needs_command=_flag(row, "needs_command", False),
        repo=_text(row, "repo"),
        reference=_text(row, "answer"),
    )


def _text(row: dict[str, Any], name: str, needed: bool = False) -> str:
    value = row.get(name)
    if value is None or value == "":
        if needed:
            raise _BadRow(f"it has no {name!r}")
        return ""
    if name == "id" and isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or (needed and not value.strip()):
        raise _BadRow(f"{name!r} is not a text but {_short(value)}")
    return value


def _texts(row: dict[str, Any], name: str) -> tuple[str, ...]:
    value = row.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _BadRow(f"{name!r} is not a list of texts but {_short(value)}")
    return tuple(dict.fromkeys(one for one in value if one.strip()))


def _objects(row: dict[str, Any], name: str) -> Sequence[dict[str, Any]]:
    value = row.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _BadRow(f"{name!r} is not a list of objects but {_short(value)}")
    return value


def _turn(value: dict[str, Any]) -> Turn:
    role = value.get("role")
    if role not in ("user", "assistant"):
        raise _BadRow(f"the role of a turn in 'history' is user or assistant, not {_short(role)}")
    return Turn(role, _text(value, "content", needed=True))


def _flag(row: dict[str, Any], name: str, default: bool) -> bool:
    value = row.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _BadRow(f"{name!r} is true or false, not {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
