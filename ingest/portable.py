"""A knowledge base as one zip file, to be used elsewhere without embedding anything again.

In it: manifest.json, sources.json, catalog.db (files and documents), texts.db (their texts and chunks), and vectors.npy,
whose rows are those of the chunks in the order of their ids.
What comes in is foreign. Its catalogue is read row by row into a fresh one (catalog_copy.py), the words are cut
here, and a few vectors are computed again to see that they are of the model that they say they are of.
"""

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ingest.bases import refuse_taken
from ingest.catalog_copy import ForeignCatalog, foreign_manifest, foreign_sources
from ingest.lock import locked
from ingest.prepare import index_row
from ingest.publish import add_generation
from ingest.report import Report
from ingest.sources import remember
from kb import catalog, words
from kb.base import KnowledgeBase, base_folder
from kb.embed import load_embedder
from kb.errors import BaseError
from kb.index import IndexRow
from kb.manifest import MANIFEST, Manifest
from kb.segment import TEXTS, TextsWriter
from kb.settings import Settings
from kb.writer import GenerationWriter

_VECTORS, _SOURCES = "vectors.npy", "sources.json"
_MOST = {MANIFEST: 16 * 1024**2, _SOURCES: 16 * 1024**2, catalog.FILE: 64 * 1024**3, TEXTS: 64 * 1024**3, _VECTORS: 256 * 1024**3}
_RATIO = 200
_BATCH = 512  # documents copied at a time, and vectors
_SAMPLE = 16  # vectors computed again
_SAME = 0.98  # cosine; the same model on another machine or precision gives .999


def export_base(settings: Settings, name: str, file: Path) -> None:
    """Write the live generation of a knowledge base, and the list of its sources, to the new file `file`.

    Raises:
        BaseError: it was never indexed, is being indexed, or the file is there already or cannot be written.
    """
    base = KnowledgeBase.open(name, settings)
    if file.exists():
        raise BaseError(f"{file} is there already: choose another name.")
    part = file.with_name(f"{file.name}.part")
    with locked(base.folder):
        try:
            _write_export(base, part)
            part.rename(file)
        except OSError as error:
            raise BaseError(f"{file} cannot be written ({error.strerror or error}): choose another place.") from error
        finally:
            part.unlink(missing_ok=True)


def _write_export(base: KnowledgeBase, part: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".export-", dir=part.absolute().parent) as temporary:
        snapshot = base.snapshot()
        vectors = Path(temporary) / _VECTORS
        ids = sorted(snapshot.chunk_ids())
        shape = (len(ids), snapshot.manifest.fingerprint.dimension)
        with vectors.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for at in range(0, len(ids), _BATCH):
                some = ids[at : at + _BATCH]
                stored = snapshot.stored_vectors(some)
                stream.write(np.array([stored[id_] for id_ in some], dtype="<f4").tobytes())
        texts = TextsWriter(Path(temporary))
        for _, segment, keys in snapshot.parts():
            texts.add(segment.packed_texts([*keys]), segment.chunks_of([*keys]))
        texts.finish()
        sources = json.dumps([asdict(source) for source in base.sources()], ensure_ascii=False)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
            zipped.write(snapshot.folder / MANIFEST, MANIFEST)
            zipped.writestr(_SOURCES, sources)
            zipped.write(snapshot.folder / catalog.FILE, catalog.FILE)
            zipped.write(Path(temporary) / TEXTS, TEXTS)
            zipped.write(vectors, _VECTORS, zipfile.ZIP_STORED)


def import_base(settings: Settings, name: str, file: Path) -> Report:
    """Make the new knowledge base `name` from an exported file. Its sources are paused, for their folders are elsewhere.

    Raises:
        BaseError: there is one of that name, or the file is damaged or made by another embedding model; nothing was made.
    """
    folder = base_folder(settings, name)
    report = Report(name)
    refuse_taken(settings, name)
    with locked(folder):
        refuse_taken(settings, name)
        try:
            with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as temporary:
                _unpack(file, Path(temporary))
                _import(settings, name, Path(temporary), report)
        except OSError as error:
            raise BaseError(f"{file} cannot be imported ({error.strerror or error}).") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
            raise BaseError(f"{file} is damaged or no exported knowledge base ({error}).") from error
        finally:
            if not (folder / _SOURCES).exists():
                shutil.rmtree(folder, ignore_errors=True)
    return report


def _unpack(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file) as zipped:
        infos = zipped.infolist()
        if sorted(info.filename for info in infos) != sorted(_MOST):
            raise ValueError(f"it does not hold exactly {', '.join(_MOST)}")
        for info in infos:
            most = min(_MOST[info.filename], _RATIO * max(info.compress_size, 1024))
            if info.file_size > most:
                raise ValueError(f"{info.filename} is too large")
            with zipped.open(info) as stream, (folder / info.filename).open("wb") as out:
                while data := stream.read(1024**2):
                    if out.tell() + len(data) > info.file_size:
                        raise ValueError(f"{info.filename} is larger than it says")
                    out.write(data)


def _import(settings: Settings, name: str, temporary: Path, report: Report) -> None:
    folder = base_folder(settings, name)
    manifest = foreign_manifest(temporary / MANIFEST)
    sources = foreign_sources(temporary / _SOURCES, folder)
    embedder = load_embedder(settings)
    if manifest.fingerprint != embedder.fingerprint:
        ours = f"the settings say {embedder.fingerprint}"
        raise BaseError(f"The file was made with {manifest.fingerprint}, but {ours}: set embed_model to the same.")
    vectors = np.load(temporary / _VECTORS, mmap_mode="r", allow_pickle=False)
    shape = (manifest.chunks, embedder.fingerprint.dimension)
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.dtype("<f4") or vectors.shape != shape:
        raise ValueError(f"{_VECTORS} is not {shape[0]} × {shape[1]} numbers")
    report.commits = manifest.report["commits"]
    foreign = ForeignCatalog(temporary / catalog.FILE, temporary / TEXTS)
    try:
        rows_of = {id_: row for row, id_ in enumerate(foreign.chunk_ids())}
        if len(rows_of) != manifest.chunks:
            raise ValueError(f"{TEXTS} holds {len(rows_of)} chunks instead of {manifest.chunks}")
        _check_sample(foreign, vectors, rows_of, embedder.passages)

        def write(part: Path) -> None:
            with GenerationWriter(part) as writer:
                _fill(writer, foreign, vectors, rows_of, manifest, report)

        report.generation = add_generation(name, settings, write, report, lambda _: None, embedder=embedder)
    finally:
        foreign.close()
    report.documents, report.chunks, report.bytes = manifest.documents, manifest.chunks, manifest.bytes
    report.reused = manifest.chunks
    remember(folder, sources)


def _rows(foreign: ForeignCatalog) -> Iterator[IndexRow]:
    for document, chunks in foreign.documents():
        yield from (index_row(document, chunk) for chunk in chunks)


def _check_sample(foreign: ForeignCatalog, vectors: np.ndarray, rows_of: dict[str, int], passages: Any) -> None:
    step = max(1, len(rows_of) // _SAMPLE)
    rows = list(islice(_rows(foreign), 0, step * _SAMPLE, step))
    if not rows:
        return
    computed = passages([row.text for row in rows])
    stored = np.array([vectors[rows_of[row.chunk.id]] for row in rows])
    if not np.isfinite(stored).all() or np.abs(stored).max() > 1e6:
        raise ValueError(f"{_VECTORS} holds what is no vector")
    norms = np.linalg.norm(stored, axis=1) * np.linalg.norm(computed, axis=1)
    alike = np.sum(stored * computed, axis=1) / np.maximum(norms, 1e-12)
    if not np.all(alike >= _SAME):
        raise ValueError("its vectors are not those of its texts")


def _fill(
    writer: GenerationWriter,
    foreign: ForeignCatalog,
    vectors: np.ndarray,
    rows_of: dict[str, int],
    manifest: Manifest,
    report: Report,
) -> None:
    for state in foreign.files():
        writer.catalog.put_file(state)
    writer.catalog.put_scan_skipped(foreign.skipped())
    documents = foreign.documents()
    while some := list(islice(documents, _BATCH)):
        rows = [index_row(document, chunk) for document, chunks in some for chunk in chunks]
        own = np.array([vectors[rows_of[row.chunk.id]] for row in rows], dtype=np.float32)
        if not np.isfinite(own).all():
            raise ValueError(f"{_VECTORS} holds what is no number")
        writer.add([document for document, _ in some], rows, own)
    if writer.catalog.counts() != (manifest.documents, manifest.chunks, manifest.bytes):
        raise ValueError(f"{catalog.FILE} and {TEXTS} do not hold what {MANIFEST} says")
    pipeline = manifest.pipeline | {"words": words.VERSION}  # they were cut here
    number = int(writer.folder.stem)
    writer.finish(pipeline, manifest.fingerprint, replace(report, generation=number).summary())
