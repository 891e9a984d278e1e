"""A segment of an index: some documents with their chunks and vectors, written once and never changed after that.

Generations share segments, so a small change writes a small one and leaves the others where they are. Chroma rewrites
its files in place and keeps what a process has opened to itself: a folder that nobody writes any more is also what
makes it safe to read from many threads and processes.
"""

import json
import sqlite3
import threading
import weakref
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from kb.errors import BaseError
from kb.records import Chunk
from kb.whole import sync

COLLECTION = "langchain"  # the name that langchain_chroma.Chroma looks for when none is given
# Recall@10: .994 on the 5,281 vectors of a real base, .87 on 10,000 random ones (Chroma's defaults: .976 and .54). Twice
# the effort while building gives .999 and .94, but costs twice the time, and more with each chunk. Chroma writes its graph
# out when sync_threshold rows are new, and what is not written out is put into the graph again each time the folder is
# opened (a second for 900 rows): so after every batch, and batches are large.
_HNSW = {"space": "cosine", "ef_construction": 100, "ef_search": 200, "max_neighbors": 24, "batch_size": 2, "sync_threshold": 2}
_BATCH = 5000  # Chroma's own limit is 5,461
_VARIABLES = 900  # SQLite's old limit on ? in one statement
TEXTS = "texts.db"
_SCHEMA = """
CREATE TABLE texts (document TEXT PRIMARY KEY, text BLOB);
CREATE TABLE chunks (id TEXT PRIMARY KEY, document TEXT, ordinal INTEGER, heading TEXT, start INTEGER, "end" INTEGER,
    text TEXT, embedded BLOB);
CREATE INDEX chunks_of ON chunks (document, ordinal);
CREATE INDEX chunks_embedded ON chunks (embedded);
"""
_CHUNK = 'id, document, ordinal, heading, start, "end", text'
_chroma_lock = threading.Lock()  # its table of shared clients is not safe to fill from two threads


@contextmanager
def damaged(folder: Path) -> Iterator[None]:
    """One sentence for what SQLite, chromadb and tantivy raise when they cannot read their files."""
    from chromadb.errors import ChromaError

    try:
        yield
    except (sqlite3.Error, ChromaError, ValueError, OSError) as error:  # tantivy has no error of its own, but ValueError
        what = " ".join(str(error).split())[:200]
        if "disk is full" in what:  # Chroma writes a row when it opens its files
            raise BaseError(f"The index {folder} cannot be opened: the disk is full.") from error
        raise BaseError(f"The index {folder} is damaged ({what}): `python -m ingest --rebuild` builds it again.") from error


def _open_chroma(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings as ChromaSettings

    with _chroma_lock:
        return chromadb.PersistentClient(str(folder / "chroma"), ChromaSettings(anonymized_telemetry=False))


def _close_chroma(client: Any) -> None:
    with _chroma_lock:
        client.close()


@cache
def _closer() -> SimpleQueue[Any]:
    """Clients put here are closed by a thread of their own. The garbage collector may run while this thread holds the lock, or
    Chroma its own: what it calls must not wait for either."""
    clients: SimpleQueue[Any] = SimpleQueue()

    def close() -> None:
        while True:
            _close_chroma(clients.get())

    threading.Thread(target=close, name="close-segments", daemon=True).start()
    return clients


class Tables:
    """An SQLite file that nobody writes any more; one connection behind a lock, since every read takes microseconds.

    Raises, as its methods do:
        BaseError: it is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self._lock = threading.Lock()
        with damaged(self.folder):
            self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)

    def _rows(self, sql: str, parameters: Sequence = ()) -> list[tuple]:
        with self._lock, damaged(self.folder):
            return self._connection.execute(sql, parameters).fetchall()

    def _in(self, sql: str, values: Sequence) -> list[tuple]:
        rows: list[tuple] = []
        for at in range(0, len(values), _VARIABLES):
            some = values[at : at + _VARIABLES]
            rows += self._rows(sql.format(",".join("?" * len(some))), some)
        return rows


class Segment(Tables):
    """A finished segment, open for reading by any number of threads; Chroma is opened at the first need of a vector."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / TEXTS)
        self._vectors: Any = None
        weakref.finalize(self, self._connection.close)

    def warm(self) -> None:
        """Read the vectors into memory now, rather than at the first question."""
        [(id_,)] = self._rows("SELECT id FROM chunks LIMIT 1")
        self.near(self.vectors([id_])[id_].tolist(), 1)

    def _collection(self) -> Any:
        with self._lock:
            if self._vectors is None:
                client = _open_chroma(self.folder)
                # Also when the last generation that holds this segment lets go.
                weakref.finalize(self, _closer().put, client)
                self._vectors = client.get_collection(COLLECTION)
            return self._vectors

    def near(self, vector: list[float], limit: int) -> list[tuple[str, float]]:
        """(chunk id, cosine similarity) of the nearest chunks, best first."""
        with damaged(self.folder):
            found = self._collection().query([vector], n_results=limit, include=["distances"])
        return [(id_, 1 - distance) for id_, distance in zip(found["ids"][0], found["distances"][0], strict=True)]

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Chunk id → its vector, shape (dimension,)."""
        vectors: dict[str, np.ndarray] = {}
        for at in range(0, len(ids), _BATCH):
            with damaged(self.folder):
                got = self._collection().get(list(ids[at : at + _BATCH]), include=["embeddings"])
            vectors |= dict(zip(got["ids"], got["embeddings"], strict=True))
        return vectors

    def vector_ids(self) -> set[str]:
        # Paged: one get() of more than 32,766 rows fails on SQLite's limit of variables.
        ids: set[str] = set()
        with damaged(self.folder):
            while page := self._collection().get(limit=_BATCH, offset=len(ids), include=[])["ids"]:
                ids.update(page)
        return ids

    def packed_texts(self, documents: Sequence[str]) -> list[tuple[str, bytes]]:
        """(document key, compressed text), as SegmentWriter takes them."""
        return self._in("SELECT document, text FROM texts WHERE document IN ({})", documents)

    def chunks(self, ids: Sequence[str]) -> dict[str, Chunk]:
        return {row[0]: _chunk(row) for row in self._in(f"SELECT {_CHUNK} FROM chunks WHERE id IN ({{}})", ids)}

    def chunks_of(self, documents: Sequence[str]) -> list[tuple[Chunk, bytes]]:
        """The chunks of some documents, each with the hash of the text that was embedded for it."""
        rows = self._in(f"SELECT {_CHUNK}, embedded FROM chunks WHERE document IN ({{}}) ORDER BY document, ordinal", documents)
        return [(_chunk(row[:-1]), row[-1]) for row in rows]

    def chunk_ids(self) -> set[str]:
        return {row[0] for row in self._rows("SELECT id FROM chunks")}

    def count_chunks(self) -> Counter[str]:
        """Document key → how many chunks it has."""
        return Counter(
            dict(self._rows("SELECT t.document, count(c.id) FROM texts t LEFT JOIN chunks c USING (document) GROUP BY 1"))
        )

    def headings(self, documents: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
        """(heading path, document key) of every section of some documents, in their order."""
        sql = "SELECT heading, document FROM chunks WHERE heading != '[]' AND document IN ({}) ORDER BY document, ordinal"
        return [(tuple(json.loads(heading)), document) for heading, document in dict.fromkeys(self._in(sql, documents))]

    def embedded(self, hashes: Sequence[bytes]) -> dict[bytes, str]:
        """Hash of an embedded text → a chunk that has its vector."""
        return dict(self._in("SELECT embedded, min(id) FROM chunks WHERE embedded IN ({}) GROUP BY embedded", hashes))


def pack_text(text: str) -> bytes:
    return zlib.compress(text.encode(), 3)


def unpack_text(packed: bytes) -> str:
    return zlib.decompress(packed).decode()


def _chunk(row: tuple) -> Chunk:
    id_, document, ordinal, heading, start, end, text = row
    return Chunk(id_, document, ordinal, tuple(json.loads(heading)), start, end, text)


class TextsWriter:
    """Writes texts.db: documents with their chunks. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / TEXTS, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        self._connection.execute("PRAGMA synchronous = OFF")  # it is synced when it is whole; before that it counts for nothing
        self._connection.executescript(_SCHEMA)

    def add(self, texts: Iterable[tuple[str, bytes]], chunks: Iterable[tuple[Chunk, bytes]]) -> None:
        """Documents as packed_texts() gives them, and chunks as chunks_of() does."""
        self._connection.executemany("INSERT INTO texts VALUES (?, ?)", texts)
        self._connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (c.id, c.document, c.ordinal, json.dumps(c.heading, ensure_ascii=False), c.start, c.end, c.text, embedded)
                for c, embedded in chunks
            ),
        )

    def finish(self) -> None:
        self._connection.commit()
        self._connection.close()

    def close(self) -> None:
        """Let go of the file; what was not finished is gone."""
        self._connection.close()


class SegmentWriter:
    """Writes one segment into the new folder `folder`. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.rows = 0
        self._waiting: list[tuple[list[str], np.ndarray]] = []
        self._texts = TextsWriter(folder)
        self._client = _open_chroma(folder)
        # Neither texts nor metadata: they are in texts.db, and here they would take half of all the disk.
        self._vectors = self._client.create_collection(COLLECTION, configuration={"hnsw": _HNSW}, embedding_function=None)

    def add(self, texts: Iterable[tuple[str, bytes]], chunks: Sequence[tuple[Chunk, bytes]], vectors: np.ndarray) -> None:
        """As TextsWriter.add(), with vectors of shape (len(chunks), dimension)."""
        self._texts.add(texts, chunks)
        self.rows += len(chunks)
        self._waiting.append(([chunk.id for chunk, _ in chunks], vectors))
        if sum(len(ids) for ids, _ in self._waiting) >= _BATCH:
            self._write_vectors()

    def _write_vectors(self) -> None:
        ids = [id_ for own, _ in self._waiting for id_ in own]
        vectors = np.concatenate([own for _, own in self._waiting]) if ids else np.empty((0, 0))
        self._waiting.clear()
        for at in range(0, len(ids), _BATCH):
            self._vectors.upsert(ids=ids[at : at + _BATCH], embeddings=vectors[at : at + _BATCH])

    def finish(self) -> None:
        """Write what waits, close all files, give back the space that Chroma's log took, and sync."""
        self._write_vectors()
        self._texts.finish()
        _close_chroma(self._client)
        with closing(sqlite3.connect(self.folder / "chroma" / "chroma.sqlite3")) as log:
            log.execute("VACUUM")  # as `chroma vacuum` does: four fifths of that file is what was logged before
        for path in (*self.folder.rglob("*"), self.folder):
            sync(path)

    def close(self) -> None:
        """Let go of the files without finishing; the folder is of no use then."""
        self._texts.close()
        _close_chroma(self._client)
