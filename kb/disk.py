"""Room on the disk for what is large, and one sentence for what a disk does when it is full or failing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kb.errors import ModelError

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
def disk_errors(folder: Path) -> Iterator[None]:
    """What the system raises while a model is written, as a ModelError."""
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free // 1024**2
        raise ModelError(f"{folder} cannot be written ({error.strerror or error}; {free} MiB are free).") from error
