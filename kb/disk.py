"""Room on the disk for what is large, and one sentence for a disk that is full, failing or not ours to write."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kb.errors import KBError, ModelError

_SPARE = 256 * 1024**2  # left for everything else that is written under data_base


def enough_room(folder: Path, size: int) -> None:
    """Raises ModelError where `size` bytes do not fit into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        needs, has = (size + _SPARE) / 1024**3, free / 1024**3
        raise ModelError(
            f"{folder} needs {needs:.1f} GiB of room and has {has:.1f}: free some, or set data_base to another disk."
        )


@contextmanager
def disk_errors(where: Path, kind: type[KBError] = ModelError) -> Iterator[None]:
    """What the system raises while `where` is written, as an error of this kind."""
    try:
        yield
    except OSError as error:
        raise kind(f"{unwritten(where, error.strerror or str(error))}: make room there, or name another place.") from error


def unwritten(where: Path, why: str) -> str:
    """The beginning of a sentence: what cannot be written, why, and how much room there is."""
    free = shutil.disk_usage(next(path for path in (where, *where.parents) if path.exists())).free // 1024**2
    return f"{where} cannot be written ({why}; {free} MiB are free)"
