"""A LangChain chat model behind any OpenAI-compatible server, streamed with deadlines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from kb.errors import ModelError
from kb.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage


def chat_model(settings: Settings) -> "BaseChatModel":
    """The model that `settings` name, as LangChain knows it."""
    import httpx
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    timeout = httpx.Timeout(settings.first_token_seconds, connect=settings.connect_seconds)
    return ChatOpenAI(
        model=settings.endpoint_model or "default",
        base_url=settings.endpoint_url,
        api_key=SecretStr(settings.endpoint_key or "none"),
        temperature=settings.temperature,
        max_completion_tokens=settings.max_tokens,
        timeout=timeout,
        max_retries=0,
        stream_usage=False,
    )


async def stream(messages: Sequence["BaseMessage"], settings: Settings) -> AsyncGenerator[str]:
    """Pieces of the reply as they come. Closing the iterator closes the connection.

    Raises:
        ModelError: nobody listens, the server refuses, or it is silent past a deadline of the settings.
    """
    import openai

    where = f"The model at {settings.endpoint_url}"
    # The client's own timeout is per read, and a server may keep a connection warm with empty lines: hence deadlines
    # on what counts, the next piece of text.
    seconds, silence = settings.connect_seconds + settings.first_token_seconds, "did not begin to answer"
    finished = False
    chunks = chat_model(settings).astream(list(messages))
    try:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(chunks, None)
            if chunk is None:
                if not finished:
                    raise ModelError(f"{where} hung up in the middle of an answer: ask again, or look at that server.")
                return
            finished = finished or bool(chunk.response_metadata.get("finish_reason"))
            if text := chunk.text:
                yield text
                seconds, silence = settings.next_token_seconds, "fell silent in the middle of an answer"
                deadline = asyncio.get_running_loop().time() + seconds
    except (TimeoutError, openai.APITimeoutError) as error:
        raise ModelError(f"{where} {silence} ({seconds:g} s): ask again, or look at that server.") from error
    except openai.APIConnectionError as error:
        raise ModelError(f"{where} cannot be reached: start it, or change endpoint_url.") from error
    except openai.APIStatusError as error:
        raise ModelError(f"{where} refused (HTTP {error.status_code}): {_short(error)}") from error
    except openai.APIError as error:
        raise ModelError(f"{where} broke off: {_short(error)}") from error
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]  # declared as an iterator, made as a generator


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
