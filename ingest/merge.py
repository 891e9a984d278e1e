"""Merging the segments of a generation: small ones into a larger one, and worn ones into one without what was deleted.

It makes a generation of its own, with the same content, before a change is written. So what is kept on disk after a run
is the index without what was deleted, and the change: the generation before it shares the rest.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ingest.report import Report
from kb.index import Generation
from kb.jobs import Progress
from kb.manifest import SegmentInfo
from kb.writer import SEGMENT_CHUNKS, GenerationWriter

_WORN = 0.15  # share of a segment's chunks that count no more
_SMALL_PER_CHUNKS, _MOST_SMALL = 2000, 8  # each costs 0.4 MB and a millisecond a question


def to_merge(segments: Sequence[SegmentInfo]) -> list[str]:
    """The segments to write anew, by name; none where that is not worth it."""
    whole = sum(info.live for info in segments)
    worn = [info for info in segments if info.rows - info.live > _WORN * info.rows]
    chosen: list[SegmentInfo] = []
    copied = 0
    for info in sorted(worn, key=lambda info: info.live / info.rows):
        if not chosen or copied + info.live <= max(SEGMENT_CHUNKS, whole // 4):  # of a large index some at a time
            chosen.append(info)
            copied += info.live
    small = [info for info in segments if info.live < SEGMENT_CHUNKS // 2 and info not in chosen]
    if len(small) > 1 + min(_MOST_SMALL, whole // _SMALL_PER_CHUNKS):
        # The smallest, and on while the next is not much larger than all before it: so each chunk is copied a few times at most.
        for at, info in enumerate(sorted(small, key=lambda info: info.live)):
            if at >= 2 and info.live > 2 * copied:
                break
            chosen.append(info)
            copied += info.live
    return [info.name for info in chosen]


def merge(base: Generation, worn: Sequence[str], report: Report, progress: Callable[[Progress], None], part: Path) -> None:
    """Write into `part` a generation of the same content as `base`, without the segments named in `worn`."""
    with report.stage("merge"), GenerationWriter(part, base) as writer:
        for done, (info, segment, keys) in enumerate(base.parts()):
            if info.name in worn:
                progress(Progress("merge", done, len(base.manifest.segments), "segments"))
                writer.take_over(segment, list(keys))
        writer.finish(base.manifest.pipeline, base.manifest.fingerprint, base.manifest.report)
