"""A real embedder without a model: the vector of a text is drawn from its hash, so equal texts have equal vectors."""

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from kb.embed import Embedder, Fingerprint

DIMENSION = 32


class _Tokenizer:
    def token_to_id(self, token: str) -> int | None:
        return None

    def encode(self, text: str, add_special_tokens: bool) -> SimpleNamespace:
        return SimpleNamespace(ids=list(text.encode()))


def _encode(texts: Sequence[str]) -> np.ndarray:
    rows = [
        np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])).standard_normal(DIMENSION)
        for text in texts
    ]
    vectors = np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSION)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def fake_embedder(name: str = "fake") -> Embedder:
    """Embedders of different names have different fingerprints."""
    return Embedder(Fingerprint(name, "0" * 64, DIMENSION, 256, "", ""), _encode, _Tokenizer())
