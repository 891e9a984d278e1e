"""A LangChain chat model around weights in the memory of this process: InternLM, Llama, Qwen and what else transformers knows.

All who ask it at the same time share its steps (kb.llm.batching). Nothing of the model's folder is run: no remote code.
"""

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, Self
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from kb.errors import ModelError
from kb.llm.batching import Engine, Request
from kb.llm.pieces import Characters, Unthought, Until
from kb.llm.template import Template
from kb.llm.tool_calls import calls_in

Put = Callable[[int | ModelError | None], None]


class InternLM(BaseChatModel):
    """Made by kb.llm.load.load_model. `temperature` 0 is greedy; `max_tokens` of a reply."""

    name: str | None = None
    template: str
    context: int
    temperature: float = 0.2
    top_p: float = 0.8
    max_tokens: int = 1024
    _template: Template = PrivateAttr()
    _engine: Engine = PrivateAttr()

    @classmethod
    def around(cls, engine: Engine, template: Template, name: str, context: int) -> Self:
        model = cls(name=name, template=template.name, context=context)
        model._engine, model._template = engine, template
        return model

    @property
    def _llm_type(self) -> str:
        return "internlm-in-memory"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.name, "temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}

    @property
    def default_system(self) -> str:
        """The system prompt of a plain chat."""
        return self._template.system

    def close(self) -> None:
        """Take the model out of memory: who still waits for an answer is told so."""
        self._engine.close()

    def prompt(self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] = ()) -> str:
        """The text that is put before the model."""
        return self._template.prompt(_openai(messages), tools)

    def get_num_tokens(self, text: str) -> int:
        return len(self._template.plain(text))

    def get_token_ids(self, text: str) -> list[int]:
        return self._template.plain(text)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        return len(self._template.encode(_openai(messages), [convert_to_openai_tool(tool) for tool in tools or ()]))

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable | BaseTool], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Raises NotImplementedError where the model's template has no place for tools, or a choice is to be forced."""
        if not self._template.has_tools:
            raise NotImplementedError(f"The chat template {self.template!r} of {self.name} has no place for tools.")
        if tool_choice not in (None, "auto"):
            raise NotImplementedError("A model in memory chooses its tools by itself: tool_choice can only be 'auto'.")
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def batch_chat(self, chats: Sequence[Sequence[BaseMessage]], stop: list[str] | None = None, **kwargs: Any) -> list[AIMessage]:
        """Answer several conversations in the same steps."""
        result = self.generate([list(messages) for messages in chats], stop=stop, **kwargs)
        return [one[0].message for one in result.generations if isinstance(one[0], ChatGeneration)]  # type: ignore[misc]

    def generate(self, messages: list[list[BaseMessage]], stop: list[str] | None = None, callbacks: Any = None,
                 **kwargs: Any) -> LLMResult:  # fmt: skip
        """As LangChain's, which asks one after the other; here all are asked at once and so share the model's steps."""
        if len(messages) < 2:
            return super().generate(messages, stop, callbacks, **kwargs)
        with ThreadPoolExecutor(len(messages)) as pool:
            asked = [pool.submit(super(InternLM, self).generate, [one], stop, callbacks, **kwargs) for one in messages]
            results = [one.result() for one in asked]
        runs = [run for result in results for run in result.run or ()]
        return LLMResult(generations=[result.generations[0] for result in results], llm_output={}, run=runs or None)

    def _generate(self, messages: list[BaseMessage], stop: list[str] | None = None,
                  run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any) -> ChatResult:  # fmt: skip
        reply = None
        for chunk in self._stream(messages, stop, run_manager, **kwargs):
            reply = chunk if reply is None else reply + chunk
        return _result(reply)

    async def _agenerate(self, messages: list[BaseMessage], stop: list[str] | None = None,
                         run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any) -> ChatResult:  # fmt: skip
        reply = None
        async for chunk in self._astream(messages, stop, run_manager, **kwargs):
            reply = chunk if reply is None else reply + chunk
        return _result(reply)

    def _stream(self, messages: list[BaseMessage], stop: list[str] | None = None,
                run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        tokens: queue.SimpleQueue[int | ModelError | None] = queue.SimpleQueue()
        with self._asked(messages, stop, kwargs, tokens.put) as reply:
            while not reply.ended:
                for chunk in reply.chunks(tokens.get()):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(self, messages: list[BaseMessage], stop: list[str] | None = None,
                       run_manager: AsyncCallbackManagerForLLMRun | None = None,
                       **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:  # fmt: skip
        loop = asyncio.get_running_loop()
        tokens: asyncio.Queue[int | ModelError | None] = asyncio.Queue()

        def put(token: int | ModelError | None) -> None:
            try:
                loop.call_soon_threadsafe(tokens.put_nowait, token)
            except RuntimeError:  # the loop was closed: nobody waits any more
                pass

        with self._asked(messages, stop, kwargs, put) as reply:
            while not reply.ended:
                for chunk in reply.chunks(await tokens.get()):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    @contextmanager
    def _asked(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any], put: Put) -> Iterator["_Reply"]:
        """The reply to messages, under way; leaving ends it within a token."""
        tools = kwargs.get("tools") or ()
        ids = self._template.encode(_openai(messages), tools)
        if len(ids) >= self.context:
            raise ModelError(
                f"The question with what belongs to it is {len(ids)} tokens long and {self.name} reads {self.context}: "
                "start a new conversation, or lower prompt_chars."
            )
        most = min(int(kwargs.get("max_tokens") or self.max_tokens), self.context - len(ids))
        request = Request(
            ids, most, self._template.stops, put,
            float(self.temperature if kwargs.get("temperature") is None else kwargs["temperature"]),
            float(kwargs.get("top_p") or self.top_p),
        )  # fmt: skip
        reply = _Reply(request, self._template.tokenizer, stop or (), bool(tools), self.name or "")
        self._engine.submit(request)
        try:
            yield reply
        finally:
            request.closed = True


class _Reply:
    """What a reply's tokens become: chunks of text, and at its end its tool calls and counts."""

    def __init__(self, request: Request, tokenizer: Any, stops: Sequence[str], tools: bool, model: str) -> None:
        self.ended = False
        self._request = request
        self._model = model
        # Tool calls are written with control tokens, so there these are looked at and not skipped.
        self._characters = Characters(lambda ids: tokenizer.decode(ids, skip_special_tokens=not tools))
        self._thought, self._until = Unthought(), Until(stops)
        self._tools = tools
        self._text = ""
        self._tokens = 0
        self._id = f"run-{uuid4()}"

    def chunks(self, token: int | ModelError | None) -> Iterator[ChatGenerationChunk]:
        if isinstance(token, ModelError):
            self.ended = True
            raise token
        reason: Literal["stop", "length"] = "stop"
        if token is None:
            rest = self._thought.add(self._characters.end()) + self._thought.end()
            text = self._until.add(rest)
            text += "" if self._until.met else self._until.end()
            self.ended = True
            reason = (
                "length" if self._request.made >= self._request.most and self._request.last not in self._request.stops else "stop"
            )
        else:
            self._tokens += 1
            text = self._until.add(self._thought.add(self._characters.add(token)))
            self.ended = self._until.met
        if self._tools:  # told at the end: half a call is of no use to anybody
            self._text += text
            text = ""
        calls: list[ToolCall] = []
        if self.ended and self._tools:
            text, calls = calls_in(self._text)
        if text or self.ended:
            yield self._chunk(text, calls, reason)

    def _chunk(self, text: str, calls: list[ToolCall], reason: str) -> ChatGenerationChunk:
        message = AIMessageChunk(content=text, id=self._id)
        if calls:
            message.tool_call_chunks = [
                {"name": call["name"], "args": json.dumps(call["args"], ensure_ascii=False), "id": call["id"], "index": at,
                 "type": "tool_call_chunk"}
                for at, call in enumerate(calls)
            ]  # fmt: skip
            message.tool_calls = calls
        if not self.ended:
            return ChatGenerationChunk(message=message)
        read = len(self._request.ids)
        message.usage_metadata = UsageMetadata(input_tokens=read, output_tokens=self._tokens, total_tokens=read + self._tokens)
        message.response_metadata = {"finish_reason": "tool_calls" if calls else reason, "model_name": self._model}
        message.chunk_position = "last"
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": message.response_metadata["finish_reason"]})


def _openai(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    return [one | {"content": _text(one.get("content"))} for one in convert_to_openai_messages(list(messages))]


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)
    return content or ""


def _result(reply: ChatGenerationChunk | None) -> ChatResult:
    if reply is None:
        raise ModelError("The model ended without a word: ask again.")
    assert isinstance(reply.message, AIMessageChunk)
    message = AIMessage(
        content=reply.message.content,
        id=reply.message.id,
        tool_calls=reply.message.tool_calls,
        usage_metadata=reply.message.usage_metadata,
        response_metadata=reply.message.response_metadata,
    )
    return ChatResult(generations=[ChatGeneration(message=message, generation_info=reply.generation_info)])
