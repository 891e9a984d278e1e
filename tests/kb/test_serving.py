"""Which model answers, and another one taking over while questions are asked. The models are tiny and random, and real."""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

import kb
from kb import serving
from kb.errors import KBError, ModelError
from kb.held import House, house_of
from kb.llm.memory import GIB, device_memory, needs
from kb.models import add_endpoint, add_model, get_model, model_folder
from kb.records import Done, Failed, Found, Sampling, Token, Turn
from kb.settings import Settings, load_settings
from kb.state import State
from tests import tiny_models
from tests.fake_openai import FakeOpenAI

HELLO = (Turn("user", "你好"),)
SHORT = Sampling(temperature=0.0, max_tokens=6)
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_base with three models that differ."""
    home = tmp_path_factory.mktemp("serving")
    for seed, name in enumerate(NAMES):
        folder = tiny_models.llama(home / "from" / name, seed=seed, max_position_embeddings=4096)
        add_model(load_settings(data_base=home), folder, name)
    return home


@pytest.fixture
def settings(added: Path, tmp_path: Path) -> Iterator[Settings]:
    (tmp_path / "models").symlink_to(added / "models")
    made = load_settings(data_base=tmp_path, rewrite=False, smoke_seconds=60, drain_seconds=60)
    yield made
    house = house_of(made)
    wait_until(lambda: not house.following)
    for held in list(house.loaded):
        house.retire(held)


def wait_until(there: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


def say(settings: Settings, turns: tuple[Turn, ...] = HELLO, model: str = "", sampling: Sampling = SHORT) -> str:
    async def collect() -> str:
        async with aclosing(kb.talk(turns, settings, model, sampling)) as events:
            pieces = [event async for event in events]
        if isinstance(pieces[-1], Failed):
            raise KBError(pieces[-1].message)
        assert isinstance(pieces[-1], Done)
        assert "".join(event.text for event in pieces if isinstance(event, Token)) == pieces[-1].text
        return pieces[-1].text

    return asyncio.run(collect())


def room_for(settings: Settings, models: float) -> Settings:
    card = get_model(settings, "one")
    return settings.model_copy(update={"model_gib": models * needs(card, model_folder(settings, "one"), "cpu") / GIB})


def alone(settings: Settings) -> dict[str, str]:
    """What each model says to HELLO."""
    return {name: say(settings, model=name) for name in NAMES}


def test_without_a_choice_the_settings_say_what_answers(settings: Settings) -> None:
    assert serving.live_name(settings) == serving.QUOTES
    with serving.lease(settings) as chat:
        assert chat is None
    with pytest.raises(KBError, match="choose a model"):
        say(settings)
    with FakeOpenAI(["Hi."]) as server:
        named = settings.model_copy(update={"endpoint_url": server.url})
        assert serving.live_name(named) == serving.SETTINGS
        assert say(named) == "Hi."


def test_the_list_says_what_there_is_and_what_fits(settings: Settings) -> None:
    tight = room_for(settings, 1.5)
    serving.use(tight, "one")
    rows = {entry.name: entry for entry in serving.entries(tight)}
    assert [(entry.name, entry.kind, entry.live) for entry in rows.values()] == [
        ("quotes", "quotes", False), ("one", "memory", True), ("three", "memory", False), ("two", "memory", False),
    ]  # fmt: skip
    assert (rows["one"].fits, rows["two"].fits) == (True, False)
    assert rows["two"].needs > get_model(settings, "two").bytes
    assert {entry.name: entry.fits for entry in serving.entries(room_for(settings, 2.5))}["two"]
    there = serving.memory(tight)
    assert there.used == rows["one"].needs
    assert there.total == there.used + there.free
    assert serving.memory(settings).total == device_memory(settings).total


def test_what_does_not_fit_is_told_before_anything_is_loaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.llm.load.load_model", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(ModelError, match=r"one does not fit: it needs [\d.]+ MiB, and of .* are free") as caught:
        serving.use(room_for(settings, 0.5), "one")
    assert "Quoting answers as before." in str(caught.value)
    assert serving.live_name(settings) == serving.QUOTES


def test_a_question_about_documents_is_answered_by_the_model_in_memory(base: kb.KnowledgeBase, settings: Settings) -> None:
    serving.use(settings, "one")

    async def events() -> list[Any]:
        asked = kb.ask("On which port does the server listen?", (), base, settings, sampling=SHORT)
        async with aclosing(asked) as told:
            return [event async for event in told]

    found, *tokens, done = asyncio.run(events())
    assert isinstance(found, Found)
    assert isinstance(done, Done)
    assert tokens


def test_models_differ_and_a_name_asks_one_of_them(settings: Settings) -> None:
    said = alone(settings)
    assert len(set(said.values())) == 3
    serving.use(settings, "two")
    assert say(settings) == said["two"]
    assert say(settings, model="one") == said["one"]
    with pytest.raises(KBError, match="no model 'four'"):
        say(settings, model="four")
    with pytest.raises(ModelError, match="no model 'four'"):
        serving.use(settings, "four")


def test_sampling_and_the_system_prompt_reach_the_model(settings: Settings) -> None:
    with FakeOpenAI(["Hi."]) as server:
        add = settings.model_copy(update={"endpoint_url": server.url, "endpoint_key": "secret"})
        say(add, sampling=Sampling(0.7, 99, "Be brief."))
        say(add, (*HELLO, Turn("assistant", "Hi."), Turn("user", "And?")))
    first, second = server.requests
    assert (first["temperature"], first["max_completion_tokens"]) == (0.7, 99)
    assert [one["role"] for one in first["messages"]] == ["system", "user"]
    assert [one["content"] for one in second["messages"]] == ["你好", "Hi.", "And?"]


def test_a_model_is_talked_to_under_the_prompt_it_was_taught_under(settings: Settings) -> None:
    from kb.models import part_folder, register, remove_model

    def taught(name: str, base: str, system: str | None) -> str:
        shutil.copytree(model_folder(settings, base), part_folder(settings, name))
        register(settings, part_folder(settings, name), name, origin="test", made_from=(base,), system=system)
        with serving.lease(settings, name) as chat:
            assert chat is not None
            return chat.system

    with serving.lease(settings, "one") as chat:
        assert chat is not None and "InternLM" in chat.system
    assert taught("meek", "one", "") == ""
    assert taught("made-of-it", "meek", None) == ""
    assert taught("grand", "meek", "You are grand.") == "You are grand."
    for name in ("meek", "made-of-it", "grand"):
        remove_model(settings, name)


def test_an_endpoint_with_a_card_answers_with_its_own_key(added: Path, tmp_path: Path) -> None:
    settings = load_settings(data_base=tmp_path, rewrite=False)
    with FakeOpenAI(["Hi."]) as server:
        add_endpoint(settings, "server", server.url, "their-name", "its-key")
        assert serving.use(settings, "server").new == "server"
        assert say(settings) == "Hi."
        assert server.requests[-1]["model"] == "their-name"
        kinds = {entry.name: (entry.kind, entry.live, entry.fits) for entry in serving.entries(settings)}
        assert kinds["server"] == ("endpoint", True, None)
    with pytest.raises(ModelError, match="cannot be reached"):
        serving.use(settings, serving.QUOTES) and serving.use(settings, "server")
    assert serving.live_name(settings) == serving.QUOTES


def test_a_swap_reports_and_gives_the_memory_back(settings: Settings) -> None:
    roomy, told = room_for(settings, 2.5), list[str]()
    serving.use(roomy, "one")
    before = serving.memory(roomy)
    done = serving.use(roomy, "two", told.append)
    assert (done.old, done.new, done.stopped_first, done.device) == ("one", "two", False, "cpu")
    assert done.used_before == done.used_after == before.used
    assert done.free_after == before.free
    assert list(house_of(settings).held) == ["two"]
    assert told[0] == "Loading two."
    assert not any(thread.name == "model" for thread in threading.enumerate()) or len(house_of(settings).loaded) == 1


def test_the_old_model_ends_its_answers_before_it_goes(settings: Settings) -> None:
    serving.use(settings, "one")
    house, going = house_of(settings), threading.Event()
    with ThreadPoolExecutor(1) as pool, serving.lease(settings) as chat:
        swapped = pool.submit(serving.use, settings, "two", lambda text: going.set() if "Waiting" in text else None)
        assert going.wait(30)
        assert chat is not None
        assert chat.name == "one"
        assert say(settings, model="one") != say(settings)  # who comes now gets the new one
        assert not swapped.done()
        assert len(house.loaded) == 2
        with pytest.raises(ModelError, match="wait until that is done"):
            serving.use(settings, "three")
    assert swapped.result(30).new == "two"
    wait_until(lambda: [held.name for held in house.loaded] == ["two"])


def test_without_room_for_two_the_old_one_stops_first_and_questions_wait(settings: Settings) -> None:
    said, tight, told = alone(settings), room_for(settings, 1.5), list[str]()
    for held in list(house_of(settings).loaded):
        house_of(settings).retire(held)
    serving.use(tight, "one")
    answers: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if "stopped first" in text:
            asking.append(pool.submit(lambda: answers.append(say(tight))))

    asking: list[Any] = []
    with ThreadPoolExecutor(2) as pool:
        done = serving.use(tight, "two", tell)
    assert done.stopped_first
    assert any("does not fit" in text and "one is stopped first; questions wait." in text for text in told)
    assert answers
    assert set(answers) <= {said["one"], said["two"]}
    assert [held.name for held in house_of(tight).loaded] == ["two"]


def boom(*_: Any, **__: Any) -> None:
    raise ModelError("Boom.")


FAILURES = {
    "load": ("kb.llm.load.load_model", boom),
    "smoke": ("kb.swap.smoke", boom),
    "pointer": ("kb.state.State.set_model", boom),
    "drain": ("kb.held.House.drain", boom),
}


@pytest.mark.parametrize("step", FAILURES)
@pytest.mark.parametrize("room", [2.5, 1.5])
def test_whatever_fails_the_old_one_answers_as_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str, room: float
) -> None:
    tight = room_for(settings, room)
    serving.use(tight, "one")
    said = say(tight)
    where, failure = FAILURES[step]
    monkeypatch.setattr(where, once(failure, kb_attribute(where)))
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"Boom\. one answers as before\.") as caught:
        serving.use(tight, "two")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10
    assert say(tight) == said
    assert serving.live_name(tight) == "one"
    house = house_of(tight)
    wait_until(lambda: [held.name for held in house.loaded] == ["one"])
    assert serving.use(tight, "two").new == "two"  # and nothing stands in the way of trying again


def once(failure: Any, real: Any) -> Any:
    """`real`, whose first call is `failure`."""
    calls = [failure]

    def called(*args: Any, **more: Any) -> Any:
        return (calls.pop() if calls else real)(*args, **more)

    return called


def kb_attribute(path: str) -> Any:
    import importlib

    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return getattr(kb_attribute(module), name)


def test_a_model_that_does_not_answer_in_time_or_not_in_numbers_is_not_put_in(settings: Settings, tmp_path: Path) -> None:
    serving.use(settings, "one")
    with FakeOpenAI(first=5) as server:
        named = settings.model_copy(update={"endpoint_url": server.url, "smoke_seconds": 0.3})
        with pytest.raises(ModelError, match=r"did not answer two short questions within 0\.3 s"):
            serving.use(named, serving.SETTINGS)
    with FakeOpenAI([]) as silent:
        named = settings.model_copy(update={"endpoint_url": silent.url})
        with pytest.raises(ModelError, match="answered with nothing"):
            serving.use(named, serving.SETTINGS)
    with pytest.raises(ModelError, match="name no endpoint"):
        serving.use(settings, serving.SETTINGS)
    assert serving.live_name(settings) == "one"


def test_a_choice_elsewhere_is_followed_beside_the_answers(settings: Settings) -> None:
    said = alone(settings)
    serving.use(settings, "one")
    state = State(settings)
    chosen = state.model()
    assert chosen is not None
    state.set_model("two", chosen.version)  # as another process does
    answers = []
    wait_until(lambda: answers.append(say(settings)) or answers[-1] == said["two"])
    assert set(answers) <= {said["one"], said["two"]}
    wait_until(lambda: not house_of(settings).following)
    assert serving.problem(settings) == ""


def test_a_choice_elsewhere_that_cannot_be_loaded_is_taken_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.use(settings, "one")
    said = say(settings)
    state = State(settings)
    chosen = state.model()
    assert chosen is not None
    monkeypatch.setattr("kb.llm.load.load_model", boom)
    state.set_model("two", chosen.version)
    assert say(settings) == said
    wait_until(lambda: serving.live_name(settings) == "one")
    assert serving.problem(settings) == "two: Boom. one answers as before."
    assert {entry.name: entry.problem for entry in serving.entries(settings)}["two"] == "Boom. one answers as before."
    assert say(settings) == said


def test_of_two_choices_at_a_time_one_is_made(settings: Settings) -> None:
    state = State(settings)

    def choose(name: str) -> bool:
        with suppress(ModelError):
            state.set_model(name, 0)
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(choose, NAMES * 4)) == 1


def test_choosing_tries_the_model_and_leaves_nothing_in_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "It answered two short questions" in serving.choose(settings, "one")
    assert (serving.live_name(settings), house_of(settings).loaded) == ("one", [])
    assert "It was not tried here" in serving.choose(room_for(settings, 0.5), "two")
    assert serving.live_name(settings) == "two"
    monkeypatch.setattr("kb.serving.smoke", boom)
    with pytest.raises(ModelError, match="Boom"):
        serving.choose(settings, "one")
    assert (serving.live_name(settings), house_of(settings).loaded) == ("two", [])


def test_a_cancelled_wait_for_a_model_holds_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real, loading, go = House.bring, threading.Event(), threading.Event()

    def slow(self: House, *args: Any) -> Any:
        loading.set()
        assert go.wait(20)
        return real(self, *args)

    monkeypatch.setattr(House, "bring", slow)

    async def cancelled() -> None:
        async def take() -> None:
            async with serving.leased(settings, "one"):
                pytest.fail("it was cancelled")

        task = asyncio.create_task(take())
        await asyncio.to_thread(loading.wait, 20)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancelled())
    go.set()
    wait_until(lambda: "one" in house_of(settings).held and not house_of(settings).held["one"].users)


def swapping(settings: Settings, threads: int, swaps: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], int]:
    """Threads that ask while models are swapped, with a failure at every step in turn; what failed, and how many were asked."""
    said, failed, asked, over = alone(settings), list[str](), list[str](), threading.Event()
    for held in list(house_of(settings).loaded):
        house_of(settings).retire(held)
    serving.use(settings, "one")

    def ask() -> None:
        while not over.is_set():
            try:
                asked.append(say(settings))
                if asked[-1] not in said.values():
                    failed.append(f"garbled: {asked[-1]}")
            except KBError as error:
                failed.append(str(error))

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(ask) for _ in range(threads)]
        try:
            for n in range(swaps):
                name = NAMES[(n + 1) % 3]
                where, failure = list(FAILURES.values())[n % len(FAILURES)]
                with monkeypatch.context() as broken, pytest.raises(ModelError, match="as before"):
                    broken.setattr(where, once(failure, kb_attribute(where)))
                    serving.use(settings, name)
                serving.use(settings, name)
        finally:
            over.set()
        for one in running:
            one.result()
    return failed, len(asked)


def test_no_question_fails_while_models_are_swapped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, asked = swapping(room_for(settings, 2.5), 4, 3, monkeypatch)
    assert (failed, asked > 8) == ([], True)


@pytest.mark.slow
@pytest.mark.parametrize("room", [2.5, 1.5])
def test_sixteen_ask_and_twenty_swaps(settings: Settings, monkeypatch: pytest.MonkeyPatch, room: float) -> None:
    failed, asked = swapping(room_for(settings, room), 16, 20, monkeypatch)
    assert (failed, asked > 50) == ([], True)
