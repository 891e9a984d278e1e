"""What answers, as the rest of the house sees it: a model in memory or one behind an endpoint."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kb.errors import ModelError
from kb.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from kb.llm.internlm import InternLM

_PROBE_TOKENS = 16


class Chat(Protocol):
    """`context` in tokens, 0 if it is not known; `system`: the system prompt of a plain chat where none is given."""

    name: str
    context: int
    system: str

    def stream(self, messages: Sequence["BaseMessage"], settings: Settings) -> AsyncGenerator[str]:
        """Pieces of the reply as they come; closing it stops the model. Raises ModelError, one sentence."""

    def langchain(self, settings: Settings) -> "BaseChatModel":
        """The same as LangChain knows it."""

    async def probe(self, question: str, settings: Settings) -> None:
        """Raises ModelError if it does not begin to answer."""


@dataclass
class EndpointChat:
    """The model behind an OpenAI-compatible address."""

    name: str
    url: str
    model: str
    key: str = field(default="", repr=False)
    context: int = 0
    system: str = ""

    def _named(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"endpoint_url": self.url, "endpoint_model": self.model, "endpoint_key": self.key})

    async def stream(self, messages: Sequence["BaseMessage"], settings: Settings) -> AsyncGenerator[str]:
        from kb.llm import endpoint

        async with aclosing(endpoint.stream(messages, self._named(settings))) as pieces:
            async for piece in pieces:
                yield piece

    def langchain(self, settings: Settings) -> "BaseChatModel":
        from kb.llm.endpoint import chat_model

        return chat_model(self._named(settings))

    async def probe(self, question: str, settings: Settings) -> None:
        from langchain_core.messages import HumanMessage

        async with aclosing(self.stream([HumanMessage(question)], settings)) as pieces:
            async for _ in pieces:
                return
        raise ModelError(f"The model at {self.url} answered with nothing.")


class MemoryChat:
    """A model in the memory of this process. `system`: of its card, where it was taught under another prompt than its family."""

    def __init__(self, model: "InternLM", system: str | None = None) -> None:
        self.name = model.name or ""
        self.context = model.context
        self.system = model.default_system if system is None else system
        self._model = model

    async def stream(self, messages: Sequence["BaseMessage"], settings: Settings) -> AsyncGenerator[str]:
        async with aclosing(self._chunks(messages, temperature=settings.temperature, max_tokens=settings.max_tokens)) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    def langchain(self, settings: Settings) -> "BaseChatModel":
        return self._model.model_copy(update={"temperature": settings.temperature, "max_tokens": settings.max_tokens})

    async def probe(self, question: str, settings: Settings) -> None:
        from langchain_core.messages import HumanMessage

        tokens = 0
        async with aclosing(self._chunks([HumanMessage(question)], temperature=0.0, max_tokens=_PROBE_TOKENS)) as chunks:
            async for chunk in chunks:
                usage = chunk.message.usage_metadata
                tokens = usage["output_tokens"] if usage else tokens
        if not tokens:
            raise ModelError(f"{self.name} answers with nothing.")

    def close(self) -> None:
        self._model.close()

    def _chunks(self, messages: Sequence["BaseMessage"], **how: Any) -> AsyncGenerator[Any]:
        return self._model._astream(list(messages), **how)  # type: ignore[return-value]  # declared as an iterator
