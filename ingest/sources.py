"""What belongs to a knowledge base: folders and files, remembered in its sources.json."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from kb import __version__
from kb.base import KnowledgeBase, base_folder, read_sources
from kb.errors import SourceError
from kb.records import Source
from kb.settings import Settings

GUIDE = "guide"
_REPO = Path(__file__).resolve().parent.parent
_GUIDE_SOURCES = ("README.md", "README.zh-CN.md", "docs")


def add_source(settings: Settings, name: str, path: Path) -> Source:
    """Remember a folder or file as a source of the knowledge base `name`, which is made if need be.

    Raises:
        SourceError: it is not there, cannot be read, or lies in a source already.
    """
    folder = base_folder(settings, name)
    try:
        resolved = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"Source {path} is not there: check the path.") from error
    if not (resolved.is_dir() or resolved.is_file()):
        raise SourceError(f"Source {resolved} is neither a folder nor a file.")
    if not os.access(resolved, os.R_OK):
        raise SourceError(f"Source {resolved} may not be read: change its permissions.")
    if resolved.is_relative_to(settings.data_base):
        raise SourceError(f"Source {resolved} lies in {settings.data_base}, where InternKB keeps its own files.")
    sources = read_sources(folder)
    for source in sources:
        if resolved == Path(source.path):
            return source
        for inner, outer in ((resolved, Path(source.path)), (Path(source.path), resolved)):
            if inner.is_relative_to(outer):
                raise SourceError(f"{inner} lies in {outer}: one of the two is enough in knowledge base {name!r}.")
    taken = {source.name for source in sources}
    label = resolved.name or resolved.anchor
    unique = next(text for n in range(1, len(taken) + 2) if (text := label if n == 1 else f"{label}-{n}") not in taken)
    added = Source(unique, str(resolved))
    _write(folder, [*sources, added])
    return added


def add_source_from_page(settings: Settings, name: str, text: str) -> Source:
    """The same for a path typed into the page: only below settings.source_roots, and nothing hidden.

    Raises:
        SourceError: also when it lies elsewhere, whether it exists there or not.
    """
    roots = settings.source_roots or (Path.home(), Path.cwd())
    if not text.strip() or "\0" in text:
        raise SourceError("Type the path of a folder or file.")
    path = Path(text.strip()).expanduser().resolve()
    inside = [path.relative_to(root) for root in roots if path.is_relative_to(root)]
    if not inside:
        allowed = ", ".join(dict.fromkeys(map(str, roots)))
        raise SourceError(f"The page adds sources below {allowed} only: set source_roots in kb.toml to allow others.")
    if any(part.startswith(".") for part in min(inside, key=lambda relative: len(relative.parts)).parts):
        raise SourceError("The page does not add hidden folders: use `python -m ingest` for that.")
    return add_source(settings, name, path)


def remove_source(settings: Settings, name: str, which: str) -> Source:
    """Forget a source, named by its name or path; the next run takes its documents out of the index.

    Raises:
        SourceError: there is no such source.
    """
    folder, source = _find(settings, name, which)
    _write(folder, [other for other in read_sources(folder) if other != source])
    return source


def pause_source(settings: Settings, name: str, which: str, paused: bool = True) -> Source:
    """Stop reading a source again, or take it up; raises SourceError as remove_source does."""
    folder, source = _find(settings, name, which)
    changed = replace(source, paused=paused)
    _write(folder, [changed if other == source else other for other in read_sources(folder)])
    return changed


def _find(settings: Settings, name: str, which: str) -> tuple[Path, Source]:
    folder = base_folder(settings, name)
    sources = read_sources(folder)
    path = str(Path(which).expanduser().resolve())
    for source in sources:
        if which == source.name or path == source.path:
            return folder, source
    known = ", ".join(source.name for source in sources) or "none"
    raise SourceError(f"Knowledge base {name!r} has no source {which!r} (it has: {known}).")


def ensure_guide(settings: Settings) -> str:
    """With no knowledge base at all, index the project's own documentation as one; returns its name."""
    from ingest.build import reindex

    if not KnowledgeBase.names(settings):
        for source in _GUIDE_SOURCES:
            add_source(settings, GUIDE, _REPO / source)
        reindex(GUIDE, settings)
    return GUIDE


def _write(folder: Path, sources: Sequence[Source]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "sources.part"
    value = {"version": __version__, "sources": [asdict(source) for source in sources]}
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")
    part.replace(folder / "sources.json")
