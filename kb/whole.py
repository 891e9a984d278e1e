"""Files that are written whole or not at all, and survive a power cut."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_whole(path: Path, pieces: Iterable[str]) -> None:
    """Put a file of these texts in the place of `path`. Raises OSError where that fails; what was there stays then."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync(path.parent)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """write_whole() of one value."""
    write_whole(path, [json.dumps(value, ensure_ascii=False, indent=indent) + "\n"])


def sync(path: Path) -> None:
    """Make a file or a folder's entries survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
