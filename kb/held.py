"""The models in the memory of this process, and who is using them. What may be done with them is in serving.py and swap.py."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from kb.errors import ModelError
from kb.llm.chat import MemoryChat
from kb.llm.memory import GIB, Memory, device_memory, device_of, gib, needs
from kb.models import Card, get_model, model_folder
from kb.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Held:
    """A model in memory; `users`: answers that are being written with it. A retired one goes with the last of them."""

    name: str
    chat: MemoryChat
    needs: int
    users: int = 0
    retired: bool = False


class House:
    """What this process has in memory of one data_base. `changed` guards all of it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held: dict[str, Held] = {}
        self.loaded: list[Held] = []  # those, and the ones that are on their way in or out
        self.serving = ""  # what answers here; empty until it was asked for
        self.version = 0  # of the choice that `serving` was
        self.paused = False  # its model is being exchanged without room for two: questions wait
        self.following = False
        self.swapping = threading.Lock()
        self.bringing = threading.Lock()  # one load at a time: each counts on the room it was told of
        self.first = threading.Lock()  # questions that need the same model loaded wait for one of them to do it

    def take(self, held: Held) -> None:
        held.users += 1

    def release(self, held: Held) -> None:
        with self.changed:
            held.users -= 1
            self.changed.notify_all()
            gone = held.retired and not held.users
        if gone:  # in a thread of its own: the one that releases may be that of an event loop
            threading.Thread(target=self._free, args=(held,), daemon=True).start()

    def retire(self, held: Held) -> None:
        """Nobody is given it any more; its memory is given back now, or when its last answer ends."""
        with self.changed:
            if self.held.get(held.name) is held:
                del self.held[held.name]
            held.retired = True
            used = held.users
        if not used:
            self._free(held)

    def drain(self, held: Held, seconds: float) -> None:
        """Wait until no answer uses it. Raises ModelError when that takes too long."""
        with self.changed:
            if not self.changed.wait_for(lambda: not held.users, seconds):
                raise ModelError(f"{held.users} answers by {held.name} were still running after {seconds:g} s: try again later.")

    def _free(self, held: Held) -> None:
        from kb.llm.load import give_back

        with self.changed:
            if held not in self.loaded:
                return
            self.loaded.remove(held)
        held.chat.close()
        give_back()

    def bring(self, settings: Settings, name: str) -> Held:
        """Load a model that fits into what is free. It is not in `held` yet.

        Raises:
            ModelError: there is no such model, it does not fit or cannot be loaded.
        """
        from kb.llm.load import load_model

        card, folder = get_model(settings, name), model_folder(settings, name)
        with self.bringing:
            needed = self.must_fit(settings, card)
            model = load_model(card, folder, settings)
            held = Held(name, MemoryChat(model, card.system), needed)
            with self.changed:
                self.loaded.append(held)
        return held

    def must_fit(self, settings: Settings, card: Card) -> int:
        """The bytes that a model needs. Raises ModelError if they are not free, also without the models that nobody uses."""
        needed, there = needs(card, model_folder(settings, card.name), device_of(settings)), memory(settings)
        if needed > there.free:
            with self.changed:
                idle = [held for held in self.held.values() if not held.users and held.name != self.serving]
            for held in idle:
                self.retire(held)
            there = memory(settings)
        if needed > there.free:
            raise DoesNotFit(
                f"{card.name} does not fit: it needs {gib(needed)}, and of {gib(there.total)} on the {_where(there)} "
                f"{gib(there.free)} are free."
            )
        return needed


class DoesNotFit(ModelError):
    """There is less memory than a model needs."""


_houses: dict[Path, House] = {}
_houses_lock = threading.Lock()


def house_of(settings: Settings) -> House:
    """The one of this process for a data_base."""
    with _houses_lock:
        return _houses.setdefault(settings.data_base, House())


def memory(settings: Settings) -> Memory:
    """The memory that models have: the device's, or the part of it that model_gib says."""
    real = device_memory(settings)
    if not settings.model_gib:
        return real
    house, total = house_of(settings), int(settings.model_gib * GIB)
    with house.changed:
        used = sum(held.needs for held in house.loaded)
    return Memory(real.device, total, used, max(0, min(real.free, total - used)))


def _where(there: Memory) -> str:
    return "GPU" if there.device == "cuda" else "CPU"
