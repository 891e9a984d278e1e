"""The shape of a model, as its config.json says: what its memory can be counted from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb.errors import ModelError


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of Llama's layout. `queries` and `keys`: widths of all query heads, and of all key heads, together."""

    hidden: int
    layers: int
    queries: int
    keys: int
    intermediate: int
    vocabulary: int
    tied: bool

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of the linear maps of a layer: q, k, v, o, gate, up, down."""
        h, q, k, i = self.hidden, self.queries, self.keys, self.intermediate
        return (h, q), (h, k), (h, k), (q, h), (h, i), (h, i), (i, h)

    @property
    def linear(self) -> int:
        """Parameters of all layers' matrices."""
        return self.layers * sum(a * b for a, b in self.matrices)

    @property
    def outer(self) -> int:
        """Parameters of the embedding, the head where it is one of its own, and the norms."""
        return self.hidden * (self.vocabulary * (1 if self.tied else 2) + 2 * self.layers + 1)

    def adapter(self, rank: int) -> int:
        """Parameters of LoRA on every matrix of every layer."""
        return self.layers * rank * sum(a + b for a, b in self.matrices)


def shape_of(folder: Path) -> Shape | None:
    """None where the config names no such shape (experts, another layout).

    Raises:
        ModelError: there is no config that can be read.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read ({error}): add the model again.") from error
    try:
        heads = int(config["num_attention_heads"])
        width = int(config.get("head_dim") or config["hidden_size"] // heads)
        if any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts")):
            return None
        return Shape(
            hidden=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            queries=heads * width,
            keys=int(config.get("num_key_value_heads") or heads) * width,
            intermediate=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
