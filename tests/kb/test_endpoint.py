"""The chat model behind an endpoint, against a server that behaves and one that does not."""

import asyncio
import socket
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from kb.errors import ModelError
from kb.llm import endpoint
from kb.settings import Settings, load_settings
from tests.fake_openai import FakeOpenAI


def settings(url: str, **more: Any) -> Settings:
    return load_settings(data_base=Path("unused"), endpoint_url=url, endpoint_model="fake", **more)


async def collect(settings_: Settings) -> list[str]:
    async with aclosing(endpoint.stream([HumanMessage("hi")], settings_)) as pieces:
        return [piece async for piece in pieces]


def test_pieces_come_as_the_server_sends_them() -> None:
    with FakeOpenAI(["你", "好", "!"]) as server:
        assert asyncio.run(collect(settings(server.url))) == ["你", "好", "!"]
        assert server.requests[0]["model"] == "fake"
        assert server.requests[0]["stream"] is True


def test_closing_the_iterator_hangs_up() -> None:
    async def first_only() -> str:
        async with aclosing(endpoint.stream([HumanMessage("hi")], settings(server.url))) as pieces:
            return await anext(pieces)

    with FakeOpenAI(["x"] * 200, pause=0.05) as server:
        assert asyncio.run(first_only()) == "x"
        assert server.hung_up.wait(3)


@pytest.mark.parametrize(
    ("server", "more", "says"),
    [
        (FakeOpenAI(first=5), {"first_token_seconds": 0.3, "connect_seconds": 0.3}, "did not begin"),
        (FakeOpenAI(pause=5), {"next_token_seconds": 0.3}, "fell silent"),
        (FakeOpenAI(break_after=2), {}, "hung up"),
        (FakeOpenAI(status=404), {}, "404"),
        (FakeOpenAI(status=500), {}, "500"),
    ],
)
def test_each_failure_is_one_sentence(server: FakeOpenAI, more: dict, says: str) -> None:
    with server:
        started = time.monotonic()
        with pytest.raises(ModelError, match=says) as caught:
            asyncio.run(collect(settings(server.url, **more)))
        assert time.monotonic() - started < 4
        assert "\n" not in str(caught.value)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ModelError, match="cannot be reached"):
        asyncio.run(collect(settings(url)))
