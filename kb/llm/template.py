"""Messages → the token ids of a prompt, in the form that each family of models was trained on.

What somebody typed, and what stands in a document, is data: it cannot close a turn or open one. The control tokens of a prompt
are those that the template puts there and no others, however a text is written (see Template.encode).
"""

import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kb.errors import ModelError

# What InternLM was told about itself in training; the course's demos send it too.
INTERNLM_SYSTEM = """You are an AI assistant whose name is InternLM (书生·浦语).
- InternLM (书生·浦语) is a conversational language model that is developed by Shanghai AI Laboratory (上海人工智能实验室). \
It is designed to be helpful, honest, and harmless.
- InternLM (书生·浦语) can understand and communicate fluently in the language chosen by the user such as English and 中文."""

_MARKER = re.compile(r"<[^<>\s]+>")
_LIKE_A_MARKER = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")

# A message as OpenAI writes it: {"role", "content", "tool_calls"?}.
Said = Mapping[str, Any]
Part = tuple[str, bool]  # a piece of the prompt, and whether it is the template's own


@dataclass(frozen=True, slots=True)
class Shape:
    """A template of fixed strings: what stands before and after the text of each role."""

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    stops: tuple[str, ...]
    tool: tuple[str, str] | None = None
    strip: bool = False

    def around(self, role: str) -> tuple[str, str]:
        """What stands before and after a message of a role. Raises ModelError for a role that the template does not know."""
        found = {"system": self.system, "user": self.user, "assistant": self.assistant, "tool": self.tool}.get(role)
        if found is None:
            raise ModelError(f"The model's chat template has no place for a message of role {role!r}.")
        return found


def _im(role: str) -> tuple[str, str]:
    return f"<|im_start|>{role}\n", "<|im_end|>\n"


def _header(role: str) -> tuple[str, str]:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"


_CHATML_STOPS = ("<|im_end|>", "<|endoftext|>")
SHAPES = {
    "internlm": Shape(("<|System|>:", "\n"), ("<|User|>:", "<eoh>\n"), ("<|Bot|>:", "<eoa>\n"), ("<eoa>",)),
    "internlm2": Shape(
        _im("system"), _im("user"), _im("assistant"), ("<|im_end|>", "<|action_end|>"), _im("environment name=<|plugin|>")
    ),
    "llama3": Shape(
        _header("system"), _header("user"), _header("assistant"), ("<|eot_id|>", "<|end_of_text|>"), _header("ipython"), True
    ),
    "chatml": Shape(_im("system"), _im("user"), _im("assistant"), _CHATML_STOPS),
}
_WITHOUT_A_FILE = {"internlm3": "internlm2", "qwen3": "chatml"}  # whose tokenizer carries no template of its own
NAMES = (*SHAPES, *_WITHOUT_A_FILE, "file")


class Template:
    """The chat template `name` with the tokenizer of one model. `ends`: the ids that end a reply by the model's own files."""

    def __init__(self, name: str, tokenizer: Any, ends: Sequence[int] = ()) -> None:
        if name not in NAMES:
            raise ModelError(f"There is no chat template {name!r}: {', '.join(NAMES)}.")
        self.name = name
        self.tokenizer = tokenizer
        own = bool(tokenizer.chat_template)
        if name == "file" and not own:
            raise ModelError("The model's tokenizer has no chat template of its own: name one, such as chatml.")
        self._shape = SHAPES.get(name if name in SHAPES or own else _WITHOUT_A_FILE[name])
        stops = self._shape.stops if self._shape else (*_CHATML_STOPS, "<|eot_id|>", "<|action_end|>")
        markers = {marker for pair in self._pairs() for text in pair for marker in _MARKER.findall(text)}
        self.stops = frozenset({*ends, *self._ids(stops)} | ({tokenizer.eos_token_id} - {None}))
        added = tokenizer.added_tokens_decoder
        like = {id_ for id_, token in added.items() if token.special or _LIKE_A_MARKER.fullmatch(token.content)}
        self._control = frozenset(like | self.stops | set(self._ids(sorted(markers))))
        texts = sorted({tokenizer.convert_ids_to_tokens(id_) for id_ in self._control} - {None}, key=len, reverse=True)
        self._written = re.compile("|".join(map(re.escape, filter(None, texts))) or r"(?!)")
        self._lock = threading.Lock()  # tokenizers set options on themselves when they encode

    @property
    def system(self) -> str:
        """The system prompt of a plain chat where none is given."""
        return INTERNLM_SYSTEM if self.name.startswith("internlm") else ""

    @property
    def has_tools(self) -> bool:
        return self.name in ("internlm2", "internlm3") or (self._shape is None and "tools" in str(self.tokenizer.chat_template))

    def prompt(self, messages: Sequence[Said], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt as text, to look at."""
        return "".join(text for text, _ in self._parts(messages, tools))

    def encode(self, messages: Sequence[Said], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """The prompt as ids, as the tokenizer makes them of the whole text: unless a text would put control tokens into it.

        Then the texts are encoded apart from what stands around them, and what is written like a control token is cut up.
        """
        parts = self._parts(messages, tools)
        whole = self.ids("".join(text for text, _ in parts))
        ours = [id_ for text, own in parts if own for id_ in self.ids(text) if id_ in self._control]
        if [id_ for id_ in whole if id_ in self._control] == ours:
            return whole
        return [id_ for text, own in parts for id_ in (self.ids(text) if own else self.plain(text))]

    def ids(self, text: str) -> list[int]:
        with self._lock:
            return list(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def plain(self, text: str) -> list[int]:
        """The ids of a text in which nothing is a control token."""
        cuts = [0, *(match.start() + 1 for match in self._written.finditer(text)), len(text)]
        pieces = (text[start:end] for start, end in pairwise(cuts))
        return [id_ for piece in pieces if piece for id_ in self.ids(piece) if id_ not in self._control]

    def _ids(self, tokens: Sequence[str]) -> Iterator[int]:
        for token in tokens:
            id_ = self.tokenizer.convert_tokens_to_ids(token)
            if id_ is not None and id_ != self.tokenizer.unk_token_id:
                yield id_

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        shape = self._shape
        return (shape.system, shape.user, shape.assistant, *((shape.tool,) if shape.tool else ())) if shape else ()

    def _parts(self, messages: Sequence[Said], tools: Sequence[Mapping[str, Any]]) -> list[Part]:
        if tools and not self.has_tools:
            raise NotImplementedError(f"The chat template {self.name!r} has no place for tools.")
        return self._fixed(messages, tools) if self._shape else self._rendered(messages, tools)

    def _fixed(self, messages: Sequence[Said], tools: Sequence[Mapping[str, Any]]) -> list[Part]:
        assert self._shape is not None
        parts: list[Part] = [(self.tokenizer.bos_token or "", True)]
        systems = sum(message["role"] == "system" for message in messages)
        for number, message in enumerate(messages):
            if number == systems and tools:
                parts += [_plugins(tools)]
            before, after = self._shape.around(message["role"])
            text = str(message["content"] or "")
            parts += [(before, True), (text.strip() if self._shape.strip else text, False)]
            for call in message.get("tool_calls") or ():
                wanted = {"name": call["function"]["name"], "parameters": _arguments(call)}
                parts += [("<|action_start|><|plugin|>\n", True), (json.dumps(wanted, ensure_ascii=False), False)]
                parts += [("<|action_end|>", True)]
            parts += [(after, True)]
        return [*parts, (self._shape.assistant[0], True)]

    def _rendered(self, messages: Sequence[Said], tools: Sequence[Mapping[str, Any]]) -> list[Part]:
        """By the tokenizer's own template, which is given a stand-in for each text and so cannot mistake one for a turn's end."""
        mark, texts = f"q{secrets.token_hex(8)}q", list[str]()

        def stand_in(text: str) -> str:
            texts.append(text)
            return f"{mark}{len(texts) - 1}z"

        def hidden(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: hidden(one) for key, one in value.items()}
            if isinstance(value, list):
                return [hidden(one) for one in value]
            return stand_in(json.dumps(value, ensure_ascii=False)[1:-1]) if isinstance(value, str) else value

        said = []
        for message in messages:
            calls = [{"type": "function", "function": {"name": call["function"]["name"], "arguments": hidden(_arguments(call))}}
                     for call in message.get("tool_calls") or ()]  # fmt: skip
            content = str(message["content"] or "")
            said.append({"role": message["role"], "content": stand_in(content) if content else ""}
                        | ({"tool_calls": calls} if calls else {}))  # fmt: skip
        pieces = re.split(f"{mark}(\\d+)z", self._jinja(said, tools))
        return [(texts[int(piece)], False) if at % 2 else (piece, True) for at, piece in enumerate(pieces) if piece]

    def _jinja(self, said: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]]) -> str:
        import jinja2

        def rendered(messages: list[dict[str, Any]]) -> str:
            return self.tokenizer.apply_chat_template(  # a model that thinks aloud is asked not to
                messages, tools=list(tools) or None, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )

        try:
            return rendered(said)
        except jinja2.TemplateError as error:
            if [message["role"] for message in said[:2]] != ["system", "user"]:
                raise ModelError(f"The model's chat template cannot write this conversation: {error}") from error
        first = said[1] | {"content": f"{said[0]['content']}\n\n{said[1]['content']}"}  # it knows no system prompt
        try:
            return rendered([first, *said[2:]])
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template cannot write this conversation: {error}") from error


def _plugins(tools: Sequence[Mapping[str, Any]]) -> Part:
    named = [tool.get("function", tool) for tool in tools]
    return f"<|im_start|>system name=<|plugin|>\n{json.dumps(named, ensure_ascii=False)}<|im_end|>\n", True


def _arguments(call: Said) -> Any:
    given = call["function"]["arguments"]
    return json.loads(given) if isinstance(given, str) else given
