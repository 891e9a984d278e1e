"""Files to rows ready for the embedder: read, split, cut into words, in worker processes that run ahead of it."""

import hashlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice

from ingest import split
from ingest.child import die_with_parent
from ingest.load import Loader
from ingest.scan import ScannedFile
from kb.errors import BaseError
from kb.index import IndexRow, lexical_texts
from kb.records import Chunk, Document, Skipped, under_headings
from kb.settings import Settings

_ALONE_FILES, _ALONE_BYTES = 20, 1_000_000  # less than this is done before a worker has started
_AHEAD = 64  # files a worker may be ahead of the embedder: bounds what waits in memory


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a file gives."""

    file: ScannedFile
    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...]
    rows: tuple[IndexRow, ...]


def prepare(loader: Loader, settings: Settings, file: ScannedFile) -> Prepared:
    """One file, in this process."""
    loaded = loader.load(file)
    documents, skipped, rows = [], list(loaded.skipped), []
    for document in loaded.documents:
        chunks = split.split(document, settings.chunk_chars)
        if chunks:
            documents.append(document)
            rows += [index_row(document, chunk) for chunk in chunks]
        else:
            skipped.append(Skipped(file.source, document.path, "empty", "nothing but navigation, images or markup"))
    return Prepared(file, tuple(documents), tuple(skipped), tuple(rows))


def index_row(document: Document, chunk: Chunk) -> IndexRow:
    """A chunk with what is derived from it: the text to embed and its digest, and its lexical form."""
    text = under_headings(document.title, chunk)  # not its path, so that a moved file keeps its vectors
    return IndexRow(
        document, chunk, text, hashlib.blake2b(text.encode(), digest_size=16).digest(), *lexical_texts(document, chunk)
    )


@contextmanager
def prepared(files: Sequence[ScannedFile], settings: Settings) -> Iterator[Iterator[Prepared]]:
    """All of `files`, in their order; leaving the context ends the workers."""
    if len(files) < _ALONE_FILES and sum(file.size for file in files) < _ALONE_BYTES:
        with Loader(settings) as loader:
            yield map(partial(prepare, loader, settings), files)
        return
    # A fresh interpreter: this process may have the embedder's threads already, which a fork would not survive.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, (os.cpu_count() or 2) // 2), context, _start, (settings,)) as pool:
        try:
            yield _in_order(pool, files)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, files: Sequence[ScannedFile]) -> Iterator[Prepared]:
    rest = iter(files)
    waiting: list[Future[Prepared]] = [pool.submit(_work, file) for file in islice(rest, _AHEAD)]
    while waiting:
        try:
            done = waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise BaseError(
                "A process that reads files ended abruptly: was it out of memory, or is this a script that calls reindex() "
                "outside of `if __name__ == '__main__'`?"
            ) from error
        waiting += [pool.submit(_work, file) for file in islice(rest, 1)]
        yield done


_worker: partial[Prepared]


def _start(settings: Settings) -> None:
    die_with_parent()
    global _worker  # noqa: PLW0603 - the one place where a worker process can keep its reader
    _worker = partial(prepare, Loader(settings), settings)


def _work(file: ScannedFile) -> Prepared:
    return _worker(file)
