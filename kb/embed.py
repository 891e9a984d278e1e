"""Text to vectors, and the fingerprint that says which model made them.

On a CPU the sentence-transformers model is converted to OpenVINO once and torch is not imported again; on CUDA it runs
in fp16 as it is. Either way a vector has unit length, and the fingerprint does not depend on the device.
"""

import json
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kb.embed_model import BUILTIN, check, convert, converted_home, load_torch, locate, openvino_package, write_card
from kb.errors import ModelError
from kb.settings import Settings

# It was trained on 128 tokens and is configured for 256. Beside the words, what comes after the first 96 finds nothing more
# and takes a quarter of the time (figures in docs/decisions).
_BUILTIN_TOKENS = 96
_CPU_BATCH = 4  # the fastest on CPUs with few cores, measured with sorted lengths
_CUDA_BATCH = 512
_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What must be equal for two vectors to be comparable. `revision` is the hash of the model's files."""

    model: str
    revision: str
    dimension: int
    max_tokens: int
    query_prefix: str
    passage_prefix: str

    def __str__(self) -> str:
        prefixed = self.query_prefix or self.passage_prefix
        prefixes = f", prefixes {self.query_prefix!r} / {self.passage_prefix!r}" if prefixed else ""
        return f"{self.model}@{self.revision[:12]} ({self.dimension} dimensions, {self.max_tokens} tokens{prefixes})"


class Embedder:
    """A model ready to embed. `encode` takes texts and returns float32 of shape (len(texts), dimension), unit length."""

    def __init__(self, fingerprint: Fingerprint, encode: Callable[[Sequence[str]], np.ndarray], tokenizer: Any) -> None:
        self.fingerprint = fingerprint
        self._encode = encode
        self._tokenizer = tokenizer
        self._unknown = {tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>")} - {None}

    def known(self, text: str) -> float:
        """The share of the tokens of `text` that the model's vocabulary has: an English model reads little of a Chinese text."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return 1 - sum(id_ in self._unknown for id_ in ids) / len(ids) if ids else 0.0

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of passages, shape (len(texts), dimension)."""
        return self._encode([self.fingerprint.passage_prefix + text for text in texts])

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of questions, shape (len(texts), dimension)."""
        return self._encode([self.fingerprint.query_prefix + text for text in texts])

    def query(self, text: str) -> np.ndarray:
        """The vector of a question, shape (dimension,)."""
        return self.queries([text])[0]


def load_embedder(settings: Settings) -> Embedder:
    """The embedder that `settings` name; kept, so that further calls cost nothing.

    Raises:
        ModelError: the model is not there, is not what it should be, or has no safetensors weights.
    """
    with _loading:  # two threads that converted it at once failed both
        return _load(settings)


@lru_cache(maxsize=2)
def _load(settings: Settings) -> Embedder:
    model, folder = locate(settings)
    device = device_of(settings)
    home = converted_home(settings, folder)
    card = check(home, folder, model)
    most = _BUILTIN_TOKENS if model == BUILTIN else sys.maxsize
    if device == "cuda":
        encode, tokenizer, dimension, max_tokens = _cuda_encoder(folder, most)
    else:
        if "dimension" not in card:
            card |= convert(folder, home)
            write_card(home, card)
        dimension, max_tokens = card["dimension"], min(card["max_tokens"], most)
        encode, tokenizer = _openvino_encoder(home, max_tokens)
    prefixes = settings.query_prefix, settings.passage_prefix
    return Embedder(Fingerprint(model, card["revision"], dimension, max_tokens, *prefixes), encode, tokenizer)


def device_of(settings: Settings) -> str:
    """'cpu' or 'cuda'. Raises ModelError where the settings ask for a GPU that is not there."""
    if settings.embed_device == "cpu" or (settings.embed_device == "auto" and not _has_nvidia()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if settings.embed_device == "cuda":
        raise ModelError("embed_device is 'cuda', but torch sees no GPU: set it to 'auto' or 'cpu'.")
    return "cpu"


def _has_nvidia() -> bool:
    """Whether importing torch to ask about CUDA can be worth its seconds."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def _openvino_encoder(home: Path, max_tokens: int) -> tuple[Callable[[Sequence[str]], np.ndarray], Any]:
    from tokenizers import Tokenizer

    openvino = openvino_package()
    card = json.loads((home / "card.json").read_text("utf-8"))
    core = openvino.Core()
    # Stated, not left to the plug-in: bf16 where the CPU computes in it (cosine to fp32 ≥ .9999), else fp32.
    precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    try:
        model = core.read_model(home / "model.xml")
    except RuntimeError as error:
        raise ModelError(f"The converted embedding model in {home} is damaged: delete that folder and start again.") from error
    # A stream a core instead of all cores for one batch: a fifth more passages a second for a millisecond more a question.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"})
    streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1  # one more is filled while those compute
    names = {name for port in compiled.inputs for name in port.get_names()}
    tokenizer = Tokenizer.from_file(str(home / "tokenizer.json"))
    tokenizer.enable_truncation(max_tokens)

    def batch(ids: list[list[int]]) -> dict[str, np.ndarray]:
        width = max(map(len, ids))
        tokens = np.full((len(ids), width), card["pad"], dtype=np.int64)
        mask = np.zeros((len(ids), width), dtype=np.int64)
        for row, own in enumerate(ids):
            tokens[row, : len(own)] = own
            mask[row, : len(own)] = 1
        every = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}
        return {name: value for name, value in every.items() if name in names}

    def encode(texts: Sequence[str]) -> np.ndarray:
        encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        vectors = np.zeros((len(encoded), card["dimension"]), dtype=np.float32)
        size = min(_CPU_BATCH, -(-len(order) // (streams - 1)) or 1)  # a few texts are shared among the cores
        batches = [order[at : at + size] for at in range(0, len(order), size)]
        # Made for each call: requests are not shared between threads.
        requests = [compiled.create_infer_request() for _ in range(min(streams, len(batches)))]
        for at in range(len(batches) + len(requests)):
            request = requests[at % len(requests)]
            if at >= len(requests):
                request.wait()
                vectors[batches[at - len(requests)]] = request.get_output_tensor(0).data
            if at < len(batches):
                request.start_async(batch([encoded[i] for i in batches[at]]))
        return _unit(vectors)

    return encode, tokenizer


def _cuda_encoder(folder: Path, most: int) -> tuple[Callable[[Sequence[str]], np.ndarray], Any, int, int]:
    import torch

    model = load_torch(folder, "cuda", dtype=torch.float16)
    model.eval()
    max_tokens = model.max_seq_length = min(int(model.max_seq_length or 512), most)

    def encode(texts: Sequence[str]) -> np.ndarray:
        vectors = model.encode(list(texts), batch_size=_CUDA_BATCH, convert_to_numpy=True, show_progress_bar=False)
        return _unit(np.asarray(vectors, dtype=np.float32).reshape(len(texts), -1))

    dimension = int(encode(["dimension"]).shape[1])
    return encode, model.tokenizer.backend_tokenizer, dimension, max_tokens


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
