"""Files that are sent to InternKB, kept in the knowledge base's folder as one source named "uploads"."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ingest.files import MIB
from ingest.names import safe_path
from ingest.scan import FORMATS, format_of
from ingest.sources import remember, unused_name
from ingest.unzip import MAX_BYTES, MAX_ENTRIES, entries
from kb.base import base_folder, read_sources
from kb.errors import SourceError
from kb.records import Source
from kb.settings import Settings

_FOLDER = "uploads"
_TEMPORARY = ".upload-"
_DAY = 24 * 3600


def add_upload(settings: Settings, kb_name: str, files: Sequence[tuple[str, Path]]) -> Source:
    """Keep files, (name as it was sent, where it is), and those of zip archives; one of the same name is replaced.

    Of an archive the files in formats that are read are taken, and archives within it left alone. All or nothing.

    Raises:
        SourceError: nothing was kept, and why.
    """
    folder = base_folder(settings, kb_name)
    folder.mkdir(parents=True, exist_ok=True)
    _clean(folder)
    if len(files) > MAX_ENTRIES:
        raise SourceError(f"{len(files)} files at once are too many: {MAX_ENTRIES} is the limit.")
    other = [name for name, _ in files if not (_is_zip(name) or _is_read(name))]
    if other:
        more = f" and {len(other) - 5} more" if len(other) > 5 else ""
        named = ", ".join(map(repr, other[:5])) + more
        raise SourceError(f"Nothing was added, for {named} cannot be read: send {', '.join(sorted(FORMATS))} or zip.")
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
    try:
        new = _write(temporary / "new", files)
        if not new:
            raise SourceError(f"Nothing was added, for no file in it can be read: send {', '.join(sorted(FORMATS))} or zip.")
        _move(new, temporary, folder / _FOLDER)
    except OSError as error:
        raise SourceError(f"Nothing was added, for {folder / _FOLDER} cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sources = read_sources(folder)
    for source in sources:
        if source.path == str(folder / _FOLDER):
            return source
    added = Source(unused_name(_FOLDER, sources), str(folder / _FOLDER))
    remember(folder, [*sources, added])
    return added


def remove_upload(settings: Settings, kb_name: str, path: str) -> None:
    """Delete an uploaded file, by its path below the uploads; the next run takes it out of the index.

    Raises:
        SourceError: there is no such file.
    """
    root = base_folder(settings, kb_name) / _FOLDER
    file = root.joinpath(*PurePosixPath(path).parts)
    if "\0" in path or ".." in PurePosixPath(path).parts or not file.is_relative_to(root) or not file.is_file():
        raise SourceError(f"Knowledge base {kb_name!r} has no uploaded file {path!r}.")
    if not file.resolve().is_relative_to(root.resolve()):
        raise SourceError(f"The uploaded file {path!r} lies behind a link: remove it by hand.")
    file.unlink()
    for parent in file.parents:
        if parent == root or any(parent.iterdir()):
            break
        parent.rmdir()


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _is_read(name: str) -> bool:
    return format_of(Path(name.replace("\\", "/").rstrip(" ."))) in FORMATS


def _write(folder: Path, files: Sequence[tuple[str, Path]]) -> list[PurePosixPath]:
    """Put everything that is to be kept under `folder`; returns the paths there."""
    done: list[PurePosixPath] = []
    total = 0
    for name, path in files:
        if _is_zip(name):
            for inner, stream in entries(name, path):
                if _is_read(inner):
                    with _create(folder, inner, done).open("xb") as file:
                        shutil.copyfileobj(stream, file, MIB)
            continue
        total += path.stat().st_size
        if total > MAX_BYTES:
            raise SourceError(f"Nothing was added, for the files have more than {MAX_BYTES // MIB} MiB: send less at once.")
        with path.open("rb") as source, _create(folder, name, done).open("xb") as file:
            shutil.copyfileobj(source, file, MIB)
    return done


def _create(folder: Path, name: str, done: list[PurePosixPath]) -> Path:
    safe = safe_path(name)
    path = folder / safe
    if path.exists():
        raise SourceError(f"Nothing was added, for two of the files would both be named {str(safe)!r}: rename one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SourceError(
            f"Nothing was added, for a file and a folder would both be named {str(safe.parent)!r}: rename one."
        ) from error
    done.append(safe)
    return path


def _move(new: Sequence[PurePosixPath], temporary: Path, root: Path) -> None:
    """Move the files to where they are indexed; what they replace goes back if one of them cannot be moved."""
    moved: list[PurePosixPath] = []
    try:
        for path in new:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if (root / path).is_file():
                (temporary / "old" / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).rename(temporary / "old" / path)
            moved.append(path)
            (temporary / "new" / path).rename(root / path)
    except BaseException:
        for path in moved:
            if (temporary / "old" / path).exists():
                (temporary / "old" / path).replace(root / path)
            elif (root / path).is_file():
                (root / path).unlink()
        raise


def _clean(folder: Path) -> None:
    """What an upload left that was cut off; younger ones may be at work."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        if path.stat().st_mtime < time.time() - _DAY:
            shutil.rmtree(path, ignore_errors=True)
