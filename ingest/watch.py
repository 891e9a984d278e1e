"""Index again whenever a source changes."""

import threading
from collections.abc import Callable
from pathlib import Path

from ingest.build import reindex
from ingest.scan import pruned
from kb.base import base_folder, read_sources
from kb.errors import KBError, SourceError
from kb.records import Source
from kb.settings import Settings

_QUIET_MS, _LONGEST_MS = 400, 5000  # a run starts after so long without a change, or after so long with changes


def watch(name: str, settings: Settings, say: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Index the knowledge base, and again after each change, until Ctrl-C or `stop`; `say` takes one line a run.

    A run that fails says so, and the next change starts another one. Repositories are fetched at each run, but not watched.

    Raises:
        SourceError: there is nothing to watch.
    """
    from watchfiles import watch as changes

    stop = stop or threading.Event()
    sources = [source for source in read_sources(base_folder(settings, name)) if not (source.paused or source.url)]
    roots = [Path(source.path) for source in sources if Path(source.path).exists()]
    if not roots:
        raise SourceError(
            f"Knowledge base {name!r} has no folder or file to watch: `python -m ingest SOURCE --kb {name}` adds one."
        )
    first = True  # inside the loop, when the watch stands: what changes during that run is seen
    for changed in changes(
        *roots, watch_filter=lambda _, path: _matters(Path(path), sources, settings), debounce=_LONGEST_MS, step=_QUIET_MS,
        stop_event=stop, raise_interrupt=False, ignore_permission_denied=True, rust_timeout=500, yield_on_timeout=True,
    ):  # fmt: skip
        if first or changed:
            say(_run(name, settings))
            first = False


def _run(name: str, settings: Settings) -> str:
    try:
        return list(reindex(name, settings).lines())[-1]
    except KBError as error:
        return f"Not indexed: {error}"


def _matters(path: Path, sources: list[Source], settings: Settings) -> bool:
    """Whether the scan would look at it."""
    for source in sources:
        root = Path(source.path)
        if path.is_relative_to(root):
            return not pruned(root, path, settings)
    return False
