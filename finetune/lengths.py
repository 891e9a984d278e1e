"""How long the examples are, in tokens of the base model, counted as XTuner counts them."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.dataset import Example, as_xtuner
from finetune.templates import Template
from kb.errors import ModelError

_SMALLEST = 32  # tokens, the first bin; each further one is twice as wide


@dataclass(frozen=True, slots=True)
class Lengths:
    """`bins`: (up to so many tokens, how many examples). `cut`: how many are longer than the recipe's length, and lose their end.

    `total` tokens of all; `packed`: what is left of them after the cut. Copies count.
    """

    bins: tuple[tuple[int, int], ...]
    examples: int
    total: int
    longest: int
    cut: int
    packed: int


def lengths_of(counted: Iterable[tuple[int, int]], max_length: int) -> Lengths:
    """Of (tokens, copies) of each example."""
    counted = list(counted)
    bins: Counter[int] = Counter()
    for tokens, copies in counted:
        bins[_bin(tokens)] += copies
    longest = max((tokens for tokens, _ in counted), default=0)
    edges = list(_edges(longest)) if counted else []
    return Lengths(
        bins=tuple((edge, bins[edge]) for edge in edges),
        examples=sum(copies for _, copies in counted),
        total=sum(tokens * copies for tokens, copies in counted),
        longest=longest,
        cut=sum(copies for tokens, copies in counted if tokens > max_length),
        packed=sum(min(tokens, max_length) * copies for tokens, copies in counted),
    )


def measure(folder: Path, template: Template, examples: Iterable[Example], max_length: int, system: str = "") -> Lengths:
    """The lengths of what will be trained on, by the tokenizer in a model's folder.

    Raises:
        ModelError: that cannot be loaded.
    """
    count = counter(folder, template)
    finished = [example for example in examples if not example.unfinished]
    return lengths_of([(count(example, system), example.copies) for example in finished], max_length)


def counter(folder: Path, template: Template) -> Callable[[Example, str], int]:
    """A function: example, system → its tokens, as XTuner's encode_fn lays them out."""
    tokens, start = _encoder(folder)

    def count(example: Example, system: str) -> int:
        number = start
        for turn in as_xtuner(example, system)["conversation"]:
            before = template.system.replace("{system}", turn["system"]) if turn["system"] else ""
            number += tokens(before + template.instruction.replace("{input}", turn["input"]))
            number += tokens(turn["output"] + template.suffix) + (tokens(template.sep) if template.sep else 0)
        return number

    return count


def _encoder(folder: Path) -> tuple[Callable[[str], int], int]:
    """A function: text → how many tokens; and how many stand before a conversation.

    By tokenizer.json where there is one, which is what the tool reads too, and which does without torch.
    """
    if not (folder / "tokenizer.json").is_file():
        slow = tokenizer_of(folder)
        return lambda text: len(slow.encode(text, add_special_tokens=False)), int(slow.bos_token_id is not None)
    from tokenizers import Tokenizer

    try:
        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except Exception as error:  # what `tokenizers` raises is no class of its own
        raise ModelError(f"The tokenizer in {folder} cannot be loaded ({error}): add the model again.") from error
    return lambda text: len(fast.encode(text, add_special_tokens=False)), int(bool(config.get("bos_token")))


_loaded: dict[tuple[Path, int], Any] = {}
_lock = threading.Lock()


def tokenizer_of(folder: Path) -> Any:
    """A model's tokenizer, the last one kept. Raises ModelError where it cannot be loaded."""
    with _lock:
        try:
            key = (folder, folder.stat().st_mtime_ns)
            if key not in _loaded:
                from transformers import AutoTokenizer

                _loaded.clear()
                _loaded[key] = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            return _loaded[key]
        except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
            raise ModelError(f"The tokenizer in {folder} cannot be loaded ({error}): add the model again.") from error


def _bin(tokens: int) -> int:
    edge = _SMALLEST
    while edge < tokens:
        edge *= 2
    return edge


def _edges(longest: int) -> Iterable[int]:
    edge = _SMALLEST
    yield edge
    while edge < longest:
        edge *= 2
        yield edge
