"""The catalogue of a generation: its documents whole, their chunks, the files they came from, and what was left out.

A citation opens the passage as it was indexed, also when the file has changed since: that is why the text is kept here.
"""

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.errors import BaseError
from kb.records import Chunk, Document, Skipped

FILE = "catalog.db"
_SCHEMA = """
CREATE TABLE files (source TEXT, path TEXT, size INTEGER, mtime_ns INTEGER, sha256 TEXT, aliases TEXT,
    PRIMARY KEY (source, path)) WITHOUT ROWID;
CREATE TABLE documents (key TEXT PRIMARY KEY, source TEXT, path TEXT, file TEXT, title TEXT, kind TEXT,
    aliases TEXT, bytes INTEGER, text BLOB);
CREATE TABLE chunks (id TEXT PRIMARY KEY, document TEXT, ordinal INTEGER, heading TEXT, start INTEGER, "end" INTEGER,
    text TEXT, embedded BLOB);
CREATE INDEX chunks_of ON chunks (document, ordinal);
CREATE INDEX chunks_embedded ON chunks (embedded);
CREATE TABLE skipped (source TEXT, path TEXT, file TEXT, reason TEXT, detail TEXT);
"""
_DOCUMENT = "key, source, path, file, title, kind, aliases, text"
_CHUNK = 'id, document, ordinal, heading, start, "end", text'
_VARIABLES = 900  # SQLite's old limit on ? in one statement


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


def _document(row: tuple) -> Document:
    key, source, path, file, title, kind, aliases, text = row
    return Document(key, source, path, file, title, zlib.decompress(text).decode(), kind, tuple(json.loads(aliases)))


def _chunk(row: tuple) -> Chunk:
    id_, document, ordinal, heading, start, end, text = row
    return Chunk(id_, document, ordinal, tuple(json.loads(heading)), start, end, text)


class Catalog:
    """Read access; one connection behind a lock, since every read takes microseconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        uri = f"{(folder / FILE).as_uri()}?mode=ro&immutable=1"
        self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)

    def _rows(self, sql: str, parameters: Sequence = ()) -> list[tuple]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def _in(self, sql: str, values: Sequence) -> list[tuple]:
        rows: list[tuple] = []
        for at in range(0, len(values), _VARIABLES):
            some = values[at : at + _VARIABLES]
            rows += self._rows(sql.format(",".join("?" * len(some))), some)
        return rows

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def files(self) -> list[FileState]:
        rows = self._rows("SELECT source, path, size, mtime_ns, sha256, aliases FROM files")
        return [FileState(a, b, c, d, e, tuple(json.loads(aliases))) for a, b, c, d, e, aliases in rows]

    def documents(self) -> list[DocumentInfo]:
        rows = self._rows(
            "SELECT d.key, d.source, d.path, d.title, d.bytes, count(c.id), d.aliases FROM documents d "
            "LEFT JOIN chunks c ON c.document = d.key GROUP BY d.key ORDER BY d.source, d.path"
        )
        return [DocumentInfo(a, b, c, d, e, f, tuple(json.loads(aliases))) for a, b, c, d, e, f, aliases in rows]

    def skipped(self, by_scan_only: bool = False) -> list[Skipped]:
        """What was left out: by the scan (never opened as a document), and, unless asked otherwise, by loading."""
        where = "WHERE file = ''" if by_scan_only else ""
        return [Skipped(*row) for row in self._rows(f"SELECT source, path, reason, detail FROM skipped {where} ORDER BY 1, 2")]

    def document(self, key: str) -> Document:
        """Raises BaseError for a key that is not in this generation."""
        rows = self._rows(f"SELECT {_DOCUMENT} FROM documents WHERE key = ?", (key,))
        if not rows:
            raise BaseError("That document is not in the knowledge base any more.")
        return _document(rows[0])

    def names(self, keys: Sequence[str]) -> dict[str, tuple[str, str, str]]:
        """Document key → (source, path, title), without reading the texts."""
        rows = self._in("SELECT key, source, path, title FROM documents WHERE key IN ({})", keys)
        return {key: (source, path, title) for key, source, path, title in rows}

    def chunks(self, ids: Sequence[str]) -> dict[str, Chunk]:
        return {row[0]: _chunk(row) for row in self._in(f"SELECT {_CHUNK} FROM chunks WHERE id IN ({{}})", ids)}

    def chunks_of(self, key: str) -> list[Chunk]:
        return [_chunk(row) for row in self._rows(f"SELECT {_CHUNK} FROM chunks WHERE document = ? ORDER BY ordinal", (key,))]

    def chunk_ids(self) -> set[str]:
        return {row[0] for row in self._rows("SELECT id FROM chunks")}

    def headings(self) -> list[tuple[tuple[str, ...], str]]:
        """(heading path, document key) of every chunk that starts a section, in document order."""
        rows = self._rows("SELECT heading, document FROM chunks WHERE heading != '[]' ORDER BY document, ordinal")
        return [(tuple(json.loads(heading)), document) for heading, document in dict.fromkeys(rows)]

    def embedded(self, hashes: Sequence[bytes]) -> dict[bytes, str]:
        """Hash of an embedded text → a chunk that has its vector."""
        return dict(self._in("SELECT embedded, min(id) FROM chunks WHERE embedded IN ({}) GROUP BY embedded", hashes))


class CatalogWriter:
    """Write access for the builder, in the part folder of a generation that nobody reads yet. One transaction in all."""

    def __init__(self, folder: Path) -> None:
        fresh = not (folder / FILE).exists()
        self._connection = sqlite3.connect(folder / FILE, check_same_thread=False)  # one thread at a time
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        self._connection.execute("PRAGMA synchronous = OFF")  # finish() syncs; before it the folder counts for nothing
        if fresh:
            self._connection.executescript(_SCHEMA)

    def remove_file(self, source: str, path: str) -> list[str]:
        """Forget a file, its documents and what was skipped of it; returns the ids of their chunks."""
        run = self._connection.execute
        of_file = "SELECT key FROM documents WHERE source = ? AND file = ?"
        ids = [row[0] for row in run(f"SELECT id FROM chunks WHERE document IN ({of_file})", (source, path))]
        run(f"DELETE FROM chunks WHERE document IN ({of_file})", (source, path))
        run("DELETE FROM documents WHERE source = ? AND file = ?", (source, path))
        run("DELETE FROM files WHERE source = ? AND path = ?", (source, path))
        run("DELETE FROM skipped WHERE source = ? AND file = ?", (source, path))
        return ids

    def put_file(self, state: FileState) -> None:
        """Record a file; for one that is there already, its size, time and aliases, also on its documents."""
        aliases = json.dumps(state.aliases, ensure_ascii=False)
        row = (state.source, state.path, state.size, state.mtime_ns, state.sha256, aliases)
        self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", row)
        self._connection.execute(
            "UPDATE documents SET aliases = ? WHERE source = ? AND file = ?", (aliases, state.source, state.path)
        )

    def add_document(self, document: Document) -> None:
        raw = document.text.encode()
        self._connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (document.key, document.source, document.path, document.file, document.title, document.kind,
             json.dumps(document.aliases, ensure_ascii=False), len(raw), zlib.compress(raw, 3)),
        )  # fmt: skip

    def add_chunks(self, chunks: Iterable[tuple[Chunk, bytes]]) -> None:
        """Chunks, each with the hash of the text that was embedded for it."""
        self._connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((c.id, c.document, c.ordinal, json.dumps(c.heading, ensure_ascii=False), c.start, c.end, c.text, embedded)
             for c, embedded in chunks),
        )  # fmt: skip

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
        documents, size = self._connection.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM documents").fetchone()
        return documents, self._connection.execute("SELECT count(*) FROM chunks").fetchone()[0], size

    def finish(self) -> None:
        """Commit. The builder syncs the folder before it publishes."""
        self._connection.commit()
        self._connection.close()
