"""A model for the time of one answer, and following a choice that was made in another process."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

from kb.errors import ModelError
from kb.held import Held, House, house_of
from kb.llm.chat import Chat, EndpointChat
from kb.models import endpoint_key, get_model
from kb.settings import Settings
from kb.state import Answering, State
from kb.swap import QUOTES, SETTINGS, Wanted, swap

_log = logging.getLogger(__name__)
# Those who wait for a model. Not the loop's own threads: running answers need these to come to their end.
_takers = ThreadPoolExecutor(64, "lease")


def chosen_model(settings: Settings) -> Answering:
    """What is to answer: what was chosen, else the server of the settings, else quotations."""
    chosen = State(settings).model()
    default = SETTINGS if settings.endpoint_url else QUOTES
    if chosen is None:
        return Answering(default, 0)
    return Answering(default, chosen.version) if chosen.name == SETTINGS and default == QUOTES else chosen


def chat_elsewhere(settings: Settings, name: str) -> Chat | None:
    """The chat of what needs no memory here. Raises ModelError if there is nothing called `name`."""
    if name == QUOTES:
        return None
    if name == SETTINGS:
        if not settings.endpoint_url:
            raise ModelError("The settings name no endpoint: set endpoint_url, or choose a model by its name.")
        return EndpointChat(name, settings.endpoint_url, settings.endpoint_model, settings.endpoint_key)
    endpoint = get_model(settings, name).endpoint
    return EndpointChat(name, endpoint.url, endpoint.model, endpoint_key(settings, name)) if endpoint else None


class Pointer:
    """The move of the choice from one model to another, by version, so that two processes do not undo each other's."""

    def __init__(self, settings: Settings, before: Answering, name: str) -> None:
        self._settings, self._before, self._name = settings, before, name
        self._version = before.version

    def to(self, house: House) -> None:
        self._set(house, self._name)

    def back(self, house: House, problem: str = "") -> None:
        self._set(house, self._before.name, problem)

    def _set(self, house: House, name: str, problem: str = "") -> None:
        self._version = house.version = State(self._settings).set_model(name, self._version, problem).version


@contextmanager
def lease(settings: Settings, name: str | None = None) -> Iterator[Chat | None]:
    """What answers, or the model `name`, for one answer: it stays until this ends. None: answers are quotations.

    A model in memory is loaded when it is first asked for. Raises ModelError if it cannot be.
    """
    chat, held = _take(settings, name or None)
    try:
        yield chat
    finally:
        if held is not None:
            house_of(settings).release(held)


@asynccontextmanager
async def leased(settings: Settings, name: str | None = None) -> AsyncGenerator[Chat | None]:
    """lease() for a coroutine: the loop does not wait for a model to load, and cancelling leaves nothing held."""
    guard, state = threading.Lock(), {"left": False}
    taken: list[tuple[Chat | None, Held | None]] = []

    def take() -> None:
        found = _take(settings, name or None)
        with guard:
            taken.append(found)
            gone = state["left"]
        if gone:
            leave()

    def leave() -> None:
        for _, held in taken:
            if held is not None:
                house_of(settings).release(held)

    try:
        await asyncio.get_running_loop().run_in_executor(_takers, take)
    except asyncio.CancelledError:
        with guard:
            state["left"] = True
            there = bool(taken)
        if there:
            leave()
        raise
    try:
        yield taken[0][0]
    finally:
        leave()


def warm(settings: Settings) -> None:
    """Load what answers, in a thread of its own, so that the first question does not wait for it."""

    def load() -> None:
        try:
            with lease(settings):
                pass
        except Exception as error:  # the first question will be told the same
            _log.warning("The model that answers could not be loaded: %s", error)

    threading.Thread(target=load, name="warm", daemon=True).start()


def _take(settings: Settings, name: str | None) -> tuple[Chat | None, Held | None]:
    house = house_of(settings)
    while True:
        wanted = name or _follow(house, settings)
        if wanted == QUOTES:
            return None, None
        if (chat := chat_elsewhere(settings, wanted)) is not None:
            return chat, None
        with house.changed:
            house.changed.wait_for(lambda: not house.paused)
            if name is None and house.serving not in ("", wanted):
                continue  # exchanged meanwhile
            if held := house.held.get(wanted):
                house.take(held)
                return held.chat, held
        with house.first:
            with house.changed:
                if house.held.get(wanted) or (name is None and house.serving not in ("", wanted)):
                    continue
            held = house.bring(settings, wanted)
            with house.changed:
                house.held[wanted] = held
                house.take(held)
            return held.chat, held


def _follow(house: House, settings: Settings) -> str:
    """What answers in this process. If another one has been chosen elsewhere, it is put in beside the answers that go on."""
    chosen = chosen_model(settings)
    with house.changed:
        if not chosen.version:
            return chosen.name
        in_memory = house.serving in house.held
        if not house.serving or (not in_memory and _needs_nothing(settings, chosen.name)):
            house.serving, house.version = chosen.name, chosen.version
        elif chosen.version != house.version and not house.following and not house.swapping.locked():
            if chosen.name == house.serving:
                house.version = chosen.version
            else:
                house.following = True
                old = house.serving
                threading.Thread(target=_exchange, args=(house, settings, old, chosen), name="swap", daemon=True).start()
        return house.serving


def _needs_nothing(settings: Settings, name: str) -> bool:
    return name in (QUOTES, SETTINGS) or get_model(settings, name).endpoint is not None


def _exchange(house: House, settings: Settings, old: str, chosen: Answering) -> None:
    """Put in what was chosen elsewhere; if it cannot be, the choice is taken back and the reason stays with it."""
    pointer = Pointer(settings, Answering(old, chosen.version), chosen.name)
    try:
        chat = chat_elsewhere(settings, chosen.name)
        followed = Wanted(chosen.name, chat is None and chosen.name != QUOTES, chat, lambda: None, lambda: None)
        swap(house, settings, old, followed, lambda text: _log.info("%s", text))
        with house.changed:
            house.version = chosen.version
    except ModelError as error:
        _log.warning("%s was chosen to answer and could not be put in: %s", chosen.name, error)
        try:
            pointer.back(house, f"{chosen.name}: {error}")
        except ModelError as newer:  # chosen anew meanwhile: that is followed at the next question
            _log.info("%s", newer)
    finally:
        with house.changed:
            house.following = False
            house.changed.notify_all()
