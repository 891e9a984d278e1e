"""The last steps of every new generation: checked by another process, renamed, and made the live one."""

import importlib
import multiprocessing
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from shutil import rmtree

from ingest.child import die_with_parent
from ingest.report import Report
from kb.base import base_folder, generation_folder
from kb.embed import Embedder
from kb.errors import BaseError
from kb.index import Generation, verify
from kb.jobs import Progress
from kb.learn import learn
from kb.learned import write_learned
from kb.manifest import read_manifest
from kb.settings import Settings
from kb.state import State
from kb.whole import sync

_VERIFY_SECONDS = 600


def add_generation(
    name: str,
    settings: Settings,
    write: Callable[[Path], None],
    report: Report,
    progress: Callable[[Progress], None],
    trusted: Collection[str] = (),
    embedder: Embedder | None = None,
) -> int:
    """Have `write` fill a new part folder, check it and make it the live generation; returns its number. For the one writer.

    Segments that are `trusted` have been checked before. With an `embedder`, what is known of the documents is learned anew
    where it has become old.

    Raises:
        BaseError: it cannot be written or failed its check; the old one still serves.
    """
    folder = base_folder(settings, name)
    number = 1 + max(numbers(folder), default=0)
    part = generation_folder(folder, number).with_suffix(".part")
    try:
        with _verifier() as verifier:
            verifier.submit(int)  # starts it now: its imports run while the index is written
            write(part)
            with report.stage("verify"):
                progress(Progress("verify", 0, 1, "generations"))
                _verify_elsewhere(verifier, part, trusted, partial(_learn, part, embedder))
            with report.stage("publish"):
                _publish(name, part, number, settings)
    except BaseException:
        rmtree(part, ignore_errors=True)
        _sweep(folder)
        raise
    return number


def clean(folder: Path, live: int | None, before: int | None) -> None:
    """Remove what a crashed run left behind. What is newer than the live generation stays: its number is not used again."""
    for part in (folder / "generations").glob("*.part"):
        rmtree(part)
    for old in [number for number in numbers(folder) if live is not None and number < live and number != before]:
        rmtree(generation_folder(folder, old))
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove the segments that no generation names."""
    named: set[str] = set()
    for number in numbers(folder):
        try:
            named |= {info.name for info in read_manifest(generation_folder(folder, number)).segments}
        except BaseError:
            continue  # an index that cannot be read needs none
    for segment in (folder / "segments").glob("*"):
        if segment.name not in named:
            rmtree(segment)


def numbers(folder: Path) -> list[int]:
    """The generations there are in the folder of a knowledge base."""
    return [int(path.name) for path in (folder / "generations").glob("[0-9]" * 4)]


def _verifier() -> ProcessPoolExecutor:
    """A process that writes no index: one that wrote it sees its own memory, not what is on disk."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start_verifier)


def _start_verifier() -> None:
    die_with_parent()
    importlib.import_module("chromadb.api.rust")


def _verify_elsewhere(verifier: ProcessPoolExecutor, part: Path, trusted: Collection[str], meanwhile: Callable[[], None]) -> None:
    checked = verifier.submit(verify, part, trusted)
    meanwhile()
    try:
        checked.result(_VERIFY_SECONDS)
    except (BrokenProcessPool, TimeoutError) as error:
        raise BaseError(f"The check of the new index did not end ({type(error).__name__}): the old one still serves.") from error


def _learn(part: Path, embedder: Embedder | None) -> None:
    """What the new generation knows of its own documents, where that is to be learned anew."""
    if embedder is None:
        return
    generation = Generation(part)
    if generation.learned.due:
        write_learned(part, learn(generation, embedder))
    generation.close()


def _publish(name: str, part: Path, number: int, settings: Settings) -> None:
    """Rename, move the pointer, and keep only the generation before this one to go back to."""
    state = State(settings)
    before = state.live(name)
    part.rename(part.with_suffix(""))
    sync(part.parent)
    state.set_live(name, number, before)
    for old in set(numbers(part.parent.parent)) - {number, before}:
        rmtree(generation_folder(part.parent.parent, old))
    _sweep(part.parent.parent)
