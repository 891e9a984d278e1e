"""What one question brought, as one line of cases.jsonl."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kb.errors import KBError


@dataclass(frozen=True, slots=True)
class LineHit:
    """A passage that was found. `also`: paths of documents that say the same."""

    n: int
    source: str
    path: str
    also: tuple[str, ...]
    start: int
    end: int
    heading: tuple[str, ...]
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class LineQuote:
    """A citation: lines `start` to `end` of the document of hit `n`, and their text as far as the passage has it."""

    n: int
    path: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One question as it was answered.

    `ranked`: the distinct documents in the order of their best hit, each as the names that it goes by: its path, the paths of
    its twins, and where the knowledge base has several sources also `source/path`. `seconds` to the end of the answer and
    `found_seconds` to the passages, with `jobs` questions at a time. `failed`: why there is no answer, empty if there is one.
    """

    id: str
    question: str
    jobs: int
    ranked: tuple[tuple[str, ...], ...] = ()
    hits: tuple[LineHit, ...] = ()
    confidence: float | None = None
    refused: bool = False
    answer: str = ""
    quotes: tuple[LineQuote, ...] = ()
    seconds: float | None = None
    found_seconds: float | None = None
    failed: str = ""

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def line_from(value: dict[str, Any]) -> CaseLine:
    """A line as json.loads gave it. Raises TypeError or KeyError where it is none."""
    ranked = tuple(tuple(names) for names in value["ranked"])
    hits = tuple(LineHit(**hit | {"also": tuple(hit["also"]), "heading": tuple(hit["heading"])}) for hit in value["hits"])
    quotes = tuple(LineQuote(**quote) for quote in value["quotes"])
    return CaseLine(**value | {"ranked": ranked, "hits": hits, "quotes": quotes})


def read_lines(path: Path) -> tuple[dict[str, CaseLine], int]:
    """Id → line, and how many bytes whole lines take: what follows them is a line that a killed run did not finish.

    Raises:
        KBError: a line within is damaged; names it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}, 0
    except OSError as error:
        raise KBError(f"{path} cannot be read ({error.strerror}): mend that, or evaluate into another folder.") from error
    whole = content[: content.rfind(b"\n") + 1]
    lines: dict[str, CaseLine] = {}
    for number, raw in enumerate(whole.splitlines(), start=1):
        try:
            line = line_from(json.loads(raw))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise KBError(f"{path}:{number} is damaged: delete that line, or evaluate into another folder.") from error
        lines[line.id] = line
    return lines, len(whole)
