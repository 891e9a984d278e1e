"""Progress of a command on a terminal (tqdm, when standard error is one) and in a file, one JSON object a line."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

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
