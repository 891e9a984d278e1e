"""What a source holds: each file once, with its hash, and every other path with the reason it is left out."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.files import MIB, Unreadable, read_file, shown
from ingest.ignore import Ignore
from ingest.prose import LICENCE_NAME, verdict
from kb.decode import Undecodable, decode
from kb.errors import SourceError
from kb.records import DocumentKind, Skipped, Source
from kb.settings import Settings

TEXT_FORMATS: dict[str, DocumentKind] = {"md": "markdown", "markdown": "markdown", "txt": "text", "rst": "rst"}
ROW_FORMATS = frozenset({"ipynb", "jsonl"})
FOREIGN_FORMATS = frozenset({"html", "htm", "pdf", "docx", "pptx", "xlsx", "epub", "odt"})
FORMATS = TEXT_FORMATS.keys() | ROW_FORMATS | FOREIGN_FORMATS


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file to index. `path` is relative to its source and fit to show; `aliases` are byte-identical copies.

    `absolute` is where it really is: a name that is not UTF-8 or holds line breaks is written with escapes in `path`.
    """

    source: str
    path: str
    absolute: Path
    size: int
    mtime_ns: int
    sha256: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """Every path under a source is either in `files`, sorted by path, or in `skipped` (a pruned folder ends in "/")."""

    files: tuple[ScannedFile, ...]
    skipped: tuple[Skipped, ...]


def scan(source: Source, settings: Settings) -> Scan:
    """Walk `source` without following links, and hash what is to be indexed.

    Raises:
        SourceError: the source itself is not there or cannot be listed.
    """
    root = Path(source.path).expanduser().resolve()
    if root.is_file():
        found: Iterator[_Found] = iter([(root, shown(root.name), None)])
    elif root.is_dir():
        found = _walk(root, settings.data_base)
    else:
        raise SourceError(f"Source {source.name!r}: there is no file or folder {root}.")
    files: list[ScannedFile] = []
    skipped: list[Skipped] = []
    for absolute, path, why in found:
        try:
            if why is not None:
                raise why
            files.append(_examine(source.name, absolute, path, settings.max_file_mib * MIB))
        except Unreadable as error:
            skipped.append(Skipped(source.name, path, error.reason, error.detail))
    kept, copies = _without_copies(files)
    return Scan(tuple(kept), tuple(sorted(skipped + copies, key=lambda s: s.path)))


def format_of(path: Path) -> str:
    """A file's format by its name, in the terms of the sets above; a README without an extension is plain text."""
    return "txt" if path.name.lower() == "readme" else _extension(path.name)


_Found = tuple[Path, str, Unreadable | None]  # where it is, its path to show, and why it is left out if it is


def _walk(root: Path, own: Path) -> Iterator[_Found]:
    """Everything under `root`, folder by folder; a folder that is left out (`own` is one) comes once, with "/" at its end."""
    pending: list[tuple[str, Ignore]] = [("", Ignore())]
    while pending:
        folder, ignore = pending.pop()
        try:
            with os.scandir(root / folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if not folder:
                raise SourceError(f"The folder {root} cannot be listed: {error.strerror}.") from error
            gone = isinstance(error, FileNotFoundError)
            yield root / folder, shown(folder) + "/", Unreadable(*(("vanished",) if gone else ("unreadable", error.strerror)))
            continue
        if any(entry.name == ".gitignore" for entry in entries):
            ignore = ignore.deeper(root, folder)
        for entry in entries:
            inner = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            why = Unreadable("own") if root / inner == own else _why_not(entry, inner, is_folder, root, ignore)
            if is_folder and why is None:
                pending.append((inner, ignore))
            else:
                yield root / inner, shown(inner) + "/" * is_folder, why


def pruned(root: Path, path: Path, settings: Settings) -> bool:
    """Whether a path below `root` is hidden, ignored or InternKB's own, as far as its name tells; a .gitignore is not."""
    ignore, inner = Ignore(), ""
    parts = path.relative_to(root).parts
    for n, part in enumerate(parts, 1):
        if root / inner / part == settings.data_base or (part.startswith(".") and (part != ".gitignore" or n < len(parts))):
            return True
        ignore = ignore.deeper(root, inner)
        inner = f"{inner}/{part}" if inner else part
        if ignore.names(inner + "/" * (n < len(parts) or path.is_dir())):
            return True
    return False


def _why_not(entry: os.DirEntry[str], path: str, is_folder: bool, root: Path, ignore: Ignore) -> Unreadable | None:
    """The reasons that can be seen without opening the file."""
    if entry.name.startswith("."):
        return Unreadable("hidden")
    if named_by := ignore.names(path + "/" * is_folder):
        return Unreadable("gitignored", named_by)
    if entry.is_symlink():
        return _link(root / path, root)
    if is_folder:
        return None
    if not entry.is_file(follow_symlinks=False):
        return Unreadable("special")
    extension = format_of(Path(entry.name))
    if extension in FORMATS:
        return None
    if LICENCE_NAME.fullmatch(entry.name):
        return Unreadable("licence")
    return Unreadable("format", f".{extension}" if extension else "no extension")


def _extension(name: str) -> str:
    return Path(name).suffix[1:].lower()


def _link(link: Path, root: Path) -> Unreadable:
    """No link is followed: what it leads to is out of the source, above it, or found where it really lies."""
    try:
        target = link.resolve(strict=True)
    except FileNotFoundError:
        return Unreadable("unreadable", "a link to nothing")
    except (OSError, RuntimeError):  # a circle: Python 3.11 raises RuntimeError
        return Unreadable("link")
    if not target.is_relative_to(root) or link.is_relative_to(target):
        return Unreadable("link")
    return Unreadable("linked", shown(target.relative_to(root).as_posix()))


def _examine(source: str, absolute: Path, path: str, limit: int) -> ScannedFile:
    """Read one file and judge what it is.

    Raises:
        Unreadable: with the reason why it is left out.
    """
    data, status = read_file(absolute, limit)
    if not data:
        raise Unreadable("empty", "0 bytes")
    if format_of(absolute) in TEXT_FORMATS:
        try:
            text, _ = decode(data)
        except Undecodable as error:
            raise Unreadable(error.reason, str(error)) from error
        if why := verdict(absolute.name, absolute.parent.name, text):
            raise Unreadable(*why)
    return ScannedFile(source, path, absolute, len(data), status.st_mtime_ns, hashlib.sha256(data).hexdigest())


def _without_copies(files: list[ScannedFile]) -> tuple[list[ScannedFile], list[Skipped]]:
    """Of byte-identical files the one nearest the top is kept, the first by name among equals."""
    groups: dict[str, list[ScannedFile]] = {}
    for file in sorted(files, key=lambda file: (file.path.count("/"), file.path)):
        groups.setdefault(file.sha256, []).append(file)
    kept = [replace(first, aliases=tuple(copy.path for copy in rest)) for first, *rest in groups.values()]
    copies = [Skipped(first.source, copy.path, "duplicate", first.path) for first, *rest in groups.values() for copy in rest]
    return sorted(kept, key=lambda file: file.path), copies
