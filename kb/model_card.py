"""The card of a model: what is known of it, kept as card.json in its folder and written last."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kb.errors import ModelError
from kb.whole import write_json

CARD = "card.json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that answers; `model` is the name it expects. Its key is not here, so it is in no card and no repr."""

    url: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a model; docs/how-it-works.md says where each comes from.

    `origin`: a folder, a repository at a commit, "endpoint", "merge" … `made_from`: models here that it was made of, `how`:
    by what. `template`: how turns are put to it (internlm, internlm2, internlm3, llama3, qwen3, chatml; "file": as its tokenizer
    says). `system`: the prompt of a plain chat, None: the template's. `bytes`: of its weights. `context`: in tokens. `files`:
    name → sha256. `created`: epoch seconds.
    """

    name: str
    origin: str
    made_from: tuple[str, ...] = ()
    how: dict[str, Any] = field(default_factory=dict)
    architecture: str = ""
    template: str = ""
    system: str | None = None
    parameters: int = 0
    bytes: int = 0
    dtype: str = ""
    context: int = 0
    vocabulary: int = 0
    licence: str = ""
    files: dict[str, str] = field(default_factory=dict)
    created: float = 0.0
    quantization: str = ""
    endpoint: Endpoint | None = None


def read_card(folder: Path) -> Card:
    """Raises ModelError for a card that is damaged."""
    try:
        value = json.loads((folder / CARD).read_text("utf-8"))
        value = {one.name: value[one.name] for one in fields(Card) if one.name in value}
        endpoint = Endpoint(**value["endpoint"]) if value.get("endpoint") else None
        return Card(**value | {"name": folder.name, "made_from": tuple(value.get("made_from", ())), "endpoint": endpoint})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / CARD} is damaged ({error}): remove the model {folder.name!r} and add it again.") from error


def write_card(folder: Path, card: Card) -> None:
    """Whole or not at all. Raises OSError."""
    write_json(folder / CARD, asdict(card))
