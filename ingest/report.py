"""What a run of the ingestion did, as a record and as lines for a terminal."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from kb.manifest import Manifest
from kb.records import PROBLEMS, WHY_SKIPPED, Skipped


@dataclass
class Report:
    """Files are counted in the sources, documents and chunks in the index; `seconds` by stage."""

    kb: str
    generation: int | None = None  # None: nothing had changed, so nothing was written
    rebuilt: str = ""  # why everything was built from nothing, if it was
    added: int = 0
    changed: int = 0
    removed: int = 0
    moved: int = 0
    unchanged: int = 0
    documents: int = 0
    chunks: int = 0
    bytes: int = 0
    embedded: int = 0
    reused: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    commits: dict[str, dict[str, str]] = field(default_factory=dict)  # source → url and commit, for repositories
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to `seconds[name]`."""
        started = time.monotonic()
        self.seconds.setdefault(name, 0.0)  # stages are listed in the order they began
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)

    def take_counts(self, manifest: Manifest, skipped: Sequence[Skipped]) -> None:
        """The state of the generation that serves after this run."""
        self.documents, self.chunks, self.bytes = manifest.documents, manifest.chunks, manifest.bytes
        self.skipped = list(skipped)

    @property
    def problems(self) -> list[Skipped]:
        """Files left out that somebody should look at."""
        return [entry for entry in self.skipped if entry.reason in PROBLEMS]

    def summary(self) -> dict[str, Any]:
        """What the generation's manifest keeps."""
        return {key: value for key, value in asdict(self).items() if key not in ("skipped", "generation")}

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"skipped": [asdict(entry) | {"sentence": entry.sentence} for entry in self.skipped]}

    def lines(self) -> Iterator[str]:
        """The report for a terminal."""
        if self.rebuilt:
            yield f"Built from nothing, because {self.rebuilt}."
        counts = ("added", "changed", "moved", "removed", "unchanged")
        yield "Files: " + ", ".join(f"{getattr(self, name)} {name}" for name in counts) + "."
        if self.skipped:
            yield f"Left out: {len(self.skipped)} (--list names each)"
            for reason, count in Counter(entry.reason for entry in self.skipped).most_common():
                yield f"  {count:6}  {_plain(reason)}"
        for entry in self.problems[:20]:
            yield f"  ! {entry.path}: {entry.sentence}"
        if len(self.problems) > 20:
            yield f"  ! and {len(self.problems) - 20} more (--list names each)"
        total = sum(self.seconds.values())
        if self.generation is None:
            yield f"Nothing has changed: nothing was written ({total:.1f} s)."
        else:
            rate = (
                f", {self.embedded / self.seconds['embed']:.0f} chunks/s" if self.embedded and self.seconds.get("embed") else ""
            )
            yield f"Chunks: {self.embedded} embedded{rate}, {self.reused} vectors reused."
            yield (
                "Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in self.seconds.items()) + f"; {total:.1f} in all."
            )
        state = f"generation {self.generation}" if self.generation is not None else "as before"
        size = f"{self.documents} documents, {self.chunks} chunks, {self.bytes / 1e6:.1f} MB of text"
        yield f"Knowledge base {self.kb!r} ({state}): {size}."


def _plain(reason: str) -> str:
    return WHY_SKIPPED[reason].format(detail="…")
