"""Which model answers: the list of what can, the one that does, and putting another one in while questions are asked.

The choice is a row of state.db, so every process follows it: one that has another model in memory notices at its next question
and exchanges it beside the answers that go on; if that fails, the choice is taken back, for all of them.
"""

from dataclasses import dataclass
from typing import Literal

from kb.errors import ModelError
from kb.held import DoesNotFit, house_of, memory
from kb.leases import Pointer, chat_elsewhere, chosen_model, lease, leased, warm
from kb.llm.memory import Memory, device_of, needs
from kb.models import Card, list_models, model_folder
from kb.settings import Settings
from kb.state import State
from kb.swap import QUOTES, SETTINGS, Swap, Tell, Wanted, label, smoke, swap

__all__ = [
    "QUOTES",
    "SETTINGS",
    "Entry",
    "Memory",
    "Swap",
    "choose",
    "entries",
    "lease",
    "leased",
    "live_name",
    "memory",
    "use",
    "warm",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list of what can answer. `needs`: bytes, 0 where nothing is loaded; `fits`: whether these are free beside
    what is loaded, None if that is not known or not needed. `problem`: why it does not answer though it was chosen."""

    name: str
    kind: Literal["quotes", "endpoint", "memory"]
    card: Card | None
    live: bool
    fits: bool | None = None
    needs: int = 0
    problem: str = ""


def entries(settings: Settings) -> list[Entry]:
    """What can answer: quotations first, then the settings' endpoint if there is one, then the models by name."""
    live, there, house, chosen = live_name(settings), memory(settings), house_of(settings), State(settings).model()
    with house.changed:
        live = house.serving or live
        held = set(house.held)
    problem = chosen.problem if chosen else ""
    found = [Entry(QUOTES, "quotes", None, live == QUOTES)]
    if settings.endpoint_url:
        found.append(Entry(SETTINGS, "endpoint", None, live == SETTINGS))
    for card in list_models(settings):
        if card.endpoint:
            found.append(Entry(card.name, "endpoint", card, live == card.name))
            continue
        own = problem if problem.startswith(f"{card.name}: ") else ""
        try:
            needed = needs(card, model_folder(settings, card.name), device_of(settings))
        except ModelError as error:
            found.append(Entry(card.name, "memory", card, live == card.name, problem=str(error)))
            continue
        fits = card.name in held or needed <= there.free
        found.append(Entry(card.name, "memory", card, live == card.name, fits, needed, own.removeprefix(f"{card.name}: ")))
    return found


def live_name(settings: Settings) -> str:
    """The one that was chosen to answer; if none was, the settings' endpoint, or quotations where they name none."""
    return chosen_model(settings).name


def problem(settings: Settings) -> str:
    """Why the model that was chosen last does not answer; empty if it does."""
    chosen = State(settings).model()
    return chosen.problem if chosen else ""


def use(settings: Settings, name: str, tell: Tell | None = None) -> Swap:
    """Let `name` answer, in this process from now on and in others from their next question on.

    Raises:
        ModelError: it cannot; one sentence, and what answered before goes on.
    """
    house, before = house_of(settings), chosen_model(settings)
    chat = chat_elsewhere(settings, name)
    old = house.serving or before.name
    moved = Pointer(settings, before, name)
    wanted = Wanted(name, chat is None and name != QUOTES, chat, lambda: moved.to(house), lambda: moved.back(house))
    return swap(house, settings, old, wanted, tell or _quiet)


def choose(settings: Settings, name: str, tell: Tell | None = None) -> str:
    """Choose what answers, for a page that runs in another process. Returns a sentence.

    Whether the model answers is tried here if there is room for it; if not, the page tries it when it takes it over.

    Raises:
        ModelError: it does not answer; nothing was changed.
    """
    tell, house, before = tell or _quiet, house_of(settings), chosen_model(settings)
    chat = chat_elsewhere(settings, name)
    tried = "It answered two short questions."
    if chat is not None:
        smoke(chat, settings)
    elif name == QUOTES:
        tried = "That needs no model."
    else:
        try:
            tell(f"Loading {name} to try it.")
            held = house.bring(settings, name)
        except DoesNotFit as error:
            tried = f"It was not tried here: {error} A page that runs tries it when it takes it over."
        else:
            try:
                smoke(held.chat, settings)
            finally:
                house.retire(held)
    State(settings).set_model(name, before.version)
    return f"{label(name)} answers from the next question on. {tried}"


def _quiet(_: str) -> None:
    pass
