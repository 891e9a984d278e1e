"""One generation of an index on disk: a catalogue and a lexical index of its own, segments that it shares with others,
and a manifest written last.

kbs/<name>/generations/0007/{catalog.db,words/,manifest.json}
kbs/<name>/segments/0003-1f2e3d4c/{chroma/,texts.db}

A generation never changes once it has its manifest, nor does a segment that one names.
"""

import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from heapq import nlargest
from pathlib import Path

import numpy as np

from kb import words
from kb.catalog import Catalog, DocumentInfo
from kb.errors import BaseError
from kb.example_questions import Language, example_questions
from kb.learned import Learned, read_learned
from kb.lexical import LexicalIndex
from kb.links import has_lines, permalink
from kb.manifest import SegmentInfo, read_manifest
from kb.places import Places
from kb.records import Chunk, Document, Hit, Skipped, document_of
from kb.segment import Segment, unpack_text
from kb.translate import Translator

_EXAMPLES_FROM = 1000  # documents
_open_segments: weakref.WeakValueDictionary[Path, Segment] = weakref.WeakValueDictionary()
_segments_lock = threading.Lock()
_searching = ThreadPoolExecutor(os.cpu_count() or 2, "segments")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A chunk on its way into the index: `text` is embedded (`hash` is its digest), `words` are its lexical form, of which
    `above` stand in its path, title and headings."""

    document: Document
    chunk: Chunk
    text: str
    hash: bytes
    words: str
    above: str


def lexical_texts(document: Document, chunk: Chunk) -> tuple[str, str]:
    """What the lexical leg sees of a chunk, with where it stands, and where it stands alone; words joined by spaces."""
    above = words.words("\n".join((document.path, document.title, *chunk.heading)))
    return " ".join((*above, *words.words(chunk.text))), " ".join(above)


def segments_folder(generation: Path) -> Path:
    """Where the segments of a generation stand, given the folder of that generation."""
    return generation.parent.parent / "segments"


def _open_segment(folder: Path) -> Segment:
    """Segments are shared by the generations that are open in this process, so that what was read stays in memory."""
    with _segments_lock:
        return _open_segments.get(folder) or _open_segments.setdefault(folder, Segment(folder))


class Generation:
    """A published generation, open for reading by any number of threads.

    Raises, as its methods do:
        BaseError: it is incomplete or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.catalog = Catalog(folder)
        self._lexical = LexicalIndex(folder / "words")
        self._segments = {info.name: _open_segment(segments_folder(folder) / info.name) for info in self.manifest.segments}
        # Also when the last question that holds it lets go, after another generation has become the live one.
        self.close = weakref.finalize(self, self.catalog.close)

    def warm(self) -> None:
        """Read the vectors into memory now, rather than at the first question."""
        for segment in self._segments.values():
            segment.warm()

    @cached_property
    def learned(self) -> Learned:
        """What it knows of its own documents."""
        return read_learned(self.folder)

    @cached_property
    def translator(self) -> Translator:
        """What the words of a question are called in the other language of its documents."""
        return Translator(self.learned.glossary, self._lexical.frequency, self.chinese)

    @cached_property
    def places(self) -> Places:
        """The names that questions may give to parts of it."""
        return Places(self.catalog.places())

    @cached_property
    def chinese(self) -> float:
        """The share of its documents that are in Chinese, 0 to 1."""
        return self.catalog.chinese()

    @property
    def number(self) -> int:
        return self.manifest.number

    def documents(self) -> list[DocumentInfo]:
        return self.catalog.documents()

    def skipped(self) -> list[Skipped]:
        return self.catalog.skipped()

    def document(self, key: str) -> Document:
        """Raises BaseError for a key that is not in this generation."""
        segment = self.catalog.segments([key]).get(key)
        if segment is None:
            raise BaseError("That document is not in the knowledge base any more.")
        [(_, packed)] = self._segments[segment].packed_texts([key])
        return self.catalog.document(key, unpack_text(packed))

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
        headings = [
            heading
            for segment, keys in self._by_segment(self.catalog.some_keys(_EXAMPLES_FROM)).items()
            for heading in segment.headings(keys)
        ]
        return example_questions(headings, language, count)

    def some_chunks(self, documents: int) -> list[Chunk]:
        """The chunks of at most so many documents, drawn evenly."""
        held = self._by_segment(self.catalog.some_keys(documents))
        return [chunk for segment, keys in held.items() for chunk, _ in segment.chunks_of(keys)]

    def _by_segment(self, documents: Sequence[str]) -> dict[Segment, list[str]]:
        """The documents that are in this generation, by the segment that holds them."""
        held: defaultdict[Segment, list[str]] = defaultdict(list)
        for key, name in self.catalog.segments(documents).items():
            held[self._segments[name]].append(key)
        return held

    def _ids_by_segment(self, ids: Sequence[str]) -> dict[Segment, list[str]]:
        of_document: defaultdict[str, list[str]] = defaultdict(list)
        for id_ in ids:
            of_document[document_of(id_)].append(id_)
        held = self._by_segment(list(of_document))
        return {segment: [id_ for key in keys for id_ in of_document[key]] for segment, keys in held.items()}

    def by_vector(self, vector: np.ndarray, limit: int) -> list[tuple[str, float]]:
        """(chunk id, cosine similarity) of the nearest chunks, best first; `vector` of shape (dimension,)."""
        near = partial(self._near, vector.tolist(), limit)
        infos = self.manifest.segments
        found = _searching.map(near, infos) if len(infos) > 2 else map(near, infos)
        return nlargest(limit, (pair for own in found for pair in own), key=lambda pair: pair[1])

    def _near(self, vector: list[float], limit: int, info: SegmentInfo) -> list[tuple[str, float]]:
        """The nearest chunks of one segment that belong to this generation."""
        segment = self._segments[info.name]
        if info.live == info.rows:
            return segment.near(vector, min(limit, info.rows))
        want = limit
        while True:
            want = min(2 * want, info.rows)
            found = segment.near(vector, want)
            holders = self.catalog.segments([*{document_of(id_) for id_, _ in found}])
            live = [pair for pair in found if holders.get(document_of(pair[0])) == info.name]
            if len(live) >= limit or want == info.rows:
                return live[:limit]

    def by_words(self, weighted: Mapping[str, float], limit: int) -> list[tuple[str, float]]:
        """(chunk id, BM25 score) of the chunks with any of the words, each word with its weight; best first."""
        return self._lexical.search(weighted, limit)

    def together(self, weighted: Mapping[str, float], among: Sequence[str]) -> float:
        """The largest sum of weights of those words that one of the chunks `among` has."""
        return self._lexical.together(weighted, among)

    def frequency(self, word: str) -> int:
        """In how many chunks `word` occurs."""
        return self._lexical.frequency(word)

    def chunks(self, ids: Sequence[str]) -> dict[str, Chunk]:
        found: dict[str, Chunk] = {}
        for segment, own in self._ids_by_segment(ids).items():
            found |= segment.chunks(own)
        return found

    def embedded(self, hashes: Sequence[bytes]) -> dict[bytes, tuple[Segment, str]]:
        """Hash of an embedded text → the segment and the chunk that have its vector, also where the chunk counts no more."""
        found: dict[bytes, tuple[Segment, str]] = {}
        for segment in self._segments.values():
            missing = [hash_ for hash_ in hashes if hash_ not in found]
            found |= {hash_: (segment, id_) for hash_, id_ in segment.embedded(missing).items()}
        return found

    def stored_vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Chunk id → its vector, shape (dimension,)."""
        vectors: dict[str, np.ndarray] = {}
        for segment, own in self._ids_by_segment(ids).items():
            vectors |= segment.vectors(own)
        return vectors

    def parts(self) -> Iterator[tuple[SegmentInfo, Segment, dict[str, int]]]:
        """Each segment with the documents that count in it, and how many chunks each has."""
        for info in self.manifest.segments:
            yield info, self._segments[info.name], self.catalog.keys_in(info.name)

    def chunk_ids(self) -> set[str]:
        return {id_ for _, segment, keys in self.parts() for id_ in segment.chunk_ids() if document_of(id_) in keys}

    def vector_ids(self) -> set[str]:
        return {id_ for _, segment, keys in self.parts() for id_ in segment.vector_ids() if document_of(id_) in keys}

    def lexical_ids(self) -> set[str]:
        return self._lexical.ids()

    def has_words_of(self, id_: str) -> bool:
        """Whether the lexical leg has a chunk, once."""
        return self._lexical.has_once(id_)

    @property
    def lexical_count(self) -> int:
        return self._lexical.count


def verify(folder: Path, trusted: Collection[str] = ()) -> None:
    """Check, in a process that did not write it, that both legs and the catalogue hold the same chunks and answer.

    Segments that are `trusted` were checked when they were written; without any, everything is compared.

    Raises:
        BaseError: saying what differs.
    """
    generation = Generation(folder)
    expected: set[str] = set()
    for info, segment, keys in generation.parts():
        if info.name in trusted:
            continue
        ids, counted = segment.chunk_ids(), segment.count_chunks()
        _same(ids, segment.vector_ids(), "vectors")
        if len(ids) != info.rows or any(counted[key] != count for key, count in keys.items()):
            raise BaseError("The new index is not whole: its catalogue counts other chunks than there are.")
        _finds_itself(segment, sorted(ids))
        expected |= {id_ for id_ in ids if document_of(id_) in keys}
    if trusted:
        missing = [id_ for id_ in expected if not generation.has_words_of(id_)]
        _same(expected, expected.difference(missing), "words")
    else:
        _same(expected, generation.lexical_ids(), "words")
    if generation.lexical_count != generation.manifest.chunks:
        raise BaseError(f"The new index is not whole: {generation.lexical_count} words for {generation.manifest.chunks} chunks.")
    generation.close()


def _same(expected: set[str], ids: set[str], leg: str) -> None:
    if ids != expected:
        raise BaseError(
            f"The new index is not whole: of {len(expected)} chunks the {leg} miss {len(expected - ids)} "
            f"and have {len(ids - expected)} too many."
        )


def _finds_itself(segment: Segment, ids: Sequence[str]) -> None:
    sample = ids[:: max(1, len(ids) // 8)]
    found = sum(segment.near(vector.tolist(), 1)[0][1] > 0.99 for vector in segment.vectors(sample).values())
    # Not all of them: HNSW does not reach every one of thousands of equal vectors.
    if found * 2 < len(sample):
        raise BaseError(f"The new index is not whole: of {len(sample)} stored vectors only {found} find themselves.")
