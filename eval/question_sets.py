"""Question sets by name: ours (eval/cases) and those kept in data_base/questions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.cases import Case, CaseSet, read_cases
from eval.runs import writing
from kb.errors import KBError, SourceError
from kb.names import bad_name
from kb.settings import Settings

SUFFIX = ".jsonl"
MOST_BYTES = 32 * 1024 * 1024  # of a set that is sent
_NAME_BYTES = 100
_OURS = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A file of questions. `shipped`: it came with InternKB."""

    name: str
    path: Path
    shipped: bool


def list_sets(settings: Settings) -> list[QuestionSet]:
    """All sets by name, the shipped ones first."""
    shipped = [QuestionSet(path.stem, path, True) for path in sorted(_OURS.glob(f"*{SUFFIX}"))]
    return shipped + [QuestionSet(path.stem, path, False) for path in sorted(_folder(settings).glob(f"*{SUFFIX}"))]


def find_set(settings: Settings, name: str) -> QuestionSet:
    """Raises SourceError for a name that is not there."""
    for one in list_sets(settings):
        if one.name == name:
            return one
    raise SourceError(f"There is no question set {name!r} any more: choose another one.")


def keep_set(settings: Settings, path: Path, name: str) -> CaseSet:
    """Keep the rows of a file that can be used as the set `name`; the others are among the problems of what is returned.

    Raises:
        SourceError: no row can be used, or the name cannot be used or is taken.
    """
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise SourceError(f"{path.name} is larger than {MOST_BYTES >> 20} MiB: send fewer questions.")
    asked = read_cases(path)
    bad = {int(problem.where.rpartition(":")[2]) for problem in asked.problems}
    lines = enumerate(path.read_bytes().decode("utf-8-sig").split("\n"), start=1)
    _write(settings, name, [line for number, line in lines if line.strip() and number not in bad])
    return asked


def save_set(settings: Settings, name: str, cases: Sequence[Case]) -> None:
    """Keep cases as the set `name`. Raises SourceError like keep_set()."""
    if not cases:
        raise SourceError("There is no question to save: keep one at least.")
    _write(settings, name, [json.dumps(_row(case), ensure_ascii=False) for case in cases])


def write_set(path: Path, cases: Sequence[Case]) -> None:
    """Write cases to a file that is not there yet.

    Raises:
        SourceError: it is there.
    """
    _write_new(path, [json.dumps(_row(case), ensure_ascii=False) for case in cases])


def _folder(settings: Settings) -> Path:
    return settings.data_base / "questions"


def _write(settings: Settings, name: str, lines: Sequence[str]) -> None:
    name = name.strip().removesuffix(SUFFIX).strip()
    if sentence := bad_name(name, "a question set", _NAME_BYTES):
        raise SourceError(sentence)
    if any(one.name.casefold() == name.casefold() for one in list_sets(settings)):
        raise SourceError(f"There is a question set {name!r} already: choose another name.")
    with writing(_folder(settings)):
        _folder(settings).mkdir(parents=True, exist_ok=True)
    _write_new(_folder(settings) / f"{name}{SUFFIX}", lines)


def _write_new(path: Path, lines: Sequence[str]) -> None:
    try:
        with writing(path), path.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line.rstrip()}\n" for line in lines)
    except KBError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise SourceError(f"{path.name} is there already: choose another name.") from error
        raise


def _row(case: Case) -> dict[str, Any]:
    """A case as a row that read_cases() reads, as far as it was made from one."""
    gold = [{"doc_id": doc_id, "span": span} for doc_id, span in case.gold_spans]
    row: dict[str, Any] = {"id": case.id, "question": case.question}
    row |= {"lang": case.lang} if case.lang else {}
    row |= {"gold_doc_ids": list(case.gold_doc_ids)} if case.gold_doc_ids else {}
    row |= {"gold": gold} if gold else {}
    row |= {"answer_keys": list(case.answer_keys)} if case.answer_keys else {}
    return row if case.answerable else row | {"answerable": False, "category": case.category}
