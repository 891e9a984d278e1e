"""Files of a tune: written whole or not at all, and one process at a time."""

import fcntl
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from kb import whole
from kb.disk import disk_errors
from kb.errors import TuneError

_LOCK = "running.lock"
_PATIENCE = 1.0  # seconds: a look at whether it runs holds the lock for an instant


def saving(where: Path) -> AbstractContextManager[None]:
    """One sentence for a disk that is full, failing or not ours to write. Raises TuneError."""
    return disk_errors(where, TuneError)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the one process at work on a tune. The kernel lets the lock go with the process, however that ends.

    Raises:
        TuneError: another process is at it.
    """
    with saving(folder):
        file = (folder / _LOCK).open("a")
    with file:
        end = time.monotonic() + _PATIENCE
        while not _take(file.fileno()):
            if time.monotonic() > end:
                raise TuneError(f"The tune {folder.name!r} is running: wait for it, or pause or cancel its job.")
            time.sleep(0.05)
        yield


def running(folder: Path) -> bool:
    """Whether a process is at work on a tune."""
    try:
        with (folder / _LOCK).open("r") as file:
            return not _take(file.fileno())
    except FileNotFoundError:
        return False


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Raises TuneError where that fails; what was there stays then."""
    with saving(path):
        whole.write_whole(path, lines)


def write_json(path: Path, value: Any) -> None:
    """The same of one value."""
    with saving(path):
        whole.write_json(path, value)


def read_json(path: Path) -> dict[str, Any]:
    """Empty where there is none. Raises TuneError where it is damaged."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise TuneError(f"{path} is damaged ({error}): delete it, or mend it.") from error
