"""A new generation from what has changed: scan, compare, load, split, embed what is new, write, verify, publish.

The live generation serves until the last step, which moves one pointer; a crash before it leaves a `.part` folder that
the next run removes.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ingest import git, split
from ingest.fill import Reporter, fill
from ingest.known import KnownVectors
from ingest.lock import locked
from ingest.merge import merge, to_merge
from ingest.plan import Plan, make_plan
from ingest.publish import add_generation, clean
from ingest.report import Report
from ingest.scan import ScannedFile, scan
from kb import words
from kb.base import base_folder, generation_folder, read_sources
from kb.embed import Embedder, load_embedder
from kb.errors import BaseError, SourceError
from kb.index import Generation
from kb.jobs import Progress
from kb.manifest import read_manifest
from kb.records import Skipped, Source
from kb.settings import Settings
from kb.state import State
from kb.writer import GenerationWriter


def reindex(name: str, settings: Settings, progress: Reporter = lambda _: None, rebuild: bool = False) -> Report:
    """Bring the knowledge base `name` up to date with its sources; `rebuild`: from nothing, where its index is damaged.

    Raises:
        SourceError: it has no sources, or one is gone; nothing was changed.
        BaseError: another run is at work, or the new index failed its check; the old one still serves.
        ModelError: the embedding model cannot be loaded.
    """
    folder = base_folder(settings, name)
    sources = read_sources(folder)
    if not sources and State(settings).live(name) is None:
        raise SourceError(f"Knowledge base {name!r} has no sources yet: `python -m ingest SOURCE --kb {name}` adds one.")
    report = Report(name)
    with locked(folder):
        state = State(settings)
        clean(folder, state.live(name), state.before(name))
        git.clean(folder, {Path(source.path) for source in sources if source.url})
        live, unusable = (None, "that was asked for") if rebuild else _open_live(name, folder, settings)
        # What a paused source had is kept as it is, where there is an index to keep it in.
        reading = [source for source in sources if not source.paused or unusable]
        paused = {source.name: Path(source.path) for source in sources if source not in reading}
        progress(Progress("scan", 0, len(reading), "sources"))
        with report.stage("scan"):
            commits = _fetch(sources)
            files, skipped = _scan(reading, settings)
        with report.stage("load model"):
            embedder = load_embedder(settings)
        files += _as_they_were(live, paused)
        skipped += [entry for entry in live.catalog.skipped(by_scan_only=True) if entry.source in paused] if live else []
        pipeline = {"split": split.VERSION, "words": words.VERSION, "chunk_chars": settings.chunk_chars}
        report.commits = (_commits_of(live, paused) if live else {}) | commits
        absent = [name for name, path in paused.items() if not path.exists()]
        plan = make_plan(live, files, skipped, pipeline, embedder.fingerprint, unusable)
        if live and plan.fresh and absent:
            raise SourceError(
                f"All must be read again, for {plan.why}, but the paused source {absent[0]!r} is not on this "
                "machine: change the setting back, or remove the source."
            )
        report.added, report.changed, report.moved = plan.added, plan.changed, plan.moved
        report.removed, report.unchanged = plan.removed, plan.unchanged
        report.rebuilt = plan.why
        if live is not None and plan.nothing:
            report.take_counts(live.manifest, live.catalog.skipped())
            return report
        if plan.why:
            progress(Progress("read", 0, len(plan.read), "files", note=f"Building from nothing, because {plan.why}."))
        words.warm()
        base = None if plan.fresh else live
        if base and (worn := to_merge(base.manifest.segments)):
            merged = add_generation(name, settings, partial(merge, base, worn, report, progress), report, progress)
            base = Generation(generation_folder(folder, merged))
        write = partial(_write_part, plan, base, skipped, pipeline, embedder, settings, report, progress)
        trusted = {info.name for info in base.manifest.segments} if base else set()
        report.generation = add_generation(name, settings, write, report, progress, trusted, embedder)
        published = Generation(generation_folder(folder, report.generation))
        report.take_counts(published.manifest, published.catalog.skipped())
        progress(Progress("publish", 1, 1, "generations"))
    return report


def _write_part(
    plan: Plan,
    base: Generation | None,
    skipped: Sequence[Skipped],
    pipeline: dict[str, Any],
    embedder: Embedder,
    settings: Settings,
    report: Report,
    progress: Reporter,
    part: Path,
) -> None:
    """Everything up to the manifest."""
    with GenerationWriter(part, base) as writer:
        known = KnownVectors(settings, embedder.fingerprint)
        fill(writer, plan, skipped, embedder, known, settings, report, progress)
        with report.stage("write"):
            progress(Progress("write", 0, 1, "generations"))
            writer.finish(pipeline, embedder.fingerprint, report.summary())


def go_back(name: str, settings: Settings) -> int:
    """Make the generation before the live one live again; returns its number. The next run starts from it.

    Raises:
        BaseError: there is none, or another run is at work.
    """
    folder = base_folder(settings, name)
    state = State(settings)
    live = state.live(name)
    if live is None:
        raise BaseError(f"Knowledge base {name!r} has not been indexed yet: there is nothing to go back to.")
    with locked(folder):
        before = state.before(name)
        if before is None:
            raise BaseError(f"Knowledge base {name!r} has no generation before {live}: only the last one is kept.")
        read_manifest(generation_folder(folder, before))
        state.set_live(name, before, None)
    return before


def _scan(sources: Sequence[Source], settings: Settings) -> tuple[list[ScannedFile], list[Skipped]]:
    """All sources; a file with the bytes of one in an earlier source is a copy of it."""
    files: dict[str, ScannedFile] = {}
    skipped: list[Skipped] = []
    for source in sources:
        scanned = scan(source, settings)
        skipped += scanned.skipped
        for file in scanned.files:
            first = files.setdefault(file.sha256, file)
            if first is not file:
                where = f"{first.source}/{first.path}"
                skipped.append(Skipped(file.source, file.path, "duplicate", where))
                aliases = tuple(f"{file.source}/{path}" for path in (file.path, *file.aliases))
                files[file.sha256] = replace(first, aliases=(*first.aliases, *aliases))
    return list(files.values()), skipped


def _fetch(sources: Sequence[Source]) -> dict[str, dict[str, str]]:
    """Bring the clones of repositories up to date; name → address and commit."""
    return {
        source.name: {"url": source.url, "commit": git.update(Path(source.path), source.url, source.branch)}
        for source in sources
        if source.url and not source.paused
    }


def _commits_of(live: Generation, paused: Collection[str]) -> dict[str, dict[str, str]]:
    """The commits that paused sources were indexed at."""
    return {name: value for name, value in live.manifest.report.get("commits", {}).items() if name in paused}


def _as_they_were(live: Generation | None, paused: dict[str, Path]) -> list[ScannedFile]:
    """The files of paused sources, as the live generation has them."""
    states = [state for state in live.catalog.files() if state.source in paused] if live else []
    return [ScannedFile(s.source, s.path, paused[s.source] / s.path, s.size, s.mtime_ns, s.sha256, s.aliases) for s in states]


def _open_live(name: str, folder: Path, settings: Settings) -> tuple[Generation | None, str]:
    """The live generation; without one that can be used, None and why, which a build from nothing mends."""
    number = State(settings).live(name)
    if number is None:
        return None, ""
    try:
        return Generation(generation_folder(folder, number)), ""
    except BaseError as error:
        return None, str(error).partition(":")[0]
