"""What can answer, as the page names it: quotations, the server of the settings, models."""

from kb import KBError
from ui.core import Core
from ui.options import LIVE
from ui.words import Words


def title(words: Words, core: Core, name: str) -> str:
    """Name of an entry for people."""
    return answered_by(core, name) or words("options.quotes")


def answered_by(core: Core, name: str) -> str:
    """The model behind the entry `name` (LIVE: the live one); empty where answers are quotations."""
    return core.model_called(name or core.live_model())


def known(words: Words, core: Core, name: object) -> str:
    """`name`, if something is called so or it is LIVE; raises KBError for what the page does not offer."""
    if not isinstance(name, str) or (name != LIVE and name not in core.model_names()):
        raise KBError(words("options.gone"))
    return name


def choices(words: Words, core: Core, *, live: bool) -> list[tuple[str, str]]:
    """(label, name) of what a question can be put to; with `live`, first whatever answers now. What does not fit is left out."""
    every: list[tuple[str, str]] = []
    if live:
        every.append((words("options.live", model=title(words, core, LIVE)), LIVE))
    for entry in core.entries():
        if entry.fits is not False or entry.live:
            every.append((title(words, core, entry.name), entry.name))
    return every
