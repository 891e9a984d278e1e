"""Chat templates in XTuner's own form, written into each config: the version it pins has none for newer models.

A template says what stands around a system message, a question and an answer. They must be what the model's own chat template
writes, or the model is asked in another form than it was taught in.
"""

from pathlib import Path
from typing import Any, NamedTuple

from kb.errors import ModelError, TuneError


class Template(NamedTuple):
    """`suffix` ends an answer and is learned; `sep` stands between turns and is not."""

    system: str
    instruction: str
    suffix: str
    sep: str
    stop_words: tuple[str, ...]


_IM = Template(
    "<|im_start|>system\n{system}<|im_end|>\n",
    "<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|>",
    "\n",
    ("<|im_end|>",),
)
_TEMPLATES = {
    "internlm": Template(
        "<|System|>:{system}\n", "<|User|>:{input}<eoh>\n<|Bot|>:", "<eoa>", "\n", ("<eoa>",)
    ),
    "internlm2": _IM,
    "internlm3": _IM,
    "chatml": _IM,
    "qwen3": _IM._replace(stop_words=("<|im_end|>", "<|endoftext|>")),
    "llama3": Template(
        "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>",
        "<|start_header_id|>user<|end_header_id|>\n\n{input}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
        "",
        ("<|eot_id|>",),
    ),
}  # fmt: skip


def template(name: str) -> Template | None:
    """The template a model's card names; None for one that only the tokenizer knows."""
    return _TEMPLATES.get(name)


def derived(folder: Path) -> Template:
    """The template of a model that only its tokenizer knows, read off a conversation that it writes.

    Raises:
        ModelError: the tokenizer cannot be loaded.
        TuneError: what it writes around a turn is not the same around each.
    """
    from finetune.lengths import tokenizer_of

    tokenizer = tokenizer_of(folder)
    try:
        first = _written(tokenizer, [("user", "Q1")], True)
        second = _written(tokenizer, [("user", "Q1"), ("assistant", "A1"), ("user", "Q2")], True)
        system = _written(tokenizer, [("system", "S1"), ("user", "Q1")], True)
        before, after = first.split("Q1")
        rest = second.partition("A1")[2]
        suffix = rest.partition(before)[0] if before else rest.partition("Q2")[0]
        if second != f"{first}A1{suffix}{before}Q2{after}" or not system.endswith(first) or not suffix.strip():
            raise ValueError("a turn is not always written alike")
        head = system.removesuffix(first)
    except (ModelError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise TuneError(
            f"The chat template in {folder} cannot be taught with ({error}): use a model with a plain one."
        ) from error
    learned = suffix.rstrip()
    return Template(
        _braced(head).replace("S1", "{system}"),
        _braced(before) + "{input}" + _braced(after),
        learned,
        suffix[len(learned) :],
        (learned,),
    )


def _written(tokenizer: Any, turns: list[tuple[str, str]], ask: bool) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
    return text.removeprefix(tokenizer.bos_token or "")  # the tool puts it there


def _braced(text: str) -> str:
    """Ready for str.format."""
    return text.replace("{", "{{").replace("}", "}}")
