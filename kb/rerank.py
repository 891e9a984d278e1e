"""A reranker: a CrossEncoder that reads the question together with each passage that was found, and puts them in order."""

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kb.embed import device_of
from kb.embed_model import find_model, load_torch, safe_files
from kb.errors import ModelError
from kb.settings import Settings

_TOKENS = 512  # of question and passage; a chunk of the default length fits
_BATCH = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True, slots=True)
class Reranker:
    """A model ready to score; it reads the first `depth` passages. For any number of threads, one at a time."""

    depth: int
    _model: Any
    _batch: int
    _lock: threading.Lock  # its tokenizer refuses to be used twice at once

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers the question, 0 to 1."""
        import torch

        with self._lock:
            logits = self._model.predict(
                [(question, passage) for passage in passages], batch_size=self._batch, activation_fn=torch.nn.Identity(),
                show_progress_bar=False, convert_to_numpy=True,
            )  # fmt: skip
        return [1 / (1 + math.exp(-max(-30.0, min(30.0, float(logit))))) for logit in logits]  # in fp16 many would be 1.0


def load_reranker(settings: Settings) -> Reranker | None:
    """The reranker that `settings` name, None where they name none; loaded once.

    Raises:
        ModelError: the model is not there, has no safetensors weights, or is no reranker.
    """
    if not settings.reranker:
        return None
    device = device_of(settings)
    model, lock = _load(settings.reranker, device)
    return Reranker(max(settings.rerank_depth, settings.top_k), model, _BATCH[device], lock)


@lru_cache(maxsize=1)
def _load(name: str, device: str) -> tuple[Any, threading.Lock]:
    _, folder = find_model(name, "", "reranker")
    safe_files(folder)
    _has_head(folder)
    model = load_torch(folder, device, "CrossEncoder", **({"dtype": "float16"} if device == "cuda" else {}))
    if model.num_labels != 1:
        raise ModelError(f"{folder} gives {model.num_labels} scores a pair, and a reranker gives one: set reranker to another.")
    model.max_seq_length = min(int(model.max_seq_length or _TOKENS), _TOKENS)
    return model.eval(), threading.Lock()


def _has_head(folder: Path) -> None:
    """Raises ModelError for a model that was not made to score: loading would give it a head of random numbers."""
    try:
        architectures = json.loads((folder / "config.json").read_text("utf-8"))["architectures"]
        scores = any(name.endswith(("ForSequenceClassification", "ForCausalLM")) for name in architectures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        scores = False
    if not scores:
        raise ModelError(f"{folder} is not a reranker (a CrossEncoder that scores pairs): set reranker to one, or to nothing.")
