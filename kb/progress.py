"""Progress of a command on a terminal (tqdm, when standard error is one) and in a file, one JSON object a line."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kb.disk import disk_errors
from kb.errors import KBError

if TYPE_CHECKING:
    from kb.jobs import Progress


class Bar:
    """Called with each Progress; a stage has a bar of its own."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._bar: Any = None  # a tqdm

    def __call__(self, progress: "Progress") -> None:
        if self._file:
            self._file.write(json.dumps(asdict(progress)) + "\n")
            self._file.flush()
        if progress.note:
            self.close()
            print(progress.note, file=sys.stderr, flush=True)
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        if self._bar is None or self._bar.desc != progress.stage:
            self.close()
            self._bar = tqdm(
                total=progress.total, initial=progress.done, desc=progress.stage, unit=f" {progress.unit}", file=sys.stderr
            )
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def bar_to(path: Path | None) -> Iterator[Bar]:
    """A Bar that also adds to the file `path` (what --progress names), closed at the end. Raises KBError for a bad path."""
    with ExitStack() as opened:
        file = None
        if path:
            with disk_errors(path, KBError):
                file = opened.enter_context(path.open("a", encoding="utf-8"))
        bar = Bar(file)
        opened.callback(bar.close)
        yield bar


class Meter:
    """Tells of bytes that go by: `add` them as they do. At most five times a second, and at the end."""

    def __init__(self, stage: str, total: int, tell: "Callable[[Progress], None] | None", done: int = 0) -> None:
        self._stage, self._total, self._tell = stage, total, tell
        self._done, self._from = done, done  # what was there before says nothing of the speed
        self._began = self._told = time.monotonic()

    def add(self, count: int) -> None:
        from kb.jobs import Progress

        self._done += count
        now = time.monotonic()
        if self._tell is None or (now - self._told < 0.2 and self._done < self._total):
            return
        self._told = now
        rate = (self._done - self._from) / max(now - self._began, 1e-3)
        left = (self._total - self._done) / rate if rate > 0 else None
        mib = 1024**2
        self._tell(Progress(self._stage, -(-self._done // mib), -(-self._total // mib), "MiB", rate / mib, left))
