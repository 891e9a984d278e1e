"""What a run has to do: the files there are, held against the files of the live generation. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingest.scan import ScannedFile
from kb.catalog import FileState
from kb.embed import Fingerprint
from kb.index import Generation
from kb.records import Skipped


@dataclass(frozen=True, slots=True)
class Plan:
    """`read`: files to load. `drop`: files whose chunks go. `relabel`: same bytes, other aliases.
    A file that is away while its bytes are there under a new name is counted as `moved`, not as removed and added.

    `fresh`: nothing of the live generation is used, so `read` holds every file; `why` says so where the user should know.
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
    live: Generation | None,
    files: Sequence[ScannedFile],
    skipped: Sequence[Skipped],
    pipeline: dict[str, Any],
    fingerprint: Fingerprint,
    unusable: str = "",
) -> Plan:
    """Compare by content hash; a file that was only touched is unchanged. `unusable`: why there is a live one but not used."""
    old = {(state.source, state.path): state for state in live.catalog.files()} if live else {}
    new = {(file.source, file.path): file for file in files}
    added = [file for key, file in new.items() if key not in old]
    changed = [file for key, file in new.items() if key in old and old[key].sha256 != file.sha256]
    same = [file for key, file in new.items() if key in old and old[key].sha256 == file.sha256]
    removed = [state for key, state in old.items() if key not in new]
    drop = [*removed, *(old[file.source, file.path] for file in changed)]
    why = unusable or _why_rebuild(live, pipeline, fingerprint)
    moved = sum((Counter(state.sha256 for state in removed) & Counter(file.sha256 for file in added)).values())
    fresh = live is None or bool(why)
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


def _why_rebuild(live: Generation | None, pipeline: dict[str, Any], fingerprint: Fingerprint) -> str:
    if live is None:
        return ""
    manifest = live.manifest
    if manifest.fingerprint != fingerprint:
        return f"the embedding model was {manifest.fingerprint} and is now {fingerprint}"
    differing = sorted(key for key in pipeline if manifest.pipeline.get(key) != pipeline[key])
    if differing:
        return ", ".join(f"{key} was {manifest.pipeline.get(key)} and is now {pipeline[key]}" for key in differing)
    return ""
