"""Names that others chose, made fit to be files below a folder of ours."""

import re
import unicodedata
from pathlib import PurePosixPath

from kb.errors import SourceError

_PART_BYTES = 120  # a name is shown, stored and perhaps copied to systems that take less than 255
_PARTS = 12
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # Windows opens these wherever they lie


def safe_path(name: str) -> PurePosixPath:
    """A relative path that stays below any folder it is put in, visible, and as near to `name` as that allows.

    Raises:
        SourceError: nothing is left of the name.
    """
    text = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = [part for raw in re.sub(r"^[A-Za-z]:(?=/)", "", text).split("/") if (part := _safe_part(raw))]
    if not parts:
        raise SourceError(f"{name[:100]!r} cannot name a file: give it a name with letters or digits.")
    return PurePosixPath(*parts[-_PARTS:])


def _safe_part(text: str) -> str:
    kept = "".join("_" if char in '<>:"|?*' else char for char in text if char.isprintable())
    part = kept.strip(" .")
    return _shorten(f"_{part}" if _DEVICE.fullmatch(part) else part)


def _shorten(part: str) -> str:
    if len(part.encode()) <= _PART_BYTES:
        return part
    stem, dot, extension = part.rpartition(".")
    if not dot or len(extension.encode()) > 10:
        stem, dot, extension = part, "", ""
    room = _PART_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + extension
