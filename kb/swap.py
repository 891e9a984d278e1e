"""Another model takes over while questions are asked.

candidate in → two short questions → pointer → running answers end on the old one → its memory is given back.
Where there is no room for two, the old one stops first and new questions wait. Whatever fails, the old one answers as before.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kb.errors import KBError, ModelError
from kb.held import DoesNotFit, Held, House, memory
from kb.llm.chat import Chat
from kb.llm.memory import Memory, gib, needs
from kb.llm.memory import device_of as _device_of
from kb.models import get_model, model_folder
from kb.settings import Settings

QUOTES = "quotes"  # no model: answers are quotations
SETTINGS = "endpoint"  # the endpoint that the settings name
QUESTIONS = ("你好，请介绍一下你自己。", "Hello, who are you?")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Swap:
    """What a swap did; memory in bytes, of `device`. `stopped_first`: there was no room for two."""

    old: str
    new: str
    seconds: float
    used_before: int
    used_after: int
    free_before: int
    free_after: int
    device: str
    stopped_first: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model to put in: one `in_memory` is loaded, another asked where it is. `move` moves the pointer, `back` undoes that."""

    name: str
    in_memory: bool
    chat: Chat | None
    move: Callable[[], None]
    back: Callable[[], None]


def swap(house: House, settings: Settings, old: str, wanted: Wanted, tell: Tell) -> Swap:
    """Raises ModelError, one sentence; then `old` answers as before."""
    if not house.swapping.acquire(blocking=False):
        raise ModelError("Another model is being put in at the moment: wait until that is done.")
    try:
        started, before = time.monotonic(), memory(settings)
        stopped_first = _exchange(house, settings, old, wanted, tell)
        after = memory(settings)
        return _report(old, wanted.name, time.monotonic() - started, before, after, stopped_first)
    finally:
        house.swapping.release()


def _exchange(house: House, settings: Settings, old: str, wanted: Wanted, tell: Tell) -> bool:
    before = house.held.get(old)
    candidate = house.held.get(wanted.name) if wanted.in_memory else None
    fresh = candidate is None
    stopped_first = False
    try:
        if wanted.in_memory and candidate is None:
            tell(f"Loading {wanted.name}.")
            try:
                candidate = house.bring(settings, wanted.name)
            except DoesNotFit as full:
                if before is None or not _would_fit(settings, wanted.name, before):
                    raise
                tell(f"{full} {label(old)} is stopped first; questions wait.")
                stopped_first = True
                _stop(house, settings, before)
                candidate = house.bring(settings, wanted.name)
        tell("Asking it two short questions.")
        chat = candidate.chat if candidate else wanted.chat
        if chat is not None:
            smoke(chat, settings)
        wanted.move()
        try:
            with house.changed:
                if candidate is not None:
                    house.held[wanted.name] = candidate
                house.serving, house.paused = wanted.name, False
                house.changed.notify_all()
            if before is not None and before is not candidate and not stopped_first:
                tell(f"Waiting for the running answers of {label(old)}.")
                house.drain(before, settings.drain_seconds)
        except BaseException:
            wanted.back()
            raise
    except BaseException as error:
        outcome = _restore(house, settings, old, before, candidate if fresh else None, stopped_first)
        if isinstance(error, KBError):
            raise ModelError(f"{error} {outcome}") from error
        raise
    if before is not None and before is not candidate and not stopped_first:
        house.retire(before)
    return stopped_first


def _would_fit(settings: Settings, name: str, old: Held) -> bool:
    needed = needs(get_model(settings, name), model_folder(settings, name), _device_of(settings))
    return needed <= memory(settings).free + old.needs


def _stop(house: House, settings: Settings, old: Held) -> None:
    """Let its running answers end, and give its memory back; questions wait from now on."""
    with house.changed:
        house.paused = True
    house.drain(old, settings.drain_seconds)
    house.retire(old)


def _restore(house: House, settings: Settings, old: str, before: Held | None, candidate: Held | None, stopped: bool) -> str:
    """Everything as it was; returns a sentence that says so, or why it is not."""
    with house.changed:
        house.serving = old
        if candidate is not None and house.held.get(candidate.name) is candidate:
            del house.held[candidate.name]
    if candidate is not None:
        house.retire(candidate)
    try:
        if stopped and before is not None and before.retired:
            again = house.bring(settings, old)
            with house.changed:
                house.held[old] = again
    except ModelError as error:
        return f"{label(old)} could not be loaded again either ({error}); the next question tries."
    finally:
        with house.changed:
            house.paused = False
            house.changed.notify_all()
    return f"{label(old)} answers as before."


def smoke(chat: Chat, settings: Settings) -> None:
    """Ask the two questions. Raises ModelError if one is not answered, or not in time."""

    async def ask() -> None:
        try:
            async with asyncio.timeout(settings.smoke_seconds):
                for question in QUESTIONS:
                    await chat.probe(question, settings)
        except TimeoutError as error:
            raise ModelError(f"{chat.name} did not answer two short questions within {settings.smoke_seconds:g} s.") from error

    with ThreadPoolExecutor(1) as pool:  # the caller's thread may run a loop of its own
        pool.submit(asyncio.run, ask()).result()


def label(name: str) -> str:
    """What people know it by, at the start of a sentence."""
    return {QUOTES: "Quoting", SETTINGS: "The endpoint of the settings"}.get(name, name)


def _report(old: str, new: str, seconds: float, before: Memory, after: Memory, stopped_first: bool) -> Swap:
    return Swap(old, new, round(seconds, 2), before.used, after.used, before.free, after.free, after.device, stopped_first)


def told(done: Swap) -> str:
    """A sentence for people."""
    first = " It did not fit beside the old one, which was stopped first." if done.stopped_first else ""
    return (
        f"{label(done.new)} answers now, after {done.seconds:.1f} s.{first} Memory in use on the {done.device}: "
        f"{gib(done.used_before)} before, {gib(done.used_after)} now; {gib(done.free_after)} are free."
    )
