"""InternLM and InternLM2 weights in Llama's layout, which every tool reads without remote code.

Nothing is computed: InternLM2 keeps queries, keys and values of a group of heads in one matrix (wqkv), which is cut, and the
rest is renamed. Bytes go from file to file a few at a time, so a model of any size needs next to no memory.
"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kb import model_files
from kb.errors import ModelError
from kb.jobs import Progress
from kb.model_config import settled_config
from kb.model_files import INDEX, WEIGHTS, Tensor, read_json, token_ids, write_json
from kb.progress import Meter
from kb.tokenizer_files import write_fast_tokenizer

FAMILIES = {"internlm": "InternLMForCausalLM", "internlm2": "InternLM2ForCausalLM"}
SHARD = 2 * 1024**3
_PIECE = 16 * 1024**2
_STOPS = {"internlm": "<eoa>", "internlm2": "<|im_end|>"}
_TOP = {"model.tok_embeddings": "model.embed_tokens", "model.norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_KEPT = ("bos_token_id", "eos_token_id", "hidden_act", "hidden_size", "initializer_range", "intermediate_size",
         "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "pad_token_id", "rms_norm_eps", "rope_scaling",
         "rope_theta", "tie_word_embeddings", "torch_dtype", "use_cache", "vocab_size")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Piece:
    """A tensor to write: the bytes at `ranges` (start, size) of a file, one after the other."""

    name: str
    source: Tensor
    shape: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.ranges)


def family(config: dict[str, Any]) -> str:
    """The family of a model that has to be converted, empty for any other."""
    kind = str(config.get("model_type", ""))
    return kind if kind in FAMILIES else ""


def convert(source: Path, target: Path, tell: Callable[[Progress], None] | None = None, shard: int = SHARD) -> None:
    """Write the InternLM or InternLM2 model in `source` as a LlamaForCausalLM into the folder `target`, tokenizer included.

    Raises:
        ModelError: it is another model, or some of its tensors are missing or unknown.
    """
    config = read_json(source / "config.json")
    kind = family(config)
    architecture = next(iter(config.get("architectures") or [""]))
    if not kind or architecture not in (FAMILIES[kind], ""):
        raise ModelError(f"{source} ({architecture or 'unknown'}) cannot be converted: only {', '.join(FAMILIES.values())}.")
    groups = _Groups(config, source)
    pieces = [piece for name, tensor in model_files.tensors(source).items() for piece in groups.pieces(kind, name, tensor)]
    bias = any(piece.name.endswith(".self_attn.q_proj.bias") for piece in pieces)
    _complete(source, config, {piece.name for piece in pieces}, bias)
    target.mkdir(parents=True, exist_ok=True)
    _write_weights(target, pieces, Meter("convert", sum(piece.size for piece in pieces), tell), shard)
    write_json(target / "config.json", settled_config(_llama_config(kind, config, groups, bias)))
    write_fast_tokenizer(source, target)
    write_json(target / "generation_config.json", _generation(kind, source, target, config))


class _Groups:
    """How the heads of a model are grouped."""

    def __init__(self, config: dict[str, Any], source: Path) -> None:
        try:
            self.heads = int(config["num_attention_heads"])
            self.keys = int(config.get("num_key_value_heads") or self.heads)
            self.size = int(config["hidden_size"]) // self.heads
            self.groups = self.heads // self.keys
        except (KeyError, ValueError, ZeroDivisionError) as error:
            raise ModelError(f"{source / 'config.json'} does not say how many heads there are ({error!r}).") from error

    def pieces(self, kind: str, name: str, tensor: Tensor) -> Iterator[_Piece]:
        """What becomes of one tensor."""
        stem, _, end = name.rpartition(".")
        layer, part = ".".join(stem.split(".")[:3]), ".".join(stem.split(".")[3:])
        new = name if kind == "internlm" else f"{_TOP[stem]}.{end}" if stem in _TOP else ""
        if part in _LAYER and not new:
            new = f"{layer}.{_LAYER[part]}.{end}"
        if end == "inv_freq":  # older checkpoints hold what is computed
            return
        if new:
            yield _Piece(new, tensor, tensor.shape, ((tensor.start, tensor.size),))
            return
        rows = self.keys * (self.groups + 2) * self.size
        if part != "attention.wqkv" or tensor.shape[:1] != (rows,):
            raise ModelError(f"{tensor.file} holds {name} {list(tensor.shape)}, which no InternLM2 of this configuration has.")
        # wqkv is (keys, groups + 2, head size, hidden): the queries of a group, then its key, then its value.
        head = tensor.size // rows * self.size
        starts = [tensor.start + n * (self.groups + 2) * head for n in range(self.keys)]
        for letter, first, count in (("q", 0, self.groups), ("k", self.groups, 1), ("v", self.groups + 1, 1)):
            ranges = tuple((start + first * head, count * head) for start in starts)
            shape = (self.keys * count * self.size, *tensor.shape[1:])
            yield _Piece(f"{layer}.self_attn.{letter}_proj.{end}", tensor, shape, ranges)


def _complete(source: Path, config: dict[str, Any], names: set[str], bias: bool) -> None:
    wanted = {"model.embed_tokens.weight", "model.norm.weight"}
    if not config.get("tie_word_embeddings"):
        wanted.add("lm_head.weight")
    for n in range(int(config.get("num_hidden_layers") or 0)):
        parts = [f"self_attn.{letter}_proj.{end}" for letter in "qkvo" for end in (("weight", "bias") if bias else ("weight",))]
        parts += [f"mlp.{part}_proj.weight" for part in ("gate", "up", "down")]
        wanted |= {f"model.layers.{n}.{part}" for part in (*parts, "input_layernorm.weight", "post_attention_layernorm.weight")}
    if missing := sorted(wanted - names):
        raise ModelError(f"{source} has no weights for {missing[0]} ({len(missing)} are missing): fetch the model again.")
    if unknown := sorted(names - wanted - {"lm_head.weight"}):
        raise ModelError(f"{source} has weights that no InternLM chat model has ({unknown[0]}), so it cannot be converted.")


def _write_weights(target: Path, pieces: list[_Piece], meter: Meter, most: int) -> None:
    shards: list[list[_Piece]] = [[]]
    for piece in pieces:
        if shards[-1] and sum(one.size for one in shards[-1]) + piece.size > most:
            shards.append([])
        shards[-1].append(piece)
    files = (
        [WEIGHTS] if len(shards) == 1 else [f"model-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
    )
    for name, own in zip(files, shards, strict=True):
        _write_shard(target / name, own, meter)
    if len(shards) > 1:
        where = {piece.name: name for name, own in zip(files, shards, strict=True) for piece in own}
        write_json(target / INDEX, {"metadata": {"total_size": sum(piece.size for piece in pieces)}, "weight_map": where})


def _write_shard(path: Path, pieces: list[_Piece], meter: Meter) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for piece in pieces:
        header[piece.name] = {"dtype": piece.source.dtype, "shape": piece.shape, "data_offsets": [at, at + piece.size]}
        at += piece.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for piece in pieces:
            with piece.source.file.open("rb") as file:
                for data in _bytes(file, piece):
                    out.write(data)
                    meter.add(len(data))


def _bytes(file: BinaryIO, piece: _Piece) -> Iterator[bytes]:
    for start, size in piece.ranges:
        file.seek(start)
        for at in range(0, size, _PIECE):
            wanted = min(_PIECE, size - at)
            data = file.read(wanted)
            if len(data) != wanted:
                raise ModelError(f"{piece.source.file} became shorter while it was read: fetch the model again.")
            yield data


def _llama_config(kind: str, config: dict[str, Any], groups: _Groups, bias: bool) -> dict[str, Any]:
    new = {name: config[name] for name in _KEPT if name in config} | {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": bias,
        "head_dim": groups.size,
        "mlp_bias": False,
        "model_type": "llama",
        "num_key_value_heads": groups.keys,
    }
    if kind == "internlm" and ("rotary" in config or "rope_theta" not in config):
        rotary: dict[str, Any] = {"base": 10000, "type": "dynamic"} | (config.get("rotary") or {})
        new["rope_theta"] = float(rotary["base"])
        factor = float(rotary.get("scaling_factor", 1.0))
        new["rope_scaling"] = {"type": "dynamic", "factor": factor} if rotary["type"] == "dynamic" else None
    new.setdefault("rope_theta", 10000)
    new.setdefault("rope_scaling", None)
    return new


def _generation(kind: str, source: Path, target: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Published ones stop at </s> only, but a chat model ends its turn with a token of its own."""
    value = read_json(source / "generation_config.json")
    stops = value.get("eos_token_id", config.get("eos_token_id", 2))
    stops = list(stops) if isinstance(stops, list) else [stops]
    end = token_ids(target).get(_STOPS[kind])
    value["eos_token_id"] = stops + ([end] if end is not None and end not in stops else [])
    return {name: config[name] for name in ("bos_token_id", "pad_token_id") if config.get(name) is not None} | value
