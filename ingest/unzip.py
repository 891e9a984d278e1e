"""The files of a zip archive that somebody sent, within limits that the archive cannot talk itself past."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from ingest.files import MIB
from kb.decode import quoted
from kb.errors import SourceError

MAX_ENTRIES = 2000
MAX_BYTES = 512 * MIB
MAX_RATIO = 200
_MAX_DIRECTORY = 4 * MIB  # the table of entries, which zipfile reads whole
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}  # LZMA sets aside what its header asks for
_UTF8, _ENCRYPTED = 0x800, 0x1 | 0x40


class Readable(Protocol):
    """What shutil.copyfileobj reads from."""

    def read(self, size: int = ..., /) -> bytes: ...


def entries(name: str, archive: Path) -> Iterator[tuple[str, Readable]]:
    """(path as written in it, its bytes as a stream) of each file of the archive, hidden ones left out.

    Reading the streams past the limits raises as well; `name` is what the archive is called to its sender.

    Raises:
        SourceError: it is no zip, is damaged, passes a limit, or holds a link or an encrypted file, which is named.
    """
    with _zip_errors(name):
        _check_size(name, archive)
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
            if len(infos) > MAX_ENTRIES:
                raise SourceError(f"The archive {name!r} holds {len(infos)} files: {MAX_ENTRIES} is the limit.")
            left = _Allowance(name, min(MAX_BYTES, MAX_RATIO * archive.stat().st_size))
            left.take(sum(info.file_size for info in infos), for_good=False)
            for info in infos:
                path = _name(info)
                _check_entry(name, path, info)
                if not _hidden(path):
                    with opened.open(info) as stream:
                        yield path, _Limited(name, stream, left)


@contextmanager
def _zip_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise SourceError(f"The archive {name!r} is damaged or no zip ({quoted(error)}): make it again.") from error


def _check_size(name: str, archive: Path) -> None:
    """Refuse a table of entries that would fill the memory before its entries could be counted."""
    size = archive.stat().st_size
    if size > MAX_BYTES:
        raise SourceError(f"The archive {name!r} has {size // MIB} MiB: {MAX_BYTES // MIB} is the limit.")
    with archive.open("rb") as file:
        file.seek(max(0, size - 65557 - 20))
        tail = file.read()
    at = len(tail) - 22
    if not (tail[-22:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        raise SourceError(f"The archive {name!r} is damaged or no zip: make it again.")
    count, directory = struct.unpack("<HL", tail[at + 10 : at + 16])
    if count > MAX_ENTRIES * 2 or directory > _MAX_DIRECTORY or tail[max(0, at - 20) :].startswith(b"PK\6\7"):
        raise SourceError(
            f"The archive {name!r} is made for too many or too large files: {MAX_ENTRIES} files, {MAX_BYTES // MIB} MiB."
        )


def _check_entry(name: str, path: str, info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    what = (
        "a link" if kind == stat.S_IFLNK
        else "not a regular file" if kind not in (0, stat.S_IFREG)
        else "encrypted" if info.flag_bits & _ENCRYPTED
        else "" if info.compress_type in _METHODS
        else "compressed in a way that is not read"
    )  # fmt: skip
    if what:
        raise SourceError(f"The archive {name!r} is refused: {quoted(path)!r} in it is {what}.")


def _name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: without the UTF-8 flag, Windows writes that of its own code page."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _hidden(path: str) -> bool:
    """As in a folder, and what macOS puts beside each file."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


class _Allowance:
    """Bytes that may still come out of an archive, whatever it says of itself."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._left = name, size

    def take(self, size: int, for_good: bool = True) -> None:
        if size > self._left:
            limits = f"{MAX_BYTES // MIB} MiB or {MAX_RATIO} times its size"
            raise SourceError(f"The archive {self._name!r} unpacks to more than {limits}: send less at once.")
        if for_good:
            self._left -= size


class _Limited:
    def __init__(self, name: str, stream: IO[bytes], left: _Allowance) -> None:
        self._name, self._stream, self._left = name, stream, left

    def read(self, size: int = MIB) -> bytes:
        with _zip_errors(self._name):
            data = self._stream.read(size)
        self._left.take(len(data))
        return data
