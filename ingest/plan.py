"""What a run has to do: the files there are, held against the files of the live generation. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.scan import ScannedFile
from kb.catalog import Catalog, FileState
from kb.embed import Fingerprint
from kb.manifest import Manifest
from kb.records import Skipped

# Past this share of deleted rows, a build from nothing is smaller on disk and faster to search.
_DEAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Live:
    """What a run needs to know of the live generation; its vectors stay closed, since Chroma writes when it opens."""

    folder: Path
    manifest: Manifest
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Plan:
    """`read`: files to load. `drop`: files whose chunks go. `relabel`: same bytes, other aliases.
    A file that is away while its bytes are there under a new name is counted as `moved`, not as removed and added.

    `fresh`: nothing of the live folder is copied, so `read` holds every file; `why` says so where the user should know.
    """

    read: tuple[ScannedFile, ...]
    drop: tuple[FileState, ...]
    relabel: tuple[ScannedFile, ...]
    added: int
    changed: int
    removed: int
    moved: int
    unchanged: int
    fresh: bool
    why: str
    reports_differ: bool

    @property
    def nothing(self) -> bool:
        """Whether the live generation is exact as it is."""
        return not (self.read or self.drop or self.relabel or self.fresh or self.reports_differ)


def make_plan(
    live: Live | None,
    files: Sequence[ScannedFile],
    skipped: Sequence[Skipped],
    pipeline: dict[str, Any],
    fingerprint: Fingerprint,
    keep: bool = False,
) -> Plan:
    """Compare by content hash; a file that was only touched is unchanged. `keep`: do not build from nothing to save space."""
    old = {(state.source, state.path): state for state in live.catalog.files()} if live else {}
    new = {(file.source, file.path): file for file in files}
    added = [file for key, file in new.items() if key not in old]
    changed = [file for key, file in new.items() if key in old and old[key].sha256 != file.sha256]
    same = [file for key, file in new.items() if key in old and old[key].sha256 == file.sha256]
    removed = [state for key, state in old.items() if key not in new]
    drop = [*removed, *(old[file.source, file.path] for file in changed)]
    why = _why_rebuild(live, pipeline, fingerprint)
    moved = sum((Counter(state.sha256 for state in removed) & Counter(file.sha256 for file in added)).values())
    fresh = live is None or bool(why) or (not keep and (len(drop) * 2 > len(old) or _mostly_dead(live)))
    return Plan(
        read=tuple(files) if fresh else (*added, *changed),
        drop=tuple(drop),
        relabel=tuple(file for file in same if old[file.source, file.path].aliases != file.aliases),
        added=len(added) - moved,
        changed=len(changed),
        removed=len(removed) - moved,
        moved=moved,
        unchanged=len(same),
        fresh=fresh,
        why=why,
        reports_differ=live is None or set(live.catalog.skipped(by_scan_only=True)) != set(skipped),
    )


def _why_rebuild(live: Live | None, pipeline: dict[str, Any], fingerprint: Fingerprint) -> str:
    if live is None:
        return ""
    manifest = live.manifest
    if manifest.fingerprint != fingerprint:
        return f"the embedding model was {manifest.fingerprint} and is now {fingerprint}"
    differing = sorted(key for key in pipeline if manifest.pipeline.get(key) != pipeline[key])
    if differing:
        return ", ".join(f"{key} was {manifest.pipeline.get(key)} and is now {pipeline[key]}" for key in differing)
    return ""


def _mostly_dead(live: Live) -> bool:
    return live.manifest.dead > _DEAD_SHARE * max(1, live.manifest.chunks)
