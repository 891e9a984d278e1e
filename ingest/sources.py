"""What belongs to a knowledge base: folders, files and repositories, remembered in its sources.json."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shutil import rmtree

from ingest import git
from ingest.lock import locked
from kb import __version__
from kb.base import KnowledgeBase, base_folder, read_sources
from kb.errors import SourceError
from kb.records import Source
from kb.settings import Settings
from kb.whole import write_json

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
        if Path(source.path).is_relative_to(settings.data_base):
            continue  # a clone or the uploads: the scan leaves data_base out of any folder that holds it
        for inner, outer in ((resolved, Path(source.path)), (Path(source.path), resolved)):
            if inner.is_relative_to(outer):
                raise SourceError(f"{inner} lies in {outer}: one of the two is enough in knowledge base {name!r}.")
    added = Source(unused_name(resolved.name or resolved.anchor, sources), str(resolved))
    remember(folder, [*sources, added])
    return added


def add_git_source(settings: Settings, name: str, text: str, local: bool = False) -> Source:
    """Clone a repository, `URL#BRANCH` with the branch optional, and remember it; file:// is for the command line (`local`).

    Raises:
        SourceError: it is not an address, or git fails; nothing is remembered then.
        BaseError: the knowledge base is being indexed.
    """
    folder = base_folder(settings, name)
    url, branch = git.parse_url(text, local)
    path = git.clone_folder(folder, url, branch)
    with locked(folder):
        sources = read_sources(folder)
        for source in sources:
            if source.path == str(path):
                return source
        git.update(path, url, branch)
        added = Source(unused_name(git.label(url), sources), str(path), url=url, branch=branch)
        remember(folder, [*sources, added])
    return added


def unused_name(label: str, sources: Sequence[Source]) -> str:
    """`label`, with a number after it if a source has that name already."""
    taken = {source.name for source in sources}
    return next(text for n in range(1, len(taken) + 2) if (text := label if n == 1 else f"{label}-{n}") not in taken)


def add_source_from_page(settings: Settings, name: str, text: str) -> Source:
    """A repository's address, or a path below settings.source_roots that is not hidden, as typed into the page.

    Raises:
        SourceError: also when it lies elsewhere, whether it exists there or not.
    """
    roots = settings.source_roots or (Path.home(), Path.cwd())
    if not text.strip() or "\0" in text:
        raise SourceError("Type the path of a folder or file, or the address of a git repository.")
    if git.is_git_url(text.strip()):
        return add_git_source(settings, name, text)
    try:
        path = Path(text.strip()).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # ~nobody, a loop of links
        raise SourceError(f"Source {text.strip()} is not there: check the path.") from error
    inside = [path.relative_to(root) for root in roots if path.is_relative_to(root)]
    if not inside:
        allowed = ", ".join(dict.fromkeys(map(str, roots)))
        raise SourceError(f"The page adds sources below {allowed} only: set source_roots in kb.toml to allow others.")
    if any(part.startswith(".") for part in min(inside, key=lambda relative: len(relative.parts)).parts):
        raise SourceError("The page does not add hidden folders: use `python -m ingest` for that.")
    return add_source(settings, name, path)


def remove_source(settings: Settings, name: str, which: str) -> Source:
    """Forget a source, named by its name, path or address; the next run takes its documents out of the index.

    What InternKB made for it (a clone, the uploads) is deleted; a folder of the user's is not touched.

    Raises:
        SourceError: there is no such source.
    """
    folder, source = _find(settings, name, which)
    remember(folder, [other for other in read_sources(folder) if other != source])
    if Path(source.path).is_relative_to(folder):
        rmtree(source.path, ignore_errors=True)  # what is left, the next run removes
    return source


def pause_source(settings: Settings, name: str, which: str, paused: bool = True) -> Source:
    """Stop reading a source again, or take it up; raises SourceError as remove_source does."""
    folder, source = _find(settings, name, which)
    changed = replace(source, paused=paused)
    remember(folder, [changed if other == source else other for other in read_sources(folder)])
    return changed


def _find(settings: Settings, name: str, which: str) -> tuple[Path, Source]:
    folder = base_folder(settings, name)
    sources = read_sources(folder)
    path = str(Path(which).expanduser().resolve())
    for source in sources:
        if which in (source.name, source.where, source.url) or path == source.path:
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


def remember(folder: Path, sources: Sequence[Source]) -> None:
    """Write sources.json: what a knowledge base is made from, from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(source) for source in sources]
    for row in rows:
        if Path(row["path"]).is_relative_to(folder):
            row["path"] = str(Path(row["path"]).relative_to(folder))
    write_json(folder / "sources.json", {"version": __version__, "sources": rows})
