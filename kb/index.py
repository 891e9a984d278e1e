"""One generation of an index on disk: Chroma for vectors, tantivy for words, the catalogue, and a manifest written last.

A generation never changes once it has its manifest. Builders work in `0007.part`; `publish` renames it. Chroma keeps
what a process has opened to itself, so an unchanging folder is also what makes it safe to read from many processes.
"""

import re
import shutil
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kb import words
from kb.catalog import Catalog, CatalogWriter, DocumentInfo
from kb.embed import Fingerprint
from kb.errors import BaseError
from kb.example_questions import Language, example_questions
from kb.links import has_lines, permalink
from kb.manifest import MANIFEST, Manifest, read_manifest, sync, write_manifest
from kb.records import Chunk, Document, Hit, Skipped

COLLECTION = "langchain"  # what langchain_chroma.Chroma(persist_directory=…) opens when no name is given
# Recall@10 on 10,000 random vectors: .82 with Chroma's defaults, .98 with these.
_HNSW = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 32}
_BATCH = 5000  # Chroma's own limit is 5,461
_chroma_lock = threading.Lock()  # its table of shared clients is not safe to fill from two threads


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A chunk on its way into the index: `text` is embedded (`hash` is its digest), `words` are its lexical form."""

    document: Document
    chunk: Chunk
    text: str
    hash: bytes
    words: str


def lexical_text(document: Document, chunk: Chunk) -> str:
    """What the lexical leg sees of a chunk: also where it stands."""
    return " ".join(words.words("\n".join((document.path, document.title, *chunk.heading, chunk.text))))


def _open_chroma(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings as ChromaSettings

    with _chroma_lock:
        return chromadb.PersistentClient(str(folder / "chroma"), ChromaSettings(anonymized_telemetry=False))


def _close_chroma(client: Any) -> None:
    with _chroma_lock:
        client.close()


def _close(client: Any, catalog: Catalog) -> None:
    _close_chroma(client)
    catalog.close()


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("words", tokenizer_name="whitespace", index_option="freq")
    return builder.build()


class Generation:
    """A published generation, open for reading by any number of threads.

    Raises:
        BaseError: it is incomplete or damaged.
    """

    def __init__(self, folder: Path) -> None:
        import tantivy

        self.folder = folder
        self.manifest = read_manifest(folder)
        self.catalog = Catalog(folder)
        try:
            self._client = _open_chroma(folder)
            self._vectors = self._client.get_collection(COLLECTION)
            self._schema = _schema()
            self._lexical = tantivy.Index(self._schema, path=str(folder / "words"))
        except Exception as error:  # chromadb and tantivy raise bare exceptions of their Rust sides for damaged files
            raise BaseError(f"The index {folder} is damaged ({error}): run `python -m ingest` to build it again.") from error
        self._searcher = self._lexical.searcher()
        # Also when the last question that holds it lets go, after another generation has become the live one.
        self.close = weakref.finalize(self, _close, self._client, self.catalog)

    @property
    def number(self) -> int:
        return self.manifest.number

    def documents(self) -> list[DocumentInfo]:
        return self.catalog.documents()

    def skipped(self) -> list[Skipped]:
        return self.catalog.skipped()

    def document(self, key: str) -> Document:
        """Raises BaseError for a key that is not in this generation."""
        return self.catalog.document(key)

    def permalink(self, hit: Hit) -> str | None:
        """The page that shows a hit where its repository is hosted, at the commit that was indexed; None if it has none."""
        source = self.manifest.report.get("commits", {}).get(hit.source)
        if source is None:
            return None
        file = self.document(hit.chunk.document).file
        if "\\" in file:  # written with escapes, see ingest.files.shown
            return None
        lines = (hit.chunk.start, hit.chunk.end) if has_lines(file) else (0, 0)
        return permalink(source["url"], source["commit"], file, *lines)

    def examples(self, language: Language, count: int) -> list[str]:
        """Questions that the documents' own headings suggest."""
        return example_questions(self.catalog.headings(), language, count)

    def by_vector(self, vector: np.ndarray, limit: int) -> list[tuple[str, float]]:
        """(chunk id, cosine similarity) of the nearest chunks, best first; `vector` of shape (dimension,)."""
        if not self.manifest.chunks:
            return []
        found = self._vectors.query([vector.tolist()], n_results=min(limit, self.manifest.chunks), include=["distances"])
        return [(id_, 1 - distance) for id_, distance in zip(found["ids"][0], found["distances"][0], strict=True)]

    def by_words(self, weighted: dict[str, float], limit: int) -> list[tuple[str, float]]:
        """(chunk id, BM25 score) of the chunks with any of the words, each word with its weight; best first."""
        import tantivy

        if not weighted:
            return []
        query = tantivy.Query
        terms = [
            (tantivy.Occur.Should, query.boost_query(query.term_query(self._schema, "words", word, "freq"), weight))
            for word, weight in weighted.items()
        ]
        result = self._searcher.search(query.boolean_query(terms), limit=limit, count=False)
        return [(self._searcher.doc(address)["id"][0], score) for score, address in result.hits]

    def frequency(self, word: str) -> int:
        """In how many chunks `word` occurs."""
        return int(self._searcher.doc_freq("words", word))

    def stored_vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Chunk id → its vector, shape (dimension,)."""
        vectors: dict[str, np.ndarray] = {}
        for at in range(0, len(ids), _BATCH):
            got = self._vectors.get(list(ids[at : at + _BATCH]), include=["embeddings"])
            vectors |= dict(zip(got["ids"], got["embeddings"], strict=True))
        return vectors

    def vector_ids(self) -> set[str]:
        # Paged: one get() of more than 32,766 rows fails on SQLite's limit of variables.
        ids: set[str] = set()
        while page := self._vectors.get(limit=_BATCH, offset=len(ids), include=[])["ids"]:
            ids.update(page)
        return ids

    def lexical_ids(self) -> set[str]:
        import tantivy

        every = self._searcher.search(tantivy.Query.all_query(), limit=max(1, self._searcher.num_docs), count=False)
        return {self._searcher.doc(address)["id"][0] for _, address in every.hits}


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """One sentence for what the system, SQLite, chromadb and tantivy raise when a disk is full or failing."""
    from chromadb.errors import ChromaError

    try:
        yield
    except (OSError, sqlite3.Error, ChromaError, ValueError) as error:
        # tantivy has no error of its own: a ValueError that does not speak of the disk is a bug of ours.
        if isinstance(error, ValueError) and not re.search(r"\bI/?O\b|os error", str(error)):
            raise
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free // 1024**2
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise BaseError(f"{folder} cannot be written ({what}; {free} MiB are free): the old index still serves.") from error


class GenerationWriter:
    """Builds one generation in `folder`, from nothing or from a copy of `base`. Not for threads."""

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        import tantivy

        if folder.exists():
            shutil.rmtree(folder)  # what a crashed build left behind
        if base is None:
            folder.mkdir(parents=True)
            (folder / "words").mkdir()
        else:
            shutil.copytree(base, folder, ignore=shutil.ignore_patterns(MANIFEST))
        self._started = time.time()
        self.folder = folder
        self.catalog = CatalogWriter(folder)
        self._client = _open_chroma(folder)
        self._vectors = self._client.get_or_create_collection(COLLECTION, configuration={"hnsw": _HNSW}, embedding_function=None)
        self._lexical = tantivy.Index(_schema(), path=str(folder / "words")).writer(heap_size=64_000_000, num_threads=1)

    def remove(self, ids: Sequence[str]) -> None:
        """Take chunks out of both legs; the catalogue forgets them with their file."""
        for at in range(0, len(ids), _BATCH):
            self._vectors.delete(list(ids[at : at + _BATCH]))
        for id_ in ids:
            self._lexical.delete_documents_by_term("id", id_)

    def add(self, rows: Sequence[IndexRow], vectors: np.ndarray) -> None:
        """Put chunks, with vectors of shape (len(rows), dimension), into both legs and the catalogue."""
        import tantivy

        for at in range(0, len(rows), _BATCH):
            some = rows[at : at + _BATCH]
            self._vectors.upsert(
                ids=[row.chunk.id for row in some],
                embeddings=vectors[at : at + _BATCH],
                documents=[row.chunk.text for row in some],
                metadatas=[
                    {"root": row.document.source, "source": row.document.path, "title": row.document.title,
                     "document": row.document.key, "heading": " › ".join(row.chunk.heading),
                     "start": row.chunk.start, "end": row.chunk.end}
                    for row in some
                ],
            )  # fmt: skip
        for row in rows:
            self._lexical.add_document(tantivy.Document(id=row.chunk.id, words=row.words))
        self.catalog.add_chunks((row.chunk, row.hash) for row in rows)

    def finish(
        self, number: int, pipeline: dict[str, Any], fingerprint: Fingerprint, dead: int, report: dict[str, Any]
    ) -> Manifest:
        """Commit and close both legs and the catalogue, sync them, and write the manifest."""
        documents, chunks, size = self.catalog.counts()
        self._lexical.commit()
        self._lexical.wait_merging_threads()
        self.catalog.finish()
        _close_chroma(self._client)
        now = time.time()
        manifest = Manifest(
            number, now, documents, chunks, size, round(now - self._started, 3), pipeline, fingerprint, dead, report
        )
        for path in self.folder.rglob("*"):
            sync(path)
        write_manifest(self.folder, manifest)
        return manifest

    def close(self) -> None:
        """Let go of the files without finishing; the folder is of no use then."""
        _close_chroma(self._client)


def verify(folder: Path) -> None:
    """Check, in a process that did not write it, that both legs and the catalogue hold the same chunks and answer.

    Raises:
        BaseError: saying what differs.
    """
    generation = Generation(folder)
    try:
        expected = generation.catalog.chunk_ids()
        for leg, ids in (("vectors", generation.vector_ids()), ("words", generation.lexical_ids())):
            if ids != expected:
                raise BaseError(
                    f"The new index is not whole: of {len(expected)} chunks the {leg} miss {len(expected - ids)} "
                    f"and have {len(ids - expected)} too many."
                )
        sample = sorted(expected)[:: max(1, len(expected) // 8)]
        vectors = generation.stored_vectors(sample)
        found = sum(generation.by_vector(vector, 10)[0][1] > 0.99 for vector in vectors.values())
        # Not all of them: HNSW does not reach every one of thousands of equal vectors.
        if found * 2 < len(sample):
            raise BaseError(f"The new index is not whole: of {len(sample)} stored vectors only {found} find themselves.")
    finally:
        generation.close()
