"""Reading a file without being held up or led away by it, and showing its name."""

import os
import stat
from pathlib import Path

from kb.errors import SourceError

MIB = 1024 * 1024


class Unreadable(SourceError):
    """A file cannot be read. `reason` and `detail` are those of a Skipped."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason, self.detail = reason, detail


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
        raise Unreadable("too-big", f"{max(status.st_size, len(data)) / MIB:.1f} MiB, the limit is {limit // MIB} MiB")
    return data, status
