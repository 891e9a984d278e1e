"""One writer a knowledge base."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kb.errors import BaseError
from kb.writer import disk_errors


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the one writer of a knowledge base's folder. The kernel lets the lock go with the process, however that ends.

    Raises:
        BaseError: another process is at work there; it is named. Or the disk is full or failing.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
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
