"""What a generation is: a file written last, so a folder that has one is complete."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kb.embed import Fingerprint
from kb.errors import BaseError
from kb.whole import write_json

FORMAT = 3
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment as a generation uses it: `rows` chunks are stored in it, `live` of them belong to the generation."""

    name: str
    rows: int
    live: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Counts are of the whole generation; `bytes` of text, `seconds` of its build, `created` in epoch seconds."""

    number: int
    created: float
    documents: int
    chunks: int
    bytes: int
    seconds: float
    pipeline: dict[str, Any]
    fingerprint: Fingerprint
    segments: tuple[SegmentInfo, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def model(self) -> str:
        return str(self.fingerprint)


def read_manifest(folder: Path) -> Manifest:
    """Raises BaseError when the generation is missing, incomplete or of another format."""
    try:
        value = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError as error:
        raise BaseError(f"The index {folder} is not complete: run `python -m ingest` to build it again.") from error
    except ValueError as error:
        raise BaseError(f"The manifest of {folder} is damaged: run `python -m ingest` to build it again.") from error
    if value.get("format") != FORMAT:
        raise BaseError(f"{folder} was written by another version of InternKB: `python -m ingest` builds it again.")
    segments = tuple(SegmentInfo(**segment) for segment in value["segments"])
    return Manifest(**value | {"fingerprint": Fingerprint(**value["fingerprint"]), "segments": segments})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make the generation in `folder` complete, once everything else in it is on disk."""
    write_json(folder / MANIFEST, asdict(manifest))
