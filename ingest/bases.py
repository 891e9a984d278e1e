"""Knowledge bases come, change their name and go. Each by the one writer, and the conversations about them follow."""

from shutil import rmtree

from ingest.lock import locked
from ingest.sources import remember
from kb.base import KnowledgeBase, base_folder
from kb.errors import BaseError
from kb.settings import Settings
from kb.state import State


def create_base(settings: Settings, name: str) -> None:
    """Make an empty knowledge base.

    Raises:
        BaseError: there is one of that name, or it cannot be a name.
    """
    folder = base_folder(settings, name)
    with locked(folder):
        refuse_taken(settings, name)
        remember(folder, [])


def rename_base(settings: Settings, old: str, new: str) -> None:
    """Give a knowledge base another name; its index and conversations stay.

    Raises:
        BaseError: there is none of the name `old`, one of the name `new`, or one of them is being indexed.
    """
    folder, target = KnowledgeBase.open(old, settings).folder, base_folder(settings, new)
    if target.parent != folder.parent:
        raise BaseError(f"{new!r} cannot name a knowledge base.")
    refuse_taken(settings, new)
    with locked(folder), locked(target):
        refuse_taken(settings, new)
        rmtree(target)  # no knowledge base: what a run left there that failed before it had a source
        with State(settings).renaming(old, new):
            folder.rename(target)


def delete_base(settings: Settings, name: str) -> None:
    """Delete a knowledge base: its index, clones and uploads, and the conversations about it; not the user's own folders.

    Raises:
        BaseError: there is none of that name, or it is being indexed.
    """
    folder = KnowledgeBase.open(name, settings).folder
    with locked(folder):
        State(settings).forget(name)
        (folder / "sources.json").unlink()  # from here on it is none; what a crash leaves is in nobody's way
        rmtree(folder)


def refuse_taken(settings: Settings, name: str) -> None:
    """Raises BaseError when there is a knowledge base `name`."""
    if name in KnowledgeBase.names(settings):
        raise BaseError(f"There is a knowledge base {name!r} already: choose another name.")
