"""An answer being written: whatever ends it, the stream above it is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from kb.records import Chunk, Done, Event, Failed, Found, Hit, Quote, Token
from ui.asking import Run, cited_numbers, follow

HIT = Hit(1, Chunk("c", "d", 0, ("A",), 3, 5, "text"), "notes", "a.md", "A", 1.0)


class Stream:
    """Events with pauses, which remembers how it ended."""

    def __init__(self, *events: Event | float | Exception) -> None:
        self.events, self.ended = events, ""

    async def __call__(self) -> AsyncIterator[Event]:
        self.ended = "early"
        try:
            for event in self.events:
                if isinstance(event, float):
                    await asyncio.sleep(event)
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
            self.ended = "whole"
        finally:
            self.ended += " closed"


async def drain(run: Run, stream: Stream) -> int:
    count = 0
    async with aclosing(follow(run, stream())) as steps:
        async for _ in steps:
            count += 1
    return count


def test_a_whole_answer() -> None:
    stream, run = (
        Stream(Found("q", 7, (HIT,)), *[Token("word ")] * 50, Done("all of it [1]", False, (Quote(1, 3, 3),), 1.5)),
        Run("c", 1),
    )
    drawn = asyncio.run(drain(run, stream))
    assert (run.text, run.generation, run.hits, run.quotes) == ("all of it [1]", 7, (HIT,), (Quote(1, 3, 3),))
    assert isinstance(run.end, Done)
    assert 2 <= drawn < 20, "words that come together are drawn together"
    assert stream.ended.endswith("closed")


def test_a_failed_answer_keeps_its_sentence() -> None:
    run = Run("c", 1)
    asyncio.run(drain(run, Stream(Found("q", 1, ()), Token("half"), Failed("The endpoint does not answer."))))
    assert run.end == Failed("The endpoint does not answer.")
    assert run.text == "half"


def test_stop_closes_the_stream_in_the_middle_of_a_wait() -> None:
    async def trial() -> tuple[Run, Stream, float]:
        stream, run = Stream(Found("q", 1, (HIT,)), Token("some"), 60.0, Token("never")), Run("c", 1)
        task = asyncio.create_task(drain(run, stream))
        await asyncio.sleep(0.05)
        before = asyncio.get_running_loop().time()
        run.stopped.set()
        await task
        return run, stream, asyncio.get_running_loop().time() - before

    run, stream, seconds = asyncio.run(trial())
    assert stream.ended == "early closed"
    assert (run.text, run.end) == ("some", None)
    assert seconds < 1


@pytest.mark.parametrize("moment", [0.0, 0.05])
def test_a_cancelled_handler_closes_the_stream(moment: float) -> None:
    async def trial() -> Stream:
        stream = Stream(Found("q", 1, (HIT,)), 60.0, Token("never"))
        task = asyncio.create_task(drain(Run("c", 1), stream))
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stream

    assert asyncio.run(trial()).ended in ("early closed", "")


def test_a_generator_left_behind_at_a_yield_closes_the_stream() -> None:
    async def trial() -> Stream:
        stream = Stream(Found("q", 1, (HIT,)), Token("a"), Token("b"))
        steps = follow(Run("c", 1), stream())
        await anext(steps)
        await steps.aclose()
        return stream

    assert asyncio.run(trial()).ended == "early closed"


def test_an_exception_goes_up_and_the_stream_is_closed() -> None:
    stream = Stream(Found("q", 1, ()), RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(drain(Run("c", 1), stream))
    assert stream.ended == "early closed"


def test_cited_numbers() -> None:
    assert cited_numbers("a [1], b [2, 3] 【4】 c [x] [1234] `[5]`", (Quote(9, 1, 1),)) == {1, 2, 3, 4, 5, 9}
