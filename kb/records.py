"""The records that travel between the rooms. All frozen: a record is a fact, not a place to keep state."""

from dataclasses import dataclass
from typing import Literal

DocumentKind = Literal["markdown", "text", "rst"]

# Why a file (or a row of a file) is not in the index. {detail} is the name, number or message that makes it checkable.
WHY_SKIPPED: dict[str, str] = {
    "own": "where InternKB keeps its own files",
    "gitignored": "named by {detail}",
    "hidden": "in a hidden folder or file",
    "licence": "a licence text",
    "build-file": "a build or requirements list, not prose",
    "data": "data rather than prose ({detail})",
    "empty": "empty, or only a stub ({detail})",
    "duplicate": "the same bytes as {detail}, which is indexed",
    "format": "a format that is not read ({detail})",
    "too-big": "too big ({detail})",
    "link": "a link that leads out of the source or in a circle",
    "linked": "a link to {detail}, which is read where it lies",
    "special": "not a regular file (pipe, socket or device)",
    "unreadable": "cannot be read: {detail}",
    "vanished": "gone before it was read",
    "binary": "binary content under a text name ({detail})",
    "encoding": "no known encoding fits: {detail}",
    "broken": "cannot be parsed: {detail}",
    "timeout": "took longer than {detail} to read",
    "memory": "needs more memory than {detail} to read",
    "bad-row": "a row that is not {{id, title, text}}: {detail}",
}

# Of these, the ones that somebody should look at; the others are left out by design.
PROBLEMS = frozenset({"too-big", "unreadable", "vanished", "binary", "encoding", "broken", "timeout", "memory", "bad-row"})


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or a file that a knowledge base is made from. `name` is unique within its knowledge base.

    A paused source is not read again; what is indexed of it stays as it is. A source with a `url` is a git repository,
    at the head of `branch` (empty: the one the repository offers), and `path` is where its clone stands.
    """

    name: str
    path: str
    paused: bool = False
    url: str = ""
    branch: str = ""

    @property
    def where(self) -> str:
        """What a person knows the source by."""
        return f"{self.url}#{self.branch}" if self.branch else self.url or self.path


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file (`path` relative to its source; `file.jsonl:12` for a row) that was left out, and why."""

    source: str
    path: str
    reason: str
    detail: str = ""

    @property
    def sentence(self) -> str:
        """The reason in English; the page has its own words for each code."""
        return WHY_SKIPPED[self.reason].format(detail=self.detail)


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was indexed.

    `key` identifies it within the knowledge base. `path` is what people cite: relative to the source, or the id of a
    jsonl row. `file` is the file it came from, relative to the source; `aliases` are byte-identical copies of it.
    Line numbers of chunks count, from 1, in `text`.
    """

    key: str
    source: str
    path: str
    file: str
    title: str
    text: str
    kind: DocumentKind
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: lines `start` to `end` (1-based, inclusive) under the headings `heading`.

    `id` is the key of the document, a dash, and a hash of the passage and its place.
    """

    id: str
    document: str
    ordinal: int
    heading: tuple[str, ...]
    start: int
    end: int
    text: str


def under_headings(title: str, chunk: Chunk) -> str:
    """What a model reads of a chunk: the title and the headings it stands under, and its text."""
    return "\n".join((" › ".join(dict.fromkeys((title, *chunk.heading))), chunk.text))


def first_line(start: int, end: int, text: str) -> int:
    """The number of the first line of the text of lines `start` to `end`: less than `start` where the header of a table that was
    cut is repeated on top.
    """
    return start - max(0, text.count("\n") - (end - start))


def document_of(chunk_id: str) -> str:
    """The key of the document that a chunk belongs to."""
    return chunk_id.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a question found. `n` is its number in the answer, from 1; `score` falls with the rank.

    `chunk` is the chunk that was found, with its neighbours where those were found too; `joined` are the chunks that it was
    made of, each (start, end, score). `also` are the paths of other documents that say the same: copies, and the same page in
    another language.
    """

    n: int
    chunk: Chunk
    source: str
    path: str
    title: str
    score: float
    also: tuple[str, ...] = ()
    joined: tuple[tuple[int, int, float], ...] = ()


def above(hit: Hit) -> str:
    """Where a passage stands: its path, its title and its headings, which its text need not repeat."""
    return "\n".join((hit.path, hit.title, *hit.chunk.heading))


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is to write one answer. What is None is as the settings say; `system` None is the template's own prompt."""

    temperature: float | None = None
    max_tokens: int | None = None
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Standalone:
    """A question that a model put so that it needs no history, and the same in the `other` language (empty: not searched)."""

    question: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """The part of hit `n` that the answer rests on: lines `start` to `end` of its document."""

    n: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """First event of an answer: what retrieval found, in the generation it was found in.

    `query` is what was searched for; `rewritten` is the same where a model wrote it and it is not what was typed.
    `confidence` (0 to 1): how sure it is that the hits hold the answer.
    """

    query: str
    generation: int
    hits: tuple[Hit, ...]
    confidence: float = 1.0
    rewritten: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A further piece of the answer's Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """Last event of an answer that came to its end. `refused`: nothing in the documents answers the question.

    `text` is what the answer says, also where the pieces that came before said a little more: citations of no passage are taken
    out. `unsupported`: (start, end) in it of sentences that the passages they cite do not support (kb.support).
    """

    text: str
    refused: bool
    quotes: tuple[Quote, ...]
    seconds: float
    unsupported: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Last event of an answer that did not: one sentence for the user."""

    message: str


Event = Found | Token | Done | Failed
