"""A knowledge base by name: its sources, its live generation, and a LangChain retriever over it.

data_base/kbs/<name>/sources.json            what it is made from
data_base/kbs/<name>/generations/0007/       one index, unchanging
data_base/kbs/<name>/segments/               what generations share
data_base/state.db                           which generation is live
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kb.embed import Embedder, load_embedder
from kb.errors import BaseError
from kb.index import Generation
from kb.manifest import MANIFEST, Manifest, read_manifest
from kb.names import bad_name
from kb.records import Found, Source, Standalone, Turn
from kb.settings import Settings, load_settings
from kb.state import State

if TYPE_CHECKING:
    from kb.retriever import Retriever

DEFAULT = "default"
_NAME_BYTES = 120
_open_lock = threading.Lock()
# One open generation a knowledge base, replaced when the pointer moves; beside it what tells it from another one of its
# number, in a knowledge base that was deleted and made again.
_live: dict[Path, tuple[tuple[int, int], Generation]] = {}


def base_folder(settings: Settings, name: str) -> Path:
    """Folder of the knowledge base `name`, which need not exist.

    Raises:
        BaseError: the name cannot be a folder's.
    """
    if sentence := bad_name(name, "a knowledge base", _NAME_BYTES):
        raise BaseError(sentence)
    return settings.data_base / "kbs" / name


def read_sources(folder: Path) -> list[Source]:
    """The sources remembered in a knowledge base's folder, in the order they were added.

    A relative path lies in that folder: clones and uploads, which move with it.
    """
    try:
        value = json.loads((folder / "sources.json").read_text("utf-8"))
        return [Source(**row | {"path": str(folder / row["path"])}) for row in value["sources"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise BaseError(f"{folder / 'sources.json'} is damaged ({error}): delete it and name the sources again.") from error


class KnowledgeBase:
    """A knowledge base, cheap to open; the index is read at the first question and follows the live pointer."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.folder = base_folder(settings, name)

    @staticmethod
    def names(settings: Settings) -> list[str]:
        """All knowledge bases, sorted."""
        folder = settings.data_base / "kbs"
        return sorted(path.parent.name for path in folder.glob("*/sources.json")) if folder.is_dir() else []

    @classmethod
    def open(cls, name: str = DEFAULT, settings: Settings | None = None) -> "KnowledgeBase":
        """Raises BaseError, naming those there are, when there is none of that name."""
        settings = settings or load_settings()
        if name not in cls.names(settings):
            known = ", ".join(cls.names(settings)) or "none yet"
            raise BaseError(
                f"There is no knowledge base {name!r} (there are: {known}): `python -m ingest SOURCE --kb NAME` makes one."
            )
        return cls(name, settings)

    def sources(self) -> list[Source]:
        return read_sources(self.folder)

    def manifest(self) -> Manifest:
        """The live generation's manifest, without opening the index. Raises BaseError like snapshot()."""
        return read_manifest(generation_folder(self.folder, self._live_number()))

    def _live_number(self) -> int:
        number = State(self.settings).live(self.name)
        if number is None:
            raise BaseError(f"Knowledge base {self.name!r} has not been indexed yet: run `python -m ingest --kb {self.name}`.")
        return number

    def snapshot(self) -> Generation:
        """The live generation, open. Hold on to it to answer one question from one state.

        Raises:
            BaseError: never indexed, or the index is damaged.
        """
        while True:
            number = self._live_number()
            try:
                return self._opened(number)
            except BaseError:
                if self._live_number() == number:
                    raise  # else it was removed while it was being opened: another one is live by now

    def _opened(self, number: int) -> Generation:
        folder = generation_folder(self.folder, number)
        with _open_lock:
            stamp, opened = _live.get(self.folder, (None, None))
            try:
                status = (folder / MANIFEST).stat()
                now = (status.st_ino, status.st_mtime_ns)
            except OSError:
                now = (0, 0)  # Generation says what is wrong
            if opened is None or opened.number != number or stamp != now:
                # The one it replaces is closed when the last question that holds it lets go.
                opened = Generation(folder)
                opened.warm()
                _live[self.folder] = (now, opened)
            return opened

    def embedder(self, snapshot: Generation) -> Embedder:
        """The settings' embedding model, if it is the one that made `snapshot`.

        Raises:
            BaseError: it is another one; names both and the way out.
        """
        embedder = load_embedder(self.settings)
        if embedder.fingerprint != snapshot.manifest.fingerprint:
            raise BaseError(
                f"Knowledge base {self.name!r} was indexed with {snapshot.manifest.fingerprint}, but the settings say "
                f"{embedder.fingerprint}: set embed_model back, or index it again with `python -m ingest --kb {self.name}`."
            )
        return embedder

    def search(self, question: str, history: Sequence[Turn] = (), snapshot: Generation | None = None) -> Found:
        """The passages for a question, best first; `history` is what was said before it."""
        return self.find(question, history, snapshot)[1]

    def find(
        self,
        question: str,
        history: Sequence[Turn] = (),
        snapshot: Generation | None = None,
        standalone: Standalone | None = None,
    ) -> tuple[Generation, Found]:
        """As search(), with the generation that was asked: the one given, or a newer one if its files have gone meanwhile.

        `standalone` is searched for instead of the question and its history.
        """
        from kb.rerank import load_reranker
        from kb.retrieve import retrieve

        def found(snapshot: Generation) -> Found:
            embedder, reranker, settings = self.embedder(snapshot), load_reranker(self.settings), self.settings
            return retrieve(question, history, snapshot, embedder, settings.top_k, reranker, standalone, settings.reread)

        snapshot = snapshot or self.snapshot()
        try:
            return snapshot, found(snapshot)
        except BaseError:
            newer = self.snapshot()
            if newer.number == snapshot.number:
                raise
            return newer, found(newer)

    def as_retriever(self) -> "Retriever":
        """A LangChain BaseRetriever; documents carry source, title, heading, start, end and score as metadata."""
        from kb.retriever import Retriever

        return Retriever(base=self)


def generation_folder(folder: Path, number: int) -> Path:
    return folder / "generations" / f"{number:04d}"
