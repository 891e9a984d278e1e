"""The catalogue of a generation: the files and documents that are in it, which segment holds each, and what was left out.

It is what makes a generation: a document of a segment that its catalogue does not name is not there.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.records import Document, Skipped
from kb.segment import Tables
from kb.twins import are_twins, chinese_share, page_of

FILE = "catalog.db"
_SCHEMA = """
CREATE TABLE files (source TEXT, path TEXT, size INTEGER, mtime_ns INTEGER, sha256 TEXT, aliases TEXT,
    PRIMARY KEY (source, path)) WITHOUT ROWID;
CREATE TABLE documents (key TEXT PRIMARY KEY, source TEXT, path TEXT, file TEXT, title TEXT, kind TEXT,
    aliases TEXT, bytes INTEGER, chunks INTEGER, segment TEXT, page TEXT, chinese REAL) WITHOUT ROWID;
CREATE INDEX documents_of ON documents (source, file);
CREATE INDEX documents_page ON documents (source, page);
CREATE INDEX documents_in ON documents (segment);
CREATE TABLE skipped (source TEXT, path TEXT, file TEXT, reason TEXT, detail TEXT);
"""
_INFO = "key, source, path, title, bytes, chunks, aliases"
_SAME_PAGE = "documents a JOIN documents b ON a.source = b.source AND a.page = b.page AND a.key != b.key"

_IN_CHINESE = 0.05  # share of Chinese characters; a page of commands has few


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was indexed; `aliases` are byte-identical copies. Times in nanoseconds."""

    source: str
    path: str
    size: int
    mtime_ns: int
    sha256: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A row of the document list; `bytes` of UTF-8 text."""

    key: str
    source: str
    path: str
    title: str
    bytes: int
    chunks: int
    aliases: tuple[str, ...]


class Catalog(Tables):
    """Read access."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def files(self) -> list[FileState]:
        rows = self._rows("SELECT source, path, size, mtime_ns, sha256, aliases FROM files")
        return [FileState(a, b, c, d, e, tuple(json.loads(aliases))) for a, b, c, d, e, aliases in rows]

    def documents(self) -> list[DocumentInfo]:
        return [_info(row) for row in self._rows(f"SELECT {_INFO} FROM documents ORDER BY source, path")]

    def skipped(self, by_scan_only: bool = False) -> list[Skipped]:
        """What was left out: by the scan (never opened as a document), and, unless asked otherwise, by loading."""
        where = "WHERE file = ''" if by_scan_only else ""
        return [Skipped(*row) for row in self._rows(f"SELECT source, path, reason, detail FROM skipped {where} ORDER BY 1, 2")]

    def document(self, key: str, text: str) -> Document:
        """A document of this generation, with its text, which its segment has."""
        [(source, path, file, title, kind, aliases)] = self._rows(
            "SELECT source, path, file, title, kind, aliases FROM documents WHERE key = ?", (key,)
        )
        return Document(key, source, path, file, title, text, kind, tuple(json.loads(aliases)))

    def infos(self, keys: Sequence[str]) -> dict[str, DocumentInfo]:
        """Document key → its row of the document list."""
        return {row[0]: _info(row) for row in self._in(f"SELECT {_INFO} FROM documents WHERE key IN ({{}})", keys)}

    def places(self) -> set[tuple[str, str]]:
        """(source, folder at its top) of every document that lies in one."""
        folder = "substr(path, 1, instr(path, '/') - 1)"
        return set(self._rows(f"SELECT DISTINCT source, {folder} FROM documents WHERE instr(path, '/') > 0"))

    def twins(self, keys: Sequence[str]) -> dict[str, str]:
        """Document key → the key of the same page in the other language, for those that have one."""
        sql = f"SELECT a.key, a.chinese, b.key, b.chinese FROM {_SAME_PAGE} WHERE a.key IN ({{}})"
        return {one: other for one, share, other, of_other in self._in(sql, keys) if are_twins(share, of_other)}

    def twin_pairs(self, count: int) -> list[tuple[str, str]]:
        """At most `count` pairs (Chinese, English) of twins, drawn evenly: keys are hashes."""
        sql = f"SELECT a.key, a.chinese, b.key, b.chinese FROM {_SAME_PAGE} WHERE a.chinese > b.chinese ORDER BY 1 LIMIT ?"
        return [(one, other) for one, share, other, of_other in self._rows(sql, (count,)) if are_twins(share, of_other)]

    def chinese(self) -> float:
        """The share of the documents that are in Chinese, 0 to 1."""
        [(share,)] = self._rows("SELECT coalesce(avg(chinese >= ?), 0) FROM documents", (_IN_CHINESE,))
        return float(share)

    def segments(self, keys: Sequence[str]) -> dict[str, str]:
        """Document key → the segment that holds it, for those that are in this generation."""
        return dict(self._in("SELECT key, segment FROM documents WHERE key IN ({})", keys))

    def keys_in(self, segment: str) -> dict[str, int]:
        """The documents that a segment holds for this generation, and how many chunks each has."""
        return dict(self._rows("SELECT key, chunks FROM documents WHERE segment = ? ORDER BY key", (segment,)))

    def some_keys(self, count: int) -> list[str]:
        """At most `count` documents, drawn evenly: keys are hashes."""
        return [row[0] for row in self._rows("SELECT key FROM documents ORDER BY key LIMIT ?", (count,))]


def _info(row: tuple) -> DocumentInfo:
    key, source, path, title, size, chunks, aliases = row
    return DocumentInfo(key, source, path, title, size, chunks, tuple(json.loads(aliases)))


class CatalogWriter:
    """Write access for the builder, to a new catalogue or to a copy of `base`'s. One transaction in all."""

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        if base is not None:
            shutil.copyfile(base / FILE, folder / FILE)
        self._connection = sqlite3.connect(folder / FILE, check_same_thread=False)  # one thread at a time
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        self._connection.execute("PRAGMA synchronous = OFF")  # the folder is synced before it is published
        if base is None:
            self._connection.executescript(_SCHEMA)

    def remove_file(self, source: str, path: str) -> dict[str, int]:
        """Forget a file, its documents and what was skipped of it; returns those documents' keys, with how many chunks."""
        run = self._connection.execute
        keys = dict(run("SELECT key, chunks FROM documents WHERE source = ? AND file = ?", (source, path)).fetchall())
        run("DELETE FROM documents WHERE source = ? AND file = ?", (source, path))
        run("DELETE FROM files WHERE source = ? AND path = ?", (source, path))
        run("DELETE FROM skipped WHERE source = ? AND file = ?", (source, path))
        return keys

    def put_file(self, state: FileState) -> None:
        """Record a file; for one that is there already, its size, time and aliases, also on its documents."""
        aliases = json.dumps(state.aliases, ensure_ascii=False)
        row = (state.source, state.path, state.size, state.mtime_ns, state.sha256, aliases)
        self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", row)
        self._connection.execute(
            "UPDATE documents SET aliases = ? WHERE source = ? AND file = ?", (aliases, state.source, state.path)
        )

    def add_document(self, document: Document, chunks: int, segment: str) -> None:
        """A document, how many chunks it has, and the segment that holds them."""
        self._connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (document.key, document.source, document.path, document.file, document.title, document.kind,
             json.dumps(document.aliases, ensure_ascii=False), len(document.text.encode()), chunks, segment,
             page_of(document.path), chinese_share(document.text)),
        )  # fmt: skip

    def move(self, keys: Iterable[str], segment: str) -> None:
        """These documents are in another segment now."""
        self._connection.executemany("UPDATE documents SET segment = ? WHERE key = ?", ((segment, key) for key in keys))

    def put_scan_skipped(self, skipped: Iterable[Skipped]) -> None:
        """Replace what the scan left out; what loading left out stands with its file."""
        self._connection.execute("DELETE FROM skipped WHERE file = ''")
        self._add_skipped(skipped, "")

    def add_load_skipped(self, skipped: Iterable[Skipped], file: str) -> None:
        self._add_skipped(skipped, file)

    def _add_skipped(self, skipped: Iterable[Skipped], file: str) -> None:
        rows = ((s.source, s.path, file, s.reason, s.detail) for s in skipped)
        self._connection.executemany("INSERT INTO skipped VALUES (?, ?, ?, ?, ?)", rows)

    def counts(self) -> tuple[int, int, int]:
        """Documents, chunks, and bytes of text."""
        counts = self._connection.execute("SELECT count(*), coalesce(sum(chunks), 0), coalesce(sum(bytes), 0) FROM documents")
        documents, chunks, size = counts.fetchone()
        return documents, chunks, size

    def live(self) -> dict[str, int]:
        """Segment → how many of its chunks count."""
        return dict(self._connection.execute("SELECT segment, sum(chunks) FROM documents GROUP BY segment ORDER BY segment"))

    def finish(self) -> None:
        """Commit. The builder syncs the folder before it publishes."""
        self._connection.commit()
        self._connection.close()
