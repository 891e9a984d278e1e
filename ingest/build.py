"""A new generation from what has changed: scan, compare, load, split, embed what is new, write, verify, publish.

The live generation serves until the last step, which moves one pointer; a crash before it leaves a `.part` folder that
the next run removes.
"""

import fcntl
import hashlib
import multiprocessing
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ingest import split
from ingest.load import Loader
from ingest.plan import Live, Plan, make_plan
from ingest.report import Report
from ingest.scan import ScannedFile, scan
from kb import words
from kb.base import base_folder, generation_folder, read_sources
from kb.catalog import Catalog, FileState
from kb.embed import Embedder, load_embedder
from kb.errors import BaseError, SourceError
from kb.index import Generation, GenerationWriter, read_manifest, sync, verify
from kb.jobs import Progress
from kb.records import Chunk, Document, Skipped, Source
from kb.settings import Settings
from kb.state import State

Reporter = Callable[[Progress], None]
_BATCH = 512  # chunks embedded and written at a time
_VERIFY_SECONDS = 600


@dataclass(frozen=True, slots=True)
class _Row:
    """A chunk on its way into the index, with the text that is embedded for it."""

    document: Document
    chunk: Chunk
    text: str
    hash: bytes


def reindex(name: str, settings: Settings, progress: Reporter = lambda _: None) -> Report:
    """Bring the knowledge base `name` up to date with its sources.

    Raises:
        SourceError: it has no sources, or one is gone; nothing was changed.
        BaseError: another run is at work, or the new index failed its check; the old one still serves.
        ModelError: the embedding model cannot be loaded.
    """
    folder = base_folder(settings, name)
    sources = read_sources(folder)
    if not sources:
        raise SourceError(f"Knowledge base {name!r} has no sources yet: `python -m ingest SOURCE --kb {name}` adds one.")
    report = Report(name)
    with _locked(folder):
        _clean(folder)
        progress(Progress("scan", 0, len(sources), "sources"))
        with report.stage("scan"):
            files, skipped = _scan(sources, settings)
        with report.stage("load model"):
            embedder = load_embedder(settings)
        live = _open_live(name, folder, settings)
        pipeline = {"split": split.VERSION, "words": words.VERSION, "chunk_chars": settings.chunk_chars}
        plan = make_plan(live, files, skipped, pipeline, embedder.fingerprint)
        report.added, report.changed, report.removed, report.unchanged = plan.added, plan.changed, plan.removed, plan.unchanged
        report.rebuilt = plan.why
        if live is not None and plan.nothing:
            report.take_counts(live.manifest, live.catalog.skipped())
            return report
        number = _next_number(folder)
        part = generation_folder(folder, number).with_suffix(".part")
        base = None if plan.fresh else live
        writer = GenerationWriter(part, base.folder if base else None)
        try:
            dead = _fill(writer, files, skipped, plan, live, embedder, settings, report, progress)
            with report.stage("write"):
                progress(Progress("write", 0, 1, "generations"))
                writer.finish(
                    number, pipeline, embedder.fingerprint, dead + (base.manifest.dead if base else 0), report.summary()
                )
        except BaseException:
            writer.abandon()
            raise
        with report.stage("verify"):
            progress(Progress("verify", 0, 1, "generations"))
            _verify_elsewhere(part)
        with report.stage("publish"):
            _publish(name, part, number, settings)
        report.generation = number
        published = Generation(generation_folder(folder, number))
        report.take_counts(published.manifest, published.catalog.skipped())
        progress(Progress("publish", 1, 1, "generations"))
    return report


def _scan(sources: Sequence[Source], settings: Settings) -> tuple[list[ScannedFile], list[Skipped]]:
    """All sources; a file with the bytes of one in an earlier source is a copy of it."""
    files: dict[str, ScannedFile] = {}
    skipped: list[Skipped] = []
    for source in sources:
        scanned = scan(source, settings)
        skipped += scanned.skipped
        for file in scanned.files:
            first = files.setdefault(file.sha256, file)
            if first is not file:
                where = f"{first.source}/{first.path}"
                skipped.append(Skipped(file.source, file.path, "duplicate", where))
                aliases = tuple(f"{file.source}/{path}" for path in (file.path, *file.aliases))
                files[file.sha256] = replace(first, aliases=(*first.aliases, *aliases))
    return list(files.values()), skipped


def _fill(
    writer: GenerationWriter,
    files: Sequence[ScannedFile],
    skipped: Sequence[Skipped],
    plan: Plan,
    live: Live | None,
    embedder: Embedder,
    settings: Settings,
    report: Report,
    progress: Reporter,
) -> int:
    """Bring the part folder to what `plan` asks; returns how many chunks were taken out of a copied index."""
    dead = 0
    if not plan.fresh:
        for state in plan.drop:
            ids = writer.catalog.remove_file(state.source, state.path)
            writer.remove(ids)
            dead += len(ids)
        for file in plan.relabel:
            writer.catalog.put_file(_state(file))
    writer.catalog.put_scan_skipped(skipped)
    with report.stage("read"):
        rows = _read(plan.read, writer, settings, progress)
    known = Generation(live.folder) if live and rows and live.manifest.fingerprint == embedder.fingerprint else None
    started = time.monotonic()
    for at in range(0, len(rows), _BATCH):
        batch = rows[at : at + _BATCH]
        with report.stage("embed"):
            vectors = _vectors(batch, known, embedder, report)
        with report.stage("write"):
            writer.add([(row.document, row.chunk) for row in batch], vectors, [row.hash for row in batch])
        done = at + len(batch)
        rate = done / (time.monotonic() - started)
        progress(Progress("embed", done, len(rows), "chunks", round(rate, 1), round((len(rows) - done) / rate, 1)))
    return dead


def _read(files: Sequence[ScannedFile], writer: GenerationWriter, settings: Settings, progress: Reporter) -> list[_Row]:
    rows: list[_Row] = []
    with Loader(settings) as loader:
        for n, file in enumerate(files, start=1):
            loaded = loader.load(file)
            writer.catalog.put_file(_state(file))
            writer.catalog.add_load_skipped(loaded.skipped, file.path)
            for document in loaded.documents:
                writer.catalog.add_document(document)
                for chunk in split.split(document, settings.chunk_chars):
                    text = embedded_text(document, chunk)
                    rows.append(_Row(document, chunk, text, hashlib.blake2b(text.encode(), digest_size=16).digest()))
            progress(Progress("read", n, len(files), "files"))
    return rows


def embedded_text(document: Document, chunk: Chunk) -> str:
    """What is embedded of a chunk: its title and headings too, not its path, so that a moved file keeps its vectors."""
    return "\n".join((" › ".join(dict.fromkeys((document.title, *chunk.heading))), chunk.text))


def _vectors(rows: Sequence[_Row], known: Generation | None, embedder: Embedder, report: Report) -> np.ndarray:
    """Vectors of shape (len(rows), dimension); a text that is in the live generation is not embedded again."""
    texts = {row.hash: row.text for row in rows}
    vectors: dict[bytes, np.ndarray] = {}
    if known:
        holders = known.catalog.embedded(list(texts))
        stored = known.stored_vectors(list(holders.values()))
        vectors = {hash_: stored[id_] for hash_, id_ in holders.items()}
    new = [hash_ for hash_ in texts if hash_ not in vectors]
    if new:
        vectors |= dict(zip(new, embedder.passages([texts[hash_] for hash_ in new]), strict=True))
    report.embedded += len(new)
    report.reused += len(rows) - len(new)
    return np.stack([vectors[row.hash] for row in rows])


def _state(file: ScannedFile) -> FileState:
    return FileState(file.source, file.path, file.size, file.mtime_ns, file.sha256, file.aliases)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer a knowledge base. The kernel lets the lock go with the process, however that ends."""
    with (folder / "writer.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise BaseError(f"Knowledge base {folder.name!r} is being indexed already by {file.read().strip()}.") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield


def _clean(folder: Path) -> None:
    """Remove what a crashed run left behind."""
    for part in (folder / "generations").glob("*.part"):
        shutil.rmtree(part)


def _open_live(name: str, folder: Path, settings: Settings) -> Live | None:
    """The live generation; None when there is none or it cannot be used, which a build from nothing mends."""
    number = State(settings).live(name)
    if number is None:
        return None
    own = generation_folder(folder, number)
    try:
        return Live(own, read_manifest(own), Catalog(own))
    except (BaseError, sqlite3.Error):
        return None


def _next_number(folder: Path) -> int:
    return 1 + max((int(path.name) for path in (folder / "generations").glob("[0-9]" * 4)), default=0)


def _verify_elsewhere(part: Path) -> None:
    """`verify` in a fresh process: one that wrote an index sees its own memory, not what is on disk."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(verify, part).result(_VERIFY_SECONDS)


def _publish(name: str, part: Path, number: int, settings: Settings) -> None:
    """Rename, move the pointer, and keep only the generation before this one to go back to."""
    state = State(settings)
    before = state.live(name)
    part.rename(part.with_suffix(""))
    sync(part.parent)
    state.set_live(name, number)
    for old in part.parent.glob("[0-9]" * 4):
        if int(old.name) not in (number, before):
            shutil.rmtree(old)
