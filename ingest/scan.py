"""What a source holds: each file once, with its hash, and every other path with the reason it is left out."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

from ingest.decode import Undecodable, decode
from ingest.prose import LICENCE_NAME, verdict
from kb.errors import SourceError
from kb.records import DocumentKind, Skipped, Source
from kb.settings import Settings

TEXT_FORMATS: dict[str, DocumentKind] = {"md": "markdown", "markdown": "markdown", "txt": "text", "rst": "rst"}
ROW_FORMATS = frozenset({"ipynb", "jsonl"})
FOREIGN_FORMATS = frozenset({"html", "htm", "pdf", "docx", "pptx", "xlsx", "epub", "odt"})
_READ = TEXT_FORMATS.keys() | ROW_FORMATS | FOREIGN_FORMATS
_MIB = 1024 * 1024


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


class Unreadable(SourceError):
    """A file cannot be read. `reason` and `detail` are those of a Skipped."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason, self.detail = reason, detail


def scan(source: Source, settings: Settings) -> Scan:
    """Walk `source` without following links, and hash what is to be indexed.

    Raises:
        SourceError: the source itself is not there or cannot be listed.
    """
    root = Path(source.path).expanduser().resolve()
    if root.is_file():
        found: Iterator[_Found] = iter([(root, shown(root.name), None)])
    elif root.is_dir():
        found = _walk(root)
    else:
        raise SourceError(f"Source {source.name!r}: there is no file or folder {root}.")
    files: list[ScannedFile] = []
    skipped: list[Skipped] = []
    for absolute, path, why in found:
        try:
            if why is not None:
                raise why
            files.append(_examine(source.name, absolute, path, settings.max_file_mib * _MIB))
        except Unreadable as error:
            skipped.append(Skipped(source.name, path, error.reason, error.detail))
    kept, copies = _without_copies(files)
    return Scan(tuple(kept), tuple(sorted(skipped + copies, key=lambda s: s.path)))


def format_of(path: Path) -> str:
    """A file's format by its name, in the terms of the sets above; a README without an extension is plain text."""
    return "txt" if path.name.lower() == "readme" else _extension(path.name)


def shown(path: str) -> str:
    r"""A path as it may be shown and stored: line ends and other control characters, bytes that are no UTF-8 and the
    backslash itself are escaped (\x0a), so that different paths stay different."""
    if path.isprintable() and "\\" not in path:
        return path
    text = os.fsencode(path.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_file(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """The bytes of a regular file and what the system says of it, without following a link and without blocking.

    Raises:
        Unreadable: it is gone, no regular file, bigger than `limit` bytes, or the system refuses.
    """
    try:
        # O_NONBLOCK: a file that became a pipe since it was listed must not hold us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("special")
            data = stream.read(limit + 1)
    except FileNotFoundError as error:
        raise Unreadable("vanished") from error
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or type(error).__name__) from error
    if len(data) > limit:
        raise Unreadable("too-big", f"{max(status.st_size, len(data)) / _MIB:.1f} MiB, the limit is {limit // _MIB} MiB")
    return data, status


_Found = tuple[Path, str, Unreadable | None]  # where it is, its path to show, and why it is left out if it is


def _walk(root: Path) -> Iterator[_Found]:
    """Everything under `root`, folder by folder; a folder that is left out comes once, with "/" at its end."""
    pending: list[tuple[str, _Ignore]] = [("", _Ignore())]
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
            why = _why_not(entry, inner, is_folder, root, ignore)
            if is_folder and why is None:
                pending.append((inner, ignore))
            else:
                yield root / inner, shown(inner) + "/" * is_folder, why


def _why_not(entry: os.DirEntry[str], path: str, is_folder: bool, root: Path, ignore: "_Ignore") -> Unreadable | None:
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
    if extension in _READ:
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


class _Ignore:
    """The .gitignore files from the source down to a folder. As in git, the deepest one that names a path decides."""

    def __init__(self, files: tuple[tuple[str, GitIgnoreSpec], ...] = ()) -> None:
        self._files = files  # deepest first, each with its folder, which is "" or ends in "/"

    def deeper(self, root: Path, folder: str) -> "_Ignore":
        """With the .gitignore of `folder` too. One that cannot be read or is a link counts as not there, as in git."""
        try:
            data, _ = read_file(root / folder / ".gitignore", _MIB)
        except Unreadable:
            return self
        prefix = f"{folder}/" if folder else ""
        return _Ignore(((prefix, _spec(os.fsdecode(data).splitlines())), *self._files))

    def names(self, path: str) -> str:
        """The rule that leaves `path` (a folder ends in "/") out, as "docs/.gitignore: *.log", or ""."""
        for prefix, spec in self._files:
            result = spec.check_file(path[len(prefix) :])
            if result.include is not None and result.index is not None:
                pattern = getattr(spec.patterns[result.index], "pattern", "")
                return f"{shown(prefix)}.gitignore: {pattern}" if result.include else ""
        return ""


def _spec(lines: list[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(lines)
    except GitIgnorePatternError:  # git passes over a line it cannot read
        return GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except GitIgnorePatternError:
        return False
    return True


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
