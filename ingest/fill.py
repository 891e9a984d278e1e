"""Bring the part folder of a generation to what the plan asks: files are read ahead in other processes, vectors are
computed here, and what is done is written in a thread meanwhile."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ingest.known import KnownVectors
from ingest.plan import Plan
from ingest.prepare import Prepared, prepared
from ingest.report import Report
from ingest.scan import ScannedFile
from kb.catalog import FileState
from kb.embed import Embedder
from kb.index import IndexRow
from kb.jobs import Progress
from kb.records import Skipped
from kb.settings import Settings
from kb.writer import GenerationWriter

Reporter = Callable[[Progress], None]
_FIRST_BATCH, _BATCH = 64, 512  # chunks embedded and written at a time: at first fewer, for the embedder has nothing to do


def fill(
    writer: GenerationWriter,
    plan: Plan,
    skipped: Sequence[Skipped],
    embedder: Embedder,
    known: KnownVectors,
    settings: Settings,
    report: Report,
    progress: Reporter,
) -> None:
    """All of the plan; the writer is left to be finished."""
    with report.stage("write"):
        for state in () if plan.fresh else plan.drop:
            writer.remove_file(state.source, state.path)
        for file in plan.relabel:
            writer.catalog.put_file(_state(file))
        writer.catalog.put_scan_skipped(skipped)
    meter = _Meter(plan.read, progress)
    with prepared(plan.read, settings) as files, ThreadPoolExecutor(1) as writing:
        written: Future[None] | None = None
        for batch in _batches(files, report, meter):
            rows = [row for file in batch for row in file.rows]
            with report.stage("embed"):
                vectors = _vectors(rows, known, embedder, report, meter)
            if written is not None:
                written.result()  # one batch waits at most, and an error there ends the run here
            written = writing.submit(_write, writer, batch, rows, vectors, report)
        if written is not None:
            written.result()


def _batches(files: Iterator[Prepared], report: Report, meter: "_Meter") -> Iterator[list[Prepared]]:
    """Files until their chunks fill a batch; a large file is a batch of its own."""
    batch: list[Prepared] = []
    enough = _FIRST_BATCH
    while True:
        with report.stage("read"):
            file = next(files, None)
        if file is None:
            break
        meter.read(file)
        batch.append(file)
        if sum(len(own.rows) for own in batch) >= enough:
            yield batch
            batch, enough = [], min(2 * enough, _BATCH)
    if batch:
        yield batch


def _vectors(rows: Sequence[IndexRow], known: KnownVectors, embedder: Embedder, report: Report, meter: "_Meter") -> np.ndarray:
    """Vectors of shape (len(rows), dimension); a text that has a vector somewhere is not embedded again."""
    texts = {row.hash: row.text for row in rows}
    vectors = known.find(list(texts))
    new = [hash_ for hash_ in texts if hash_ not in vectors]
    reused = len(rows) - len(new)
    meter.embedded(reused)
    for at in range(0, len(new), _BATCH):
        some = new[at : at + _BATCH]
        vectors |= dict(zip(some, embedder.passages([texts[hash_] for hash_ in some]), strict=True))
        meter.embedded(len(some))
    report.embedded += len(new)
    report.reused += reused
    return np.array([vectors[row.hash] for row in rows], dtype=np.float32).reshape(len(rows), embedder.fingerprint.dimension)


def _write(
    writer: GenerationWriter, batch: Sequence[Prepared], rows: Sequence[IndexRow], vectors: np.ndarray, report: Report
) -> None:
    with report.stage("write"):
        for prepared_file in batch:
            writer.catalog.put_file(_state(prepared_file.file))
            writer.catalog.add_load_skipped(prepared_file.skipped, prepared_file.file.path)
        if rows:
            writer.add([document for prepared_file in batch for document in prepared_file.documents], rows, vectors)


def _state(file: ScannedFile) -> FileState:
    return FileState(file.source, file.path, file.size, file.mtime_ns, file.sha256, file.aliases)


class _Meter:
    """Progress in chunks; how many there will be is estimated from the share of bytes read so far."""

    def __init__(self, files: Sequence[ScannedFile], progress: Reporter) -> None:
        self._progress = progress
        self._files, self._bytes = len(files), sum(file.size for file in files)
        self._files_read = self._bytes_read = self._chunks_read = self._done = 0
        self._started = time.monotonic()
        progress(Progress("read", 0, self._files, "files"))

    def read(self, file: Prepared) -> None:
        self._files_read += 1
        self._bytes_read += file.file.size
        self._chunks_read += len(file.rows)
        if not self._done:
            self._progress(Progress("read", self._files_read, self._files, "files"))

    def embedded(self, chunks: int) -> None:
        self._done += chunks
        whole = self._files_read == self._files or not self._bytes_read
        total = self._chunks_read if whole else max(self._chunks_read, self._chunks_read * self._bytes // self._bytes_read)
        rate = self._done / max(1e-6, time.monotonic() - self._started)
        left = round((total - self._done) / rate, 1) if rate else None
        self._progress(Progress("embed", self._done, total, "chunks", round(rate, 1), left))
