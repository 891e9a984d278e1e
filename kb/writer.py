"""Writes a new generation of an index: from nothing, or from what the one before it has."""

import re
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kb.catalog import CatalogWriter
from kb.disk import unwritten
from kb.embed import Fingerprint
from kb.errors import BaseError
from kb.index import Generation, IndexRow, segments_folder
from kb.learned import write_learned
from kb.lexical import LexicalWriter
from kb.manifest import Manifest, SegmentInfo, write_manifest
from kb.records import Document
from kb.segment import Segment, SegmentWriter, pack_text
from kb.whole import sync

SEGMENT_CHUNKS = 131_072  # at most, but for one document that is larger
_BATCH = 500  # documents copied at a time
_OF_THE_DISK = re.compile(r"\bI/?O\b|os error|io::|IoError")


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """One sentence for what the system, SQLite, chromadb and tantivy raise when a disk is full or failing."""
    from chromadb.errors import ChromaError

    try:
        yield
    except (OSError, sqlite3.Error, ChromaError, ValueError) as error:
        # tantivy has no error of its own: a ValueError that does not speak of the disk is a bug of ours.
        if isinstance(error, ValueError) and not _OF_THE_DISK.search(str(error)):
            raise
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise BaseError(f"{unwritten(folder, what)}: the old index still serves.") from error


class GenerationWriter:
    """Builds one generation in the new folder `folder`, from nothing or from what `base` has. One thread at a time."""

    def __init__(self, folder: Path, base: Generation | None = None) -> None:
        folder.mkdir(parents=True)
        self._started = time.time()
        self.folder = folder
        self.catalog = CatalogWriter(folder, base.folder if base else None)
        self._lexical = LexicalWriter(folder / "words", base.folder / "words" if base else None)
        self._rows = {info.name: info.rows for info in base.manifest.segments} if base else {}
        self._segment: SegmentWriter | None = None
        self._learned = base.learned if base else None
        self._changed = 0  # chunks that have come and gone

    def remove_file(self, source: str, path: str) -> None:
        """Take a file's documents out of this generation; their segments stay as they are."""
        for key, chunks in self.catalog.remove_file(source, path).items():
            self._lexical.remove(key)
            self._changed += chunks

    def add(self, documents: Sequence[Document], rows: Sequence[IndexRow], vectors: np.ndarray) -> None:
        """Documents with all their chunks, and vectors of shape (len(rows), dimension)."""
        segment = self._room()
        chunks = Counter(row.chunk.document for row in rows)
        for document in documents:
            self.catalog.add_document(document, chunks[document.key], segment.folder.name)
        segment.add(
            [(document.key, pack_text(document.text)) for document in documents], [(row.chunk, row.hash) for row in rows], vectors
        )
        self._changed += len(rows)
        self._lexical.add((row.chunk.id, row.chunk.document, row.words, row.above) for row in rows)

    def take_over(self, segment: Segment, keys: Sequence[str]) -> None:
        """Copy documents that the base has in `segment` into one of this generation's own, so that it need not be kept."""
        for at in range(0, len(keys), _BATCH):
            some, own = keys[at : at + _BATCH], self._room()
            chunks = segment.chunks_of(some)
            vectors = segment.vectors([chunk.id for chunk, _ in chunks])
            array = np.array([vectors[chunk.id] for chunk, _ in chunks], dtype=np.float32)
            own.add(segment.packed_texts(some), chunks, array)
            self.catalog.move(some, own.folder.name)

    def _room(self) -> SegmentWriter:
        """The segment to write to."""
        if self._segment is not None and self._segment.rows >= SEGMENT_CHUNKS:
            self._finish_segment()
        if self._segment is None:
            name = f"{self.folder.stem}-{secrets.token_hex(4)}"  # never used before, also by a base of this name
            self._segment = SegmentWriter(segments_folder(self.folder) / name)
        return self._segment

    def _finish_segment(self) -> None:
        if self._segment is not None:
            self._segment.finish()
            self._rows[self._segment.folder.name] = self._segment.rows
            self._segment = None

    def finish(self, pipeline: dict[str, Any], fingerprint: Fingerprint, report: dict[str, Any]) -> Manifest:
        """Commit and close everything, sync it, and write the manifest."""
        self._finish_segment()
        live = self.catalog.live()
        documents, chunks, size = self.catalog.counts()
        self._lexical.finish()
        self.catalog.finish()
        segments = tuple(SegmentInfo(name, self._rows[name], count) for name, count in live.items())
        now, seconds = time.time(), round(time.time() - self._started, 3)
        number = int(self.folder.stem)
        manifest = Manifest(number, now, documents, chunks, size, seconds, pipeline, fingerprint, segments, report)
        if self._learned:
            write_learned(self.folder, self._learned.later(self._changed))
        for path in self.folder.rglob("*"):
            sync(path)
        write_manifest(self.folder, manifest)
        return manifest

    def __enter__(self) -> "GenerationWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Let go of the files; what was not finished is of no use."""
        if self._segment is not None:
            self._segment.close()
