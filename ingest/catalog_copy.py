"""What an exported file says, checked before any of it is believed: no row, name or number gets further than its type and
size allow. Anything else is a ValueError, with what is wrong."""

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, get_args

from ingest import git
from kb.catalog import FileState
from kb.embed import Fingerprint
from kb.errors import SourceError
from kb.manifest import FORMAT, Manifest
from kb.records import WHY_SKIPPED, Chunk, Document, DocumentKind, Skipped, Source, document_of

_ROW_BYTES = 64 * 1024**2
_TEXT_BYTES = 256 * 1024**2
_CATALOG, _TEXTS = {"files", "documents", "skipped"}, {"texts", "chunks"}
_KEY, _CHUNK_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{32}-[0-9a-f]{16}")
_KINDS = get_args(DocumentKind)


def _of(type_: type, *values: Any) -> None:
    for value in values:
        if type(value) is not type_ or (isinstance(value, int) and not 0 <= value < 2**63):
            raise ValueError(f"{str(value)[:60]!r} is not of the type {type_.__name__}")


def _strings(text: Any) -> tuple[str, ...]:
    _of(str, text)
    value = json.loads(text)
    _of(list, value)
    _of(str, *value)
    return tuple(value)


def foreign_manifest(path: Path) -> Manifest:
    """A manifest with fields of the right types; of its report only the commits are kept."""
    value = json.loads(path.read_text("utf-8"))
    _of(dict, value)
    _of(dict, value.get("fingerprint"), value.get("pipeline"), value.get("report"))
    if value.get("format") != FORMAT:
        raise ValueError("it was written by another version of InternKB")
    try:
        fingerprint = Fingerprint(**value["fingerprint"])
    except TypeError as error:
        raise ValueError("its embedding model is not named") from error
    _of(int, *(value.get(key) for key in ("documents", "chunks", "bytes")), fingerprint.dimension, fingerprint.max_tokens)
    commits = value["report"].get("commits", {})
    _of(dict, commits)
    for name, commit in commits.items():
        _of(dict, commit)
        _of(str, name, commit.get("url"), commit.get("commit"))
    kept = {name: {"url": commit["url"], "commit": commit["commit"]} for name, commit in commits.items()}
    pipeline = {key: value["pipeline"].get(key) for key in ("split", "words", "chunk_chars")}
    _of(str, pipeline["split"], pipeline["words"])
    _of(int, pipeline["chunk_chars"])
    return Manifest(
        0, 0.0, value["documents"], value["chunks"], value["bytes"], 0.0, pipeline, fingerprint, report={"commits": kept}
    )


def foreign_sources(path: Path, folder: Path) -> list[Source]:
    """The sources, paused. Clones are made anew where they are taken up; uploads stayed where they were."""
    value = json.loads(path.read_text("utf-8"))
    _of(list, value)
    sources: list[Source] = []
    for row in value:
        _of(dict, row)
        name, url, branch = row.get("name"), row.get("url", ""), row.get("branch", "")
        _of(str, name, row.get("path"), url, branch)
        place = Path(row["path"])
        if url:
            try:
                git.parse_url(f"{url}#{branch}" if branch else url)
                place = git.clone_folder(folder, url, branch)
            except SourceError:  # a repository of the other machine
                url = branch = ""
        if not url:
            place = folder / "elsewhere" / place.name
        if not name.isprintable() or name in {source.name for source in sources}:
            raise ValueError(f"{name!r} cannot name a source")
        sources.append(Source(name, str(place), paused=True, url=url, branch=branch))
    return sources


class _ForeignTables:
    """An SQLite file that somebody else made, opened for reading, with nothing in it that computes."""

    def __init__(self, path: Path, tables: Set[str]) -> None:
        self._name = path.name
        self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW_BYTES)
        self._connection.execute("PRAGMA trusted_schema = OFF")
        self._connection.execute("PRAGMA cell_size_check = ON")
        for kind, name, sql in self.rows("SELECT type, name, sql FROM sqlite_master"):
            plain = kind == "index" or (kind == "table" and name in tables and str(sql).upper().startswith("CREATE TABLE"))
            # A generated column or an index on an expression would compute; ours have neither.
            if not plain or any(word in str(sql).upper() for word in ("GENERATED", " AS ", "WHERE")):
                raise ValueError(f"{path.name} holds {str(name)[:60]!r}")

    def rows(self, sql: str, parameters: tuple = ()) -> Iterator[tuple]:
        try:
            yield from self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise ValueError(f"{self._name} cannot be read: {error}") from error

    def close(self) -> None:
        self._connection.close()


class ForeignCatalog:
    """Rows of a catalogue and of texts that somebody else made, each checked."""

    def __init__(self, catalog: Path, texts: Path) -> None:
        self._catalog = _ForeignTables(catalog, _CATALOG)
        self._texts = _ForeignTables(texts, _TEXTS)

    def close(self) -> None:
        self._catalog.close()
        self._texts.close()

    def chunk_ids(self) -> list[str]:
        """Sorted as strings are in Python, which is the order of the vectors."""
        ids = [row[0] for row in self._texts.rows("SELECT id FROM chunks")]
        _of(str, *ids)
        if not all(map(_CHUNK_ID.fullmatch, ids)) or len(set(ids)) != len(ids):
            raise ValueError("an id of a chunk is not one")
        return sorted(ids)

    def files(self) -> Iterator[FileState]:
        for source, path, size, mtime_ns, sha256, aliases in self._catalog.rows(
            "SELECT source, path, size, mtime_ns, sha256, aliases FROM files"
        ):
            _of(str, source, path, sha256)
            _of(int, size, mtime_ns)
            yield FileState(source, path, size, mtime_ns, sha256, _strings(aliases))

    def skipped(self) -> list[Skipped]:
        rows = list(self._catalog.rows("SELECT source, path, reason, detail FROM skipped WHERE file = ''"))
        for row in rows:
            _of(str, *row)
            if row[2] not in WHY_SKIPPED:
                raise ValueError(f"{row[2][:60]!r} is no reason to leave a file out")
        return [Skipped(*row) for row in rows]

    def documents(self) -> Iterator[tuple[Document, list[Chunk]]]:
        """Each document with its chunks, in order."""
        for key, source, path, file, title, kind, aliases in self._catalog.rows(
            "SELECT key, source, path, file, title, kind, aliases FROM documents ORDER BY key"
        ):
            _of(str, key, source, path, file, title, kind)
            packed = next(self._texts.rows("SELECT text FROM texts WHERE document = ?", (key,)), (None,))[0]
            _of(bytes, packed)
            if not _KEY.fullmatch(key):
                raise ValueError(f"{key[:60]!r} is no key of a document")
            if kind not in _KINDS:
                raise ValueError(f"{kind[:60]!r} is no kind of document")
            unpacker = zlib.decompressobj()
            text = unpacker.decompress(packed, _TEXT_BYTES)
            if not unpacker.eof:
                raise ValueError(f"the text of {path[:60]!r} is cut off or too long")
            yield Document(key, source, path, file, title, text.decode(), kind, _strings(aliases)), list(self._chunks(key))

    def _chunks(self, key: str) -> Iterator[Chunk]:
        for id_, document, ordinal, heading, start, end, text in self._texts.rows(
            'SELECT id, document, ordinal, heading, start, "end", text FROM chunks WHERE document = ? ORDER BY ordinal', (key,)
        ):
            _of(str, id_, document, text)
            _of(int, ordinal, start, end)
            if document_of(id_) != key:
                raise ValueError("a chunk belongs to another document than its id says")
            yield Chunk(id_, document, ordinal, _strings(heading), start, end, text)
