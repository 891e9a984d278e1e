"""One file to its documents. A bad file is a sentence in the report, never an exception."""

import hashlib
import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ingest import blocks
from ingest.files import MIB, Unreadable, read_file
from ingest.notebook import notebook_to_markdown
from ingest.rst import rst
from ingest.scan import FOREIGN_FORMATS, TEXT_FORMATS, ScannedFile, format_of
from kb.decode import Undecodable, decode, quoted
from kb.records import Document, DocumentKind, Skipped
from kb.settings import Settings

_BAD_ROWS = 20  # named one by one, the rest in one line
_GRACE = 120  # seconds the reader process may take to import a format's libraries
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file gave: documents, and why the rest of it (or all of it) is left out."""

    documents: tuple[Document, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class Loader:
    """Reads files. Foreign formats go through a process of their own, which is started when the first one comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop_reader()

    def load(self, file: ScannedFile) -> Loaded:
        """The documents of a file, or the reason there are none."""
        kind = format_of(file.absolute)
        try:
            if kind in FOREIGN_FORMATS:
                title, text = self._read_foreign(file.absolute, kind)
                return _one(file, title, text, "markdown")
            data, _ = read_file(file.absolute, self._settings.max_file_mib * MIB)
            text, _ = decode(data)
            if kind == "jsonl":
                return _rows(file, text)
            if kind == "ipynb":
                try:
                    text = notebook_to_markdown(text)
                except ValueError as error:
                    raise Unreadable("broken", quoted(error)) from error
                return _one(file, "", text, "markdown")
            return _one(file, "", text, TEXT_FORMATS[kind])
        except Unreadable as error:
            return _nothing(file, error.reason, error.detail)
        except Undecodable as error:
            return _nothing(file, error.reason, str(error))
        except MemoryError:
            return _nothing(file, "memory", "there is")

    def _read_foreign(self, path: Path, kind: str) -> tuple[str, str]:
        """Title and Markdown text, from the reader process."""
        settings = self._settings
        request = {
            "path": os.fsencode(path).hex(),  # a name need not be UTF-8
            "kind": kind,
            "limit": settings.max_file_mib * MIB,
            "seconds": settings.load_seconds,
            "mib": settings.load_mib,
        }
        reply = self._ask(json.dumps(request).encode() + b"\n")
        if not reply:
            self._stop_reader()
            raise Unreadable("broken", "the process that reads this format ended or does not answer")
        answer = json.loads(reply)
        if "reason" in answer:
            raise Unreadable(answer["reason"], answer["detail"])
        return answer["title"], answer["text"]

    def _ask(self, request: bytes) -> bytes:
        """The reader's reply, or nothing if it is gone or silent past every limit of its own."""
        if self._reader is None or self._reader.poll() is not None:
            self._reader = _start_reader()
        stdin, stdout = self._reader.stdin, self._reader.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(request)
            stdin.flush()
        except OSError:
            return b""
        ready, _, _ = select.select([stdout], [], [], self._settings.load_seconds + _GRACE)
        reply = stdout.readline() if ready else b""
        return reply if reply.endswith(b"\n") else b""

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.kill()  # what it has forked asked the kernel to end with it
            self._reader.communicate()
            self._reader = None


def _start_reader() -> "subprocess.Popen[bytes]":
    """Its environment holds none of our settings, for one of them is a key."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KB_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        "DO_NOT_TRACK": "1",
        "SCARF_NO_ANALYTICS": "true",
        "UNSTRUCTURED_DISABLE_NOTICE": "1",
        "OMP_NUM_THREADS": "1",  # it forks, which threads do not survive
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "ingest.reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C is for us to handle
    )


def _nothing(file: ScannedFile, reason: str, detail: str) -> Loaded:
    return Loaded(skipped=(Skipped(file.source, file.path, reason, detail),))


def _one(file: ScannedFile, title: str, text: str, kind: DocumentKind) -> Loaded:
    """A file that is one document.

    Raises:
        Unreadable: there is nothing in it, or characters that cannot be stored.
    """
    if why := _unstorable(text):
        raise Unreadable("broken", why)
    if not text.strip():
        raise Unreadable("empty", "no text")
    title = title or _title(text, kind) or file.absolute.stem
    return Loaded((Document(_key(file), file.source, file.path, file.path, title, text, kind, file.aliases),))


def _key(file: ScannedFile, row: str = "") -> str:
    return hashlib.blake2b("\0".join((file.source, file.path, row)).encode(), digest_size=16).hexdigest()


def _unstorable(text: str) -> str:
    r"""JSON can write what no database takes: \u0000 and half of a surrogate pair."""
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half a character at position {error.start}"
    return ""


def _title(text: str, kind: DocumentKind) -> str:
    """The first heading of the first level, or the title in the front matter, or the first heading, or ""."""
    lines = text.split("\n")
    first = ""
    for block in {"markdown": blocks.markdown, "rst": rst, "text": blocks.text}[kind](lines):
        if block.kind == "heading" and block.title:
            first = first or block.title
            if block.level == 1:
                return block.title
    matter = lines[: blocks.front_matter(lines)] if kind == "markdown" else []
    stated = next((line[6:].strip(" \"'") for line in matter if line.startswith("title:")), "")
    return stated or first


def _rows(file: ScannedFile, text: str) -> Loaded:
    """The rows {id, title, text} of a jsonl file, each a document under its id."""
    documents: dict[str, Document] = {}
    bad: list[tuple[int, str]] = []
    other_shape = 0
    for number, line in _numbered(text):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.append((number, error.msg if isinstance(error, json.JSONDecodeError) else "no JSON"))
            continue
        why, fits = _row_fault(row), isinstance(row, dict) and {"id", "title", "text"} <= row.keys()
        other_shape += not fits
        if not why and str(row["id"]) in documents:
            why = f"the id {str(row['id'])[:80]!r} again"
        if why:
            bad.append((number, quoted(why)))
        else:
            document = _row_document(file, row)
            documents[document.path] = document
    if not documents and other_shape:
        return _nothing(file, "data", f"no row of {{id, title, text}}; line {bad[0][0]}: {bad[0][1]}")
    if not documents and not bad:
        return _nothing(file, "empty", "no rows")
    if not documents:
        return _nothing(file, "broken", f"line {bad[0][0]}: {bad[0][1]}")
    skipped = [Skipped(file.source, f"{file.path}:{number}", "bad-row", why) for number, why in bad[:_BAD_ROWS]]
    if len(bad) > _BAD_ROWS:
        rest = f"{len(bad) - _BAD_ROWS} more, the first in line {bad[_BAD_ROWS][0]}"
        skipped.append(Skipped(file.source, file.path, "bad-row", rest))
    return Loaded(tuple(documents.values()), tuple(skipped))


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _row_fault(row: Any) -> str:
    """What is wrong with a row, or ""."""
    if not isinstance(row, dict):
        return f"a JSON {type(row).__name__}"
    if missing := [name for name in ("id", "title", "text") if name not in row]:
        return f"no {', '.join(missing)} among {', '.join(map(str, row))[:80] or 'no fields'}"
    if not isinstance(row["id"], str | int) or not isinstance(row["title"], str) or not isinstance(row["text"], str):
        return "id, title or text is no string"
    if not str(row["id"]).strip() or not row["text"].strip():
        return "id or text is empty"
    if _CONTROL.search(str(row["id"])):
        return "a line end or control character in its id"
    return next((why for name in ("id", "title", "text") if (why := _unstorable(str(row[name])))), "")


def _row_document(file: ScannedFile, row: dict[str, Any]) -> Document:
    """Its kind is what the end of its id says, as rows are often made from files; else plain text."""
    name = str(row["id"])
    text = row["text"].replace("\r\n", "\n").replace("\r", "\n")
    kind = TEXT_FORMATS.get(format_of(Path(name)), "text")
    return Document(_key(file, name), file.source, name, file.path, " ".join(row["title"].split()) or name, text, kind)
